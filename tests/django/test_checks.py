"""System checks: each says what it is for, stays silent otherwise, and takes a bounded time."""

import email.utils
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.db import models
from django.test import override_settings
from django_roomline import checks, conf
from django_roomline.checks import reach
from django_roomline.models import Audience, Room
from roomline.sqlitelog import SqliteLog

from tests.django.logs import RabbitMQLog
from tests.support.gateway import Gateway
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]  # fixtures

SECRET = "0123456789abcdef0123456789abcdef"
GOOD = {
    "KEYS": {"k": SECRET},
    "ENDPOINTS": ["/roomline"],
    "GUESTS": False,
}
Change = Callable[..., None]


def ids(messages: Any) -> list[str]:
    for message in messages:
        assert message.hint
        assert SECRET not in str(message)
    return [message.id.removeprefix("roomline.") for message in messages]


@pytest.fixture
def good(roomline: Change, tmp_path: Path) -> Change:
    """A setting that no check has anything to say about, and how to change it."""
    roomline(**GOOD, BROKER=f"embedded:{tmp_path}/rooms.sqlite3")
    return roomline


def ours(**options: Any) -> list[CheckMessage]:
    found = run_checks(include_deployment_checks=True, **options)
    return [message for message in found if str(message.id).startswith("roomline.")]


def test_a_good_project_hears_nothing(db: None, good: Change) -> None:
    assert ours() == []


def test_a_project_without_the_setting_hears_of_that_only(db: None) -> None:
    with override_settings(ROOMLINE=None):
        assert ids(ours()) == ["E001"]


def test_pages_that_get_no_tokens_are_said(good: Change) -> None:
    with override_settings(ROOT_URLCONF="tests.django.pages"):
        assert ids(checks.check_urls()) == ["W001"]
        assert checks.check_middleware() == []
    with override_settings(ROOT_URLCONF=None):
        assert ids(checks.check_urls()) == ["W001"]
    assert checks.check_urls() == []


def test_middleware_that_is_missing_is_said(good: Change) -> None:
    with override_settings(MIDDLEWARE=["nowhere.at_all"]):
        (message,) = checks.check_middleware()
        assert "AuthenticationMiddleware" in message.msg
    good(**GOOD | {"GUESTS": True})
    with override_settings(MIDDLEWARE=["nowhere.at_all"]):
        assert ids(checks.check_middleware()) == ["W013", "W013"]
    with override_settings(MIDDLEWARE=[f"{__name__}.OurAuthentication"]):
        assert ids(checks.check_middleware()) == ["W013"], "the sessions'"


class OurAuthentication(AuthenticationMiddleware):
    """A project's own."""


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (models.BigAutoField(primary_key=True), []),
        (models.UUIDField(primary_key=True), []),
        (models.CharField(max_length=30, primary_key=True), ["W002"]),
        (models.EmailField(primary_key=True), ["E017"]),
        (models.DateTimeField(primary_key=True), ["E017"]),
    ],
)
def test_primary_keys_of_users(
    monkeypatch: pytest.MonkeyPatch, key: "models.Field[Any, Any]", found: list[str]
) -> None:
    monkeypatch.setattr(get_user_model()._meta, "pk", key)
    assert ids(checks.check_user_ids()) == found


def test_events_that_are_none_are_said(good: Change) -> None:
    good(**GOOD, EVENTS={"login": "admin.log", "logon": "admin.log"})
    (message,) = checks.check_events()
    assert message.id == "roomline.W003"
    assert "'logon'" in message.msg
    assert "login, login_failed" in str(message.hint)


@pytest.mark.parametrize("setting", ["SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE"])
@pytest.mark.parametrize(
    ("endpoints", "found"),
    [
        (["http://a.example/x", "https://a.example/x", "/x"], ["W004"]),
        (["http://127.0.0.1:8001/x"], []),
    ],
)
def test_http_beside_https_is_said(
    good: Change, setting: str, endpoints: list[str], found: list[str]
) -> None:
    good(**GOOD | {"ENDPOINTS": endpoints})
    assert checks.check_security() == []
    with override_settings(**{setting: True}):
        assert ids(checks.check_security()) == found


@pytest.mark.parametrize("setting", [{"SECRET_KEY": SECRET}, {"SECRET_KEY_FALLBACKS": [SECRET]}])
def test_one_secret_for_two_things_is_said(good: Change, setting: dict[str, Any]) -> None:
    with override_settings(**setting):
        assert ids(checks.check_security()) == ["W005"]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"ENDPOINTS": ["http://127.0.0.1:1/x"]}, ["W006"]),
        ({"ENDPOINTS": ["http://[::1]:1/x", "http://localhost/x"]}, ["W006", "W006"]),
        ({"ENDPOINTS": ["https://127.example/x"]}, []),
        ({"KEYS": {"k": "k" * 32}}, ["W007"]),
        ({"KEYS": {"new": SECRET, "old": f"django-insecure-{SECRET}"}}, ["W007"]),
        ({"KEYS": {"1": "put-32-or-more-random-characters-here"}}, ["W007"]),
        ({"BROKER": "amqp://u:p@rabbit.example/"}, ["W008"]),
        ({"BROKER": "amqps://u:p@rabbit.example/"}, []),
        ({"BROKER": "amqp://u:p@127.0.0.1/"}, []),
        ({"BROKER": "amqp://u:p@localhost/"}, []),
    ],
)
def test_what_does_for_development_only(
    good: Change, values: dict[str, Any], found: list[str]
) -> None:
    good(**GOOD | values)
    assert ids(checks.check_deployment()) == found


def test_rooms_for_anybody_to_write_are_said(db: None, good: Change) -> None:
    for number in range(7):
        Room.objects.create(
            name=f"chat.{number}", title="x", readers=Audience.EVERYONE, writers=Audience.EVERYONE
        )
    assert checks.check_rooms() == []
    good(**GOOD | {"GUESTS": True})
    (message,) = checks.check_rooms()
    assert message.id == "roomline.W009"
    assert "chat.0, chat.1, chat.2, chat.3, chat.4, ...: visitors" in message.msg
    Room.objects.update(writers=Audience.AUTHENTICATED)
    assert checks.check_rooms() == []


def test_an_embedded_log_is_tried_and_not_made(good: Change, tmp_path: Path) -> None:
    path = tmp_path / "rooms.sqlite3"
    assert checks.check_broker() == []
    assert not path.exists()
    SqliteLog(path).close()
    assert checks.check_broker() == []
    path.write_bytes(b"not a database" * 1000)
    (message,) = checks.check_broker()
    assert message.id == "roomline.E020"
    assert "not a database" in message.msg
    good(**GOOD, BROKER="embedded:/nonexistent/rooms.sqlite3")
    assert ids(checks.check_broker()) == ["E020"]


def test_a_broker_that_is_not_there_is_said_in_time(good: Change) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        good(**GOOD, BROKER=f"amqp://u:hunter2@127.0.0.1:{port}/", PUBLISH_TIMEOUT=0.5)
        began = time.monotonic()
        (message,) = checks.check_broker()
        assert time.monotonic() - began < 5
    assert message.id == "roomline.E020"
    assert "hunter2" not in str(message)
    assert ids(checks.check_broker()) == ["E020"], "and refused is like silent"


def test_rights_on_rabbitmq(good: Change, rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> None:
    def check(user: str = "guest", password: str = "guest") -> list[str]:
        broker = rabbitmq.url(user, password, vhost=rabbitmq_vhost)
        good(**GOOD, BROKER=broker, PUBLISH_TIMEOUT=10)
        return ids(checks.check_broker())

    assert check() == ["E020"], "without the exchange"
    log = RabbitMQLog(rabbitmq.url(vhost=rabbitmq_vhost))
    assert check() == []
    assert check(password="wrong") == ["E020"]
    rabbitmq.add_user("checked", "secret")
    try:
        assert check("checked", "secret") == ["E020"], "not in this virtual host"
        rabbitmq.allow("checked", vhost=rabbitmq_vhost, write="^$")
        assert check("checked", "secret") == ["E021"]
        rabbitmq.allow("checked", vhost=rabbitmq_vhost, topics={"rooms": ("^chat[.]", ".*")})
        assert check("checked", "secret") == []
    finally:
        rabbitmq.delete_user("checked")
    assert log.read() == [], "nothing was published by all that"


class Clock(http.server.BaseHTTPRequestHandler):
    """A gateway as far as the check can see, whose clock is off."""

    ahead = 0.0
    body = b'{"websocket": true}'
    status = 200

    def do_GET(self) -> None:
        self.send_response_only(self.status)
        self.send_header("Date", email.utils.formatdate(time.time() + self.ahead, usegmt=True))
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        """Nothing to log."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The endpoint of such a gateway."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Clock)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/roomline"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("change", "found", "says"),
    [
        ({}, [], ""),
        ({"ahead": 5.0}, [], ""),
        ({"ahead": 3600.0}, ["W012"], "seconds ahead of ours"),
        ({"ahead": -60.0}, ["W012"], "60 seconds behind ours"),
        ({"body": b"<h1>Welcome</h1>"}, ["W011"], "says '<h1>Welcome</h1>'"),
        ({"body": b"[1]"}, ["W011"], "says '[1]'"),
        ({"status": 404}, ["W011"], "says 'HTTP 404'"),
    ],
)
def test_what_a_gateway_answers(
    good: Change,
    clock: str,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    found: list[str],
    says: str,
) -> None:
    for name, value in change.items():
        monkeypatch.setattr(Clock, name, value)
    good(**GOOD | {"ENDPOINTS": [clock]})
    messages = checks.check_gateways()
    assert ids(messages) == found
    assert all(says in message.msg for message in messages)


def test_gateways_that_do_not_answer_are_said_in_time(
    good: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        endpoints = [f"http://127.0.0.1:{port}/{n}" for n in range(3)]
        good(**GOOD | {"ENDPOINTS": [*endpoints, "http://nowhere.invalid/x", "/x"]})
        began = time.monotonic()
        messages = checks.check_gateways()
        assert time.monotonic() - began < 5
    assert ids(messages) == ["W010"] * 4


@pytest.mark.slow
def test_a_real_gateway_is_one(good: Change, tmp_path: Path) -> None:
    gateway = Gateway(f"embedded:{tmp_path}/rooms.sqlite3")
    try:
        gateway.start()
        good(**GOOD | {"ENDPOINTS": [gateway.url]})
        assert checks.check_gateways() == []
        good(**GOOD | {"ENDPOINTS": [f"{gateway.url}/elsewhere"]})
        assert ids(checks.check_gateways()) == ["W011"]
    finally:
        gateway.close()


def test_what_is_silenced_stays_silent_and_is_not_tried(
    db: None, good: Change, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good(**GOOD | {"ENDPOINTS": ["http://127.0.0.1:1/x"], "BROKER": "embedded:/nonexistent/x"})
    silenced = [f"roomline.{check}" for check in ("E020", "E021", "W006", "W010", "W011", "W012")]
    tried: list[str] = []
    monkeypatch.setattr(reach, "_ask", tried.append)
    monkeypatch.setattr(reach, "_problem_of_file", tried.append)
    with override_settings(SILENCED_SYSTEM_CHECKS=silenced):
        call_command("check", deploy=True)
    assert "roomline" not in "".join(capsys.readouterr())
    assert tried == []


def test_nothing_goes_to_look_unless_it_is_deployed(
    good: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    good(**GOOD | {"ENDPOINTS": ["http://127.0.0.1:1/x"], "BROKER": "amqp://127.0.0.1:1/"})
    assert [message for message in run_checks() if "roomline" in str(message.id)] == []


def test_the_override_of_runroomline_is_what_is_checked(
    good: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = json.dumps({"ENDPOINTS": ["http://127.0.0.1:1/x"]})
    monkeypatch.setenv(conf.OVERRIDE_VARIABLE, chosen)
    assert ids(checks.check_deployment()) == ["W006"]

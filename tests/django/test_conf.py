"""The ROOMLINE setting: every key, what it refuses, and that no secret is repeated."""

import json
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django_roomline import checks, conf

GOOD = {
    "BROKER": "embedded:/srv/rooms.sqlite3",
    "KEYS": {"k1": "s" * 32},
    "ENDPOINTS": ["https://live.example.com/roomline"],
}


def problems_with(**values: Any) -> list[conf.Problem]:
    return conf.read({**GOOD, **values})[1]


def test_the_smallest_setting_is_accepted() -> None:
    with override_settings(ROOMLINE=GOOD):
        settings = conf.current()
    assert settings.token_lifetime == 600
    assert settings.guests is False
    assert settings.embedded_path == "/srv/rooms.sqlite3"
    assert settings.policy is None


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("BROKER", "embedded:rooms.sqlite3", "not absolute"),
        ("BROKER", "redis://host/", "scheme 'redis'"),
        ("BROKER", "amqp://", "host None"),
        ("BROKER", "amqp://user:hunter2@host:notaport/", "valid host and port"),
        ("BROKER", "amqp://user:hunter2@[host/", "valid host and port"),
        ("BROKER", 7, "type int"),
        ("KEYS", {}, "at least one key"),
        ("KEYS", {"k": "hunter2"}, "7 bytes"),
        ("KEYS", {"k": "hunter2," + "x" * 32}, "comma"),
        ("KEYS", {"hunter2" * 30: "x" * 32}, "key id"),
        ("KEYS", ["hunter2"], "type list"),
        ("ENDPOINTS", [], "at least one"),
        ("ENDPOINTS", "https://example.com/roomline", "not a list"),
        ("ENDPOINTS", ["https://example.com"], "not an address with a path"),
        ("ENDPOINTS", ["https://example.com/room line"], "not an address with a path"),
        ("ENDPOINTS", ["https://example.com/x; script-src *"], "not an address with a path"),
        ("ENDPOINTS", ["javascript:alert(1)"], "not an address with a path"),
        ("ENDPOINTS", [None], "not text"),
        ("POLICY", "nowhere.at_all", "cannot be imported"),
        ("POLICY", "django_roomline.conf.PUBLISHER", "not a function"),
        ("POLICY", 5, "dotted path"),
        ("TOKEN_LIFETIME", 29, "29"),
        ("TOKEN_LIFETIME", 86_401, "86401"),
        ("TOKEN_LIFETIME", True, "True"),
        ("GUESTS", "yes", "'yes'"),
        ("PUBLISH_TIMEOUT", 0, "0"),
        ("PUBLISH_TIMEOUT", float("nan"), "nan"),
        ("OUTBOX", 1, "1"),
        ("ARCHIVE", True, "type bool"),
        ("ARCHIVE", {"KEEP": 7}, "'KEEP'"),
        ("ARCHIVE", {"PUBLISHERS": "web"}, "PUBLISHERS 'web'"),
        ("ARCHIVE", {"DEDUP_WINDOW": -1}, "DEDUP_WINDOW -1"),
        ("EVENTS", ["login"], "type list"),
        ("EVENTS", {"Log in": "a"}, "'Log in'"),
        ("EVENTS", {"login": 7}, "7 for login"),
        ("EVENTS", {"login": ["a", 7]}, "7 for login"),
        ("EVENTS", {"login": "a b"}, "'a b' for login, which is not a room"),
        ("EVENTS", {"login": "control.orders"}, "steer gateways"),
        ("GATEWAY_USERS", "gateway", "'gateway'"),
        ("GATEWAY_USERS", [""], "['']"),
        ("INSPECTORS", "http://10.0.0.5:8002/inspect", "not a list"),
        ("INSPECTORS", ["http://10.0.0.5:8002/inspect", "/inspect"], "address 2"),
        ("INSPECTORS", ["javascript:alert(1)"], "address 1"),
        ("INSPECTORS", ["http://ann:hunter2@10.0.0.5:8002/inspect"], "address 1"),
        ("INSPECTORS", ["http://10.0.0.5:8002/inspect?token=hunter2"], "address 1"),
        ("GATEWAY", {"NAMESPACES": 1}, "not text"),
        ("GATEWAY", {"name spaces": ""}, "'name spaces'"),
        ("GATEWAY", "x", "type str"),
    ],
)
def test_a_bad_value_is_named_with_its_check(key: str, value: Any, says: str) -> None:
    (problem,) = problems_with(**{key: value})
    assert problem.check == conf.FIELDS[key].check
    assert key in problem.text
    assert says in problem.text
    assert problem.hint
    assert "hunter2" not in problem.text


def test_everything_wrong_is_said_at_once() -> None:
    problems = conf.read({"ENDPOINTS": [], "BROKERS": "x"})[1]
    ids = ["roomline.E001", "roomline.E002", "roomline.E003", "roomline.E004"]
    assert [problem.check for problem in problems] == ids
    with override_settings(ROOMLINE={}), pytest.raises(ImproperlyConfigured, match="no BROKER"):
        conf.current()


def test_no_setting_at_all_is_a_check_not_a_crash() -> None:
    with override_settings(ROOMLINE=None):
        (message,) = checks.check_setting()
        assert checks.check_surroundings() == []
    assert message.id == "roomline.E001"
    assert "BROKER" in str(message.hint)


def test_check_ids_stay_what_they_are() -> None:
    assert {key: field.check for key, field in conf.FIELDS.items()} == {
        "BROKER": "roomline.E002",
        "KEYS": "roomline.E003",
        "ENDPOINTS": "roomline.E004",
        "POLICY": "roomline.E005",
        "GRANTS": "roomline.E013",
        "TOKEN_LIFETIME": "roomline.E006",
        "GUESTS": "roomline.E007",
        "PUBLISH_TIMEOUT": "roomline.E008",
        "OUTBOX": "roomline.E012",
        "PUBLISH_IN_TESTS": "roomline.E022",
        "ARCHIVE": "roomline.E014",
        "EVENTS": "roomline.E015",
        "GATEWAY_USERS": "roomline.E016",
        "INSPECTORS": "roomline.E019",
        "GATEWAY": "roomline.E009",
    }


def test_guests_need_sessions(roomline: Any) -> None:
    apps = [a for a in django_settings.INSTALLED_APPS if a not in ("django.contrib.sessions",)]
    with override_settings(INSTALLED_APPS=apps):
        (message,) = checks.check_surroundings()
    assert message.id == "roomline.E011"


def test_rabbitmq_needs_pika(roomline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    roomline(BROKER="amqp://user:hunter2@127.0.0.1/")
    assert checks.check_surroundings() == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (message,) = checks.check_surroundings()
    assert message.id == "roomline.E010"
    assert "hunter2" not in str(message)


def test_the_checks_are_registered() -> None:
    with override_settings(ROOMLINE={**GOOD, "GUESTS": 1}):
        assert [message.id for message in run_checks()] == ["roomline.E007"]


def test_runroomline_replaces_what_it_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"BROKER": "amqp://localhost/", "ENDPOINTS": ["http://127.0.0.1:9/roomline"]}
    monkeypatch.setenv(conf.OVERRIDE_VARIABLE, json.dumps(chosen))
    with override_settings(ROOMLINE=GOOD):
        settings = conf.current()
    assert settings.broker == "amqp://localhost/"
    assert settings.endpoints == ("http://127.0.0.1:9/roomline",)
    assert settings.secrets == GOOD["KEYS"]


@pytest.mark.parametrize(
    ("endpoints", "sources"),
    [
        (["/roomline"], ()),
        (
            ["http://127.0.0.1:8001/roomline", "https://a.example/x/y", "/roomline"],
            (
                "http://127.0.0.1:8001",
                "ws://127.0.0.1:8001",
                "https://a.example",
                "wss://a.example",
            ),
        ),
        (["http://[::1]:8001/roomline"], ("http://[::1]:8001", "ws://[::1]:8001")),
        (["https://a.example/x", "https://a.example/y"], ("https://a.example", "wss://a.example")),
    ],
)
def test_connect_sources(endpoints: list[str], sources: tuple[str, ...]) -> None:
    with override_settings(ROOMLINE={**GOOD, "ENDPOINTS": endpoints}):
        assert conf.current().connect_sources() == sources

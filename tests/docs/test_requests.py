"""docs/requests.rst: a project with its handlers, a gateway with its settings, and who asks."""

import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from roomline.client import BlockingClient
from roomline.requests import DEAD_REQUESTS, NODES_EXCHANGE, REQUESTS_EXCHANGE

from tests.docs.pages import ROOT, snippet, table
from tests.support.gateway import Gateway
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost
from tests.support.tokens import connection_token

__all__ = ["rabbitmq", "rabbitmq_vhost"]

COVERS = {
    *("requests-picture", "requests-handlers", "requests-worker", "requests-dead"),
    *("requests-gateway", "requests-settings", "requests-js", "requests-python"),
    *("requests-moderated", "requests-moderator", "requests-users"),
}

PAGE = "docs/requests.rst"

SETTINGS = """
INSTALLED_APPS += ["django_roomline", "orders", "talk"]
ROOMLINE = {{
    "BROKER": "{broker}",
    "KEYS": {{"1": "k" * 32}},
    "ENDPOINTS": ["/roomline"],
}}
"""
MODELS = """
from django.db import models

class Order(models.Model):
    status = models.CharField(max_length=20)

    def save(self, **options):
        if self.pk == 3 and self.status == "cancelled":
            raise ZeroDivisionError("a defect")
        super().save(**options)
"""
USERS = """
from django.contrib.auth.models import Permission, User
from orders.models import Order
ann = User.objects.create_user("ann")
ann.user_permissions.add(Permission.objects.get(codename="change_order"))
Order.objects.create(status="paid")
Order.objects.create(status="shipped")
Order.objects.create(status="paid")
"""


def python(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_project(folder: Path, broker: str, more: str = "") -> None:
    """The page's project, its handlers in place and its database ready."""
    python(folder, "-m", "django", "startproject", "site1", ".")
    for app in ("orders", "talk"):
        python(folder, "manage.py", "startapp", app)
    with (folder / "site1" / "settings.py").open("a") as file:
        file.write(SETTINGS.format(broker=broker) + more + "\n")
    (folder / "orders" / "models.py").write_text(MODELS)
    (folder / "orders" / "handlers.py").write_text(snippet(PAGE, "requests-handlers").text + "\n")
    (folder / "talk" / "handlers.py").write_text(snippet(PAGE, "requests-moderator").text + "\n")
    python(folder, "manage.py", "makemigrations", "-v0", "orders")
    python(folder, "manage.py", "migrate", "-v0")
    python(folder, "manage.py", "shell", "--no-imports", "-c", USERS)


def page_settings(name: str) -> dict[str, str]:
    """The gateway's settings of a snippet, as in its environment."""
    given = tomllib.loads(snippet(PAGE, name).text)
    namespaces = ";".join(
        f"{space}:" + ",".join(f"{rule}={value}" for rule, value in rules.items())
        for space, rules in given.pop("namespaces", {}).items()
    )
    settings = {"REQUESTS": "true"}
    assert given.pop("requests") is True
    if namespaces:
        settings["NAMESPACES"] = namespaces
    if given:
        settings["PUBLISHERS"] = ",".join(given.pop("publishers"))
    assert not given
    return settings


@pytest.fixture
def worker_in() -> Iterator[Any]:
    """Starts the page's worker in a project's folder."""
    started: list[subprocess.Popen[bytes]] = []

    def start(folder: Path) -> None:
        interpreter, *arguments = snippet(PAGE, "requests-worker").text.split()
        assert interpreter == "python"
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"answering orders.cancel, talk.check in 4 threads\n"

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.slow
def test_requests_moderation_and_the_dead(
    tmp_path: Path, worker_in: Any, capsys: pytest.CaptureFixture[str]
):
    gateway = Gateway(f"embedded:{tmp_path}/rooms.sqlite3", **page_settings("requests-moderated"))
    gateway.start()
    try:
        make_project(tmp_path, gateway.broker)
        worker_in(tmp_path)
        names = {"endpoint": gateway.url, "get_token": lambda: connection_token("1", name="Ann")}
        exec(compile(snippet(PAGE, "requests-python").text, PAGE, "exec"), names)
        said = capsys.readouterr().out
        assert said == (
            "{'status': 'cancelled'}\nrequest_failed shipped This order has been shipped.\n"
        )
        with BlockingClient(gateway.url, token=names["get_token"]) as client:
            room = client.subscribe("talk.all")
            client.publish("talk.all", {"text": "damn"})
            assert room.next().data == {"text": "d***"}
            with pytest.raises(Exception, match=r"rejected: No advertising, please\."):
                client.publish("talk.all", {"text": "spam"})
            for order, why in (
                ("none", "Which order"),
                (99, "what this is about is not there"),
                (3, "this request has failed"),
            ):
                with pytest.raises(Exception, match=f"request_failed: {why}"):
                    client.request("orders.cancel", {"order": order})
        listing, putting_back = snippet(PAGE, "requests-dead").text.splitlines()
        deadline = time.monotonic() + 20
        while "orders.cancel" not in (listed := python(tmp_path, *listing.split()[1:])):
            assert time.monotonic() < deadline, listed
        assert python(tmp_path, *putting_back.split()[1:]) == "1 put back\n"
    finally:
        gateway.close()


def test_with_the_rights_of_the_page(
    rabbitmq: RabbitMQNode, rabbitmq_vhost: str, tmp_path: Path, worker_in: Any
):
    for line in snippet(PAGE, "requests-users").text.splitlines():
        command, action, option, _, user, configure, write, read = shlex.split(line)
        assert (command, action, option) == ("rabbitmqctl", "set_permissions", "--vhost")
        rabbitmq.add_user(user, user)
        rabbitmq.allow(user, vhost=rabbitmq_vhost, configure=configure, write=write, read=read)
    gateway = Gateway(
        rabbitmq.url("gateway", "gateway", rabbitmq_vhost), **page_settings("requests-gateway")
    )
    gateway.start()
    try:
        django = rabbitmq.url("django", "django", rabbitmq_vhost)
        make_project(tmp_path, django, snippet(PAGE, "requests-settings").text)
        worker_in(tmp_path)
        with BlockingClient(gateway.url, token=lambda: connection_token("1")) as client:
            assert client.request("orders.cancel", {"order": 1}) == {"status": "cancelled"}
            with pytest.raises(Exception, match="request_failed"):
                client.request("orders.cancel", {"order": 3})
        listing, putting_back = snippet(PAGE, "requests-dead").text.splitlines()
        assert "orders.cancel" in python(tmp_path, *listing.split()[1:])
        assert python(tmp_path, *putting_back.split()[1:]) == "1 put back\n"
    finally:
        gateway.close()


def test_the_table_names_what_a_handler_gets():
    text = (ROOT / "djangoapp/django_roomline/requests.py").read_text()
    fields = re.search(r"^class Request:.*?(?=^class )", text, re.M | re.S)
    assert fields
    defined = re.findall(r"^    (\w+): ", fields[0], re.M)
    assert [name for name, _ in table(PAGE, "requests-request")] == defined


def test_the_table_names_what_the_broker_has():
    named = [name for name, *_ in table(PAGE, "requests-broker")]
    assert named == [REQUESTS_EXCHANGE, DEAD_REQUESTS, NODES_EXCHANGE]


def test_the_script_uses_what_the_client_has():
    """It runs in a browser elsewhere, with other names."""
    text = snippet(PAGE, "requests-js").text
    types = ROOT / "js-client/dist"
    assert "client.request(" in text
    assert re.search(r"^    request\(name: string", (types / "client.d.ts").read_text(), re.M)
    for field in re.findall(r"error\.(\w+)", text):
        declared = (types / "errors.d.ts").read_text()
        assert field == "message" or re.search(rf"\b{field}:", declared), field

"""docs/django-publishing.rst: its shop, built from the page's own blocks and run on a real log."""

import inspect
import subprocess
import sys
from pathlib import Path

import django_roomline
import pytest
from django_roomline.management.commands.roomline_relay import Command
from roomline import wire
from roomline.config import load
from roomline.sqlitelog import SqliteLog

from tests.docs.pages import snippet, table

COVERS = {
    "async-transaction",
    "async-view",
    "django-view",
    "errors-handled",
    "object-model",
    "object-namespace",
    "object-publish",
    "outbox-settings",
    "relay",
}

PAGE = "docs/django-publishing.rst"

SETTINGS = """
INSTALLED_APPS += ["django_roomline", "shop"]
ROOMLINE = {
    "BROKER": f"embedded:{BASE_DIR / 'rooms.sqlite3'}",
    "KEYS": {"1": "k" * 32},
    "ENDPOINTS": ["/roomline"],
}
"""

PREPARE = """
from django.contrib.auth.models import User
from shop.models import Order
user = User.objects.create_user("ann")
for number in range(1, 9):
    Order.objects.create(pk=number, customer=user)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project with the page's model, and eight orders."""
    folder = tmp_path_factory.mktemp("shop")
    python(folder, "-m", "django", "startproject", "site1", ".")
    with (folder / "site1" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "models.py").write_text(snippet(PAGE, "object-model").text)
    python(folder, "manage.py", "makemigrations", "shop", "-v0")
    python(folder, "manage.py", "migrate", "-v0")
    python(folder, "manage.py", "shell", "-c", PREPARE)
    return folder


def test_views_publish_what_they_commit(shop: Path):
    program = f"""
{snippet(PAGE, "django-view").text}
assert pay(None, 1).status_code == 200
{snippet(PAGE, "errors-handled").text}
assert pay(Order.objects.get(pk=2)) == "paid"
{snippet(PAGE, "object-publish").text}
import asyncio
{snippet(PAGE, "async-view").text}
assert asyncio.run(wave(None)).status_code == 200
{snippet(PAGE, "async-transaction").text}
assert asyncio.run(pay(None, 3)).status_code == 200
assert Order.objects.filter(paid=True).count() == 3
"""
    assert published_by(shop, program) == [
        ("chat.sales", b'{"order":1,"state":"paid"}'),
        ("chat.sales", b'{"order":2,"state":"paid"}'),
        ("object.shop.order.7", b'{"state":"shipped"}'),
        ("chat.sales", b'{"text":"hello"}'),
        ("chat.sales", b'{"order":3,"state":"paid"}'),
    ]


def test_a_broker_that_is_away_leaves_the_order_paid(shop: Path):
    program = f"""
from django.conf import settings
settings.ROOMLINE["BROKER"] = "amqp://127.0.0.1:1"
{snippet(PAGE, "errors-handled").text}
assert pay(Order.objects.get(pk=4)).endswith("see it when they look again")
assert Order.objects.get(pk=4).paid
"""
    assert published_by(shop, program) == []


def test_with_the_outbox_the_relay_publishes(shop: Path):
    setting = snippet(PAGE, "outbox-settings").text
    assert setting == 'ROOMLINE["OUTBOX"] = True'
    settings = shop / "site1" / "settings.py"
    before = settings.read_text()
    settings.write_text(before + setting + "\n")
    try:
        program = f"{snippet(PAGE, 'django-view').text}\npay(None, 5)"
        assert published_by(shop, program) == []
        command, *arguments = snippet(PAGE, "relay").text.split()
        assert command == "python"
        assert "1 published, 0 refused" in python(shop, *arguments, "--once")
    finally:
        settings.write_text(before)
    assert log_of(shop)[-1] == ("chat.sales", b'{"order":5,"state":"paid"}')


def test_gateways_accept_the_namespace_of_objects():
    names = {"ROOMLINE": {}}
    exec(snippet(PAGE, "object-namespace").text, names)
    namespaces = load({}, {"ROOMLINE_NAMESPACES": names["ROOMLINE"]["GATEWAY"]["NAMESPACES"]})
    assert namespaces.namespaces.keys() >= {"chat", "object"}


def test_the_tables_are_complete():
    parameters = inspect.signature(django_roomline.publish).parameters
    assert [row[0] for row in table(PAGE, "arguments")] == list(parameters)
    parser = Command().create_parser("manage.py", "roomline_relay")
    common = set(Command.base_stealth_options) | {"version", "verbosity", "settings", "pythonpath"}
    own = {
        action.option_strings[0]
        for action in parser._actions
        if action.dest not in common | {"help", "traceback", "no_color", "force_color"}
        and action.dest != "skip_checks"
    }
    assert {row[0] for row in table(PAGE, "relay-options")} == own
    raised = [row[0] for row in table(PAGE, "errors")]
    assert all(hasattr(wire, name) for name in raised[:3])
    assert raised[3] == "ValueError"
    assert {*raised[4:], "PublishError"} == {
        name for name in django_roomline.__all__ if name.startswith(("Publi", "Broker"))
    }


def published_by(shop: Path, program: str) -> list[tuple[str, bytes]]:
    """What running a program in the project adds to the log."""
    before = len(log_of(shop))
    python(shop, "manage.py", "shell", "-c", program)
    return log_of(shop)[before:]


def log_of(shop: Path) -> list[tuple[str, bytes]]:
    log = SqliteLog(shop / "rooms.sqlite3")
    try:
        return [(envelope.room, envelope.body) for _, envelope in log.read(0, 1000)]
    finally:
        log.close()


def python(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

"""docs/events.rst: its events in the tutorial's project, its tables against the code."""

import inspect
import json

import pytest
from django_roomline import conf, events
from django_roomline.admin_log import ADMIN_LOG
from django_roomline.builtin_events import LOGINS_PER_MINUTE
from django_roomline.management.commands.roomline_publish import Command
from django_roomline.models import Notice

from tests.docs.pages import ROOT, snippet, table
from tests.docs.shop import Shop, shop

__all__ = ["shop"]

COVERS = {
    "events-setting",
    "own-event",
    "own-sent",
    "own-signal",
    "publish-command",
    "send-notice",
}

PAGE = "docs/events.rst"


def test_the_tables_are_complete():
    rows = table(PAGE, "events")
    assert [row[0] for row in rows] == list(events.known())
    assert {row[0]: row[1] for row in rows if row[1] != "nowhere"} == {"admin_log": ADMIN_LOG}
    parameters = inspect.signature(events.register_event).parameters
    assert [row[0] for row in table(PAGE, "register-event")] == list(parameters)
    named = {row[0].removeprefix("django_roomline.") for row in table(PAGE, "permissions")}
    meta = Notice._meta
    own = {name for name, _ in meta.permissions}
    assert named == own | {f"{name}_notice" for name in meta.default_permissions}
    parser = Command().create_parser("manage.py", "roomline_publish")
    common = {*Command.base_stealth_options, "help", "version", "verbosity", "settings"}
    common |= {"pythonpath", "traceback", "no_color", "force_color", "skip_checks"}
    assert [row[0] for row in table(PAGE, "publish-options")] == [
        action.option_strings[0] if action.option_strings else action.metavar
        for action in sorted(parser._actions, key=lambda action: bool(action.option_strings))
        if action.dest not in common
    ]


def test_numbers_and_names_are_those_of_the_code():
    text = " ".join((ROOT / PAGE).read_text().split())
    assert f"publishes {LOGINS_PER_MINUTE} of each in a minute" in text
    assert f"{events.REST_SECONDS:g}" == "10"
    assert "none is tried for ten seconds" in text
    assert "``django_roomline.events.dropped``" in text
    setting: dict[str, dict[str, object]] = {"ROOMLINE": {}}
    exec(snippet(PAGE, "events-setting").text, setting)
    named = conf.FIELDS["EVENTS"].read(setting["ROOMLINE"]["EVENTS"])
    assert set(named) <= set(events.known())


ADMIN = """
from django.contrib.admin.models import LogEntry, CHANGE
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
ann = User.objects.get(username="ann")
LogEntry.objects.create(
    user=ann, content_type=ContentType.objects.get_for_model(User), object_id="1",
    object_repr="ann", action_flag=CHANGE,
)
authenticate(username="eve", password="guess")
"""


@pytest.mark.slow
def test_the_tutorial_s_project_tells(shop: Shop):
    orders = shop.folder / "orders"
    (orders / "apps.py").write_text(snippet(PAGE, "own-event").text)
    (orders / "signals.py").write_text(snippet(PAGE, "own-signal").text)
    before = len(shop.published())
    shop.shell(ADMIN + snippet(PAGE, "own-sent").text)
    shop.shell(snippet(PAGE, "send-notice").text)
    shop.terminal.run(snippet(PAGE, "publish-command").text)
    settings = next(shop.folder.glob("*/settings.py"))
    with settings.open("a") as file:
        file.write(f"\n{snippet(PAGE, 'events-setting').text}\n")
    shop.shell(ADMIN)
    told = [(room, json.loads(data)["text"]) for room, data in shop.published()[before:]]
    failed = "A login with an unknown name failed"
    assert told == [
        ("admin.log", "ann changed user “ann”"),
        ("staff.orders", "Order 7 was paid"),
        ("system.notices", "Back at 5"),
        ("chat.lobby", "Version 7 is there"),
        ("admin.logins", failed),
        ("admin.alerts", failed),
    ]

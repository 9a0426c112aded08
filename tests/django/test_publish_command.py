"""``manage.py roomline_publish``: what it publishes, and its exit statuses."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django_roomline import BrokerUnavailable, PublishRejected, PublishUnconfirmed
from django_roomline.testing import recording
from roomline.sqlitelog import SqliteLog
from roomline.wire import MAX_BODY_BYTES, Envelope

from tests.django.programs import ROOT

COMMAND = "roomline_publish"


def test_json_and_text_are_published(entries: Callable[[], list[Envelope]]) -> None:
    call_command(COMMAND, "chat.a", '{"text": "hé"}', "--kind", "system", "--key", "deploy-7")
    call_command(COMMAND, "chat.a", "[not json]", "--text")
    first, second = entries()
    assert (first.body, first.kind, first.key) == ('{"text":"hé"}'.encode(), "system", "deploy-7")
    assert (second.body, second.kind, second.key) == (b'"[not json]"', "message", None)


@pytest.mark.parametrize(
    ("given", "options", "body"),
    [(b"[1,\n2]", [], b"[1,2]"), ("é\n".encode(), ["--text"], '"é\\n"'.encode())],
)
def test_standard_input_is_published(
    entries: Callable[[], list[Envelope]],
    monkeypatch: pytest.MonkeyPatch,
    given: bytes,
    options: list[str],
    body: bytes,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    call_command(COMMAND, "chat.a", "-", *options)
    assert [envelope.body for envelope in entries()] == [body]


@pytest.mark.parametrize(
    ("arguments", "given", "says"),
    [
        (("a b", "1"), b"", "'a b' is not a room name"),
        (("control.orders", "1"), b"", "control steers gateways"),
        (("a", "hello"), b"", "with --text it is published as text"),
        (("a", "NaN"), b"", "NaN is not JSON"),
        (("a", "1", "--key", ""), b"", "key is ''"),
        (("a", "-"), b"\xff", "not UTF-8"),
        (("a", "-"), b"1" * (MAX_BODY_BYTES + 1), "standard input is too long"),
        (("a", "-", "--text"), b'"' * MAX_BODY_BYTES, "at most 65536 are taken"),
    ],
)
def test_what_cannot_be_published_is_said(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], given: bytes, says: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    with recording() as recorded, pytest.raises(CommandError, match=says) as caught:
        call_command(COMMAND, *arguments)
    assert caught.value.returncode == 2
    recorded.assert_nothing_published()


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (BrokerUnavailable("it is away"), 1, "not published: it is away"),
        (PublishRejected("not permitted"), 1, "not published: not permitted"),
        (PublishUnconfirmed("no answer"), 3, "may or may not have been published: no answer"),
    ],
)
def test_a_broker_that_fails_is_said(error: Any, status: int, says: str) -> None:
    with recording(error=error), pytest.raises(CommandError, match=says) as caught:
        call_command(COMMAND, "a", "1")
    assert caught.value.returncode == status


def test_settings_that_are_wrong_are_said() -> None:
    with override_settings(ROOMLINE={}), pytest.raises(CommandError, match="no BROKER") as caught:
        call_command(COMMAND, "a", "1")
    assert caught.value.returncode == 2


def test_in_a_shell(tmp_path: Path) -> None:
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.django.project",
        "PROJECT_DATABASE": '{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}',
        "PROJECT_BROKER": f"embedded:{tmp_path}/rooms.sqlite3",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'djangoapp'}",
    }

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "django", COMMAND, *arguments]
        return subprocess.run(
            command, env=environment, input="[7]", capture_output=True, text=True, timeout=60
        )

    assert run("chat.a", "-").returncode == 0
    wrong = run("chat.a", "seven")
    assert wrong.returncode == 2
    assert "CommandError: 'seven' is not JSON" in wrong.stderr
    environment["PROJECT_BROKER"] = f"embedded:{tmp_path}/nowhere/rooms.sqlite3"
    away = run("chat.a", "7")
    assert away.returncode == 1
    assert "Traceback" not in away.stderr
    log = SqliteLog(tmp_path / "rooms.sqlite3")
    assert [envelope.body for _, envelope in log.read(0, 9)] == [b"[7]"]
    log.close()

"""roomline.logs: one line per record, nothing forged, nothing private."""

import asyncio
import json
import logging
import subprocess
import sys

import pytest
from roomline.logs import JsonFormatter, TextFormatter, log_loop_exception


def record(message: str, *values: object, error: str = "") -> logging.LogRecord:
    info = None
    if error:
        try:
            raise RuntimeError(error)
        except RuntimeError:
            info = sys.exc_info()
    made = logging.LogRecord("roomline.x", logging.WARNING, "x.py", 1, message, values, info)
    made.created = 1_769_860_800.0625
    return made


def test_text() -> None:
    line = TextFormatter().format(record("%d rooms", 7))
    assert line == "2026-01-31T12:00:00.062Z WARNING roomline.x: 7 rooms"


def test_the_number_of_the_process() -> None:
    line = TextFormatter(1).format(record("%d rooms", 7))
    assert line == "2026-01-31T12:00:00.062Z WARNING [1] roomline.x: 7 rooms"
    assert json.loads(JsonFormatter(0).format(record("a")))["process"] == 0


def test_text_cannot_be_forged() -> None:
    line = TextFormatter().format(record("name %s", "a\nERROR forged\x1b[2J\x9b\x85"))
    assert line.endswith("name a\\x0aERROR forged\\x1b[2J\\x9b\\x85")
    line = TextFormatter().format(record("name %s", "Ö \u202eturned\u2028 \ud800"))
    assert line.endswith("name Ö \\u202eturned\\u2028 \\ud800")


def test_text_with_a_traceback() -> None:
    lines = TextFormatter().format(record("oh", error="what went\x1b[2J\nERROR wrong")).split("\n")
    assert lines[0].endswith("roomline.x: oh")
    assert lines[1] == "  Traceback (most recent call last):"
    assert lines[-2:] == ["  RuntimeError: what went\\x1b[2J", "  ERROR wrong"]


def test_json() -> None:
    line = JsonFormatter().format(record("a\n%s", "b"))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-01-31T12:00:00.062Z",
        "level": "warning",
        "logger": "roomline.x",
        "message": "a\nb",
    }


def test_json_with_a_traceback() -> None:
    line = JsonFormatter().format(record("oh", error="what went wrong"))
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("RuntimeError: what went wrong")


def test_what_a_record_is_about() -> None:
    about = record("it ends")
    about.session, about.room = "s1", "chat.a\nb"
    assert TextFormatter().format(about).endswith(": it ends session=s1 room=chat.a\\x0ab")
    fields = json.loads(JsonFormatter().format(about))
    assert (fields["session"], fields["room"]) == ("s1", "chat.a\nb")
    about.room = None
    assert "room" not in json.loads(JsonFormatter().format(about))


async def test_a_failed_callback_is_logged_without_its_arguments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(text: str) -> None:
        raise RuntimeError("what went wrong")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_exception)
    loop.call_soon(broken, "private words")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    (entry,) = caplog.records
    assert entry.exc_info is not None
    assert "Exception in callback" in entry.getMessage()
    assert "what went wrong" in caplog.text
    assert "private words" not in caplog.text


@pytest.mark.parametrize("level", ["debug", "warning"])
def test_levels(level: str) -> None:
    program = f"""
import logging
from roomline import logs
logs.set_up({level!r}, "text")
for name in ("roomline.node", "tornado.general", "pika.adapters", "asyncio"):
    logging.getLogger(name).debug("debug of " + name)
    logging.getLogger(name).warning("warning of " + name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == ""
    for name in ("roomline.node", "tornado.general", "asyncio"):
        assert f"warning of {name}" in done.stderr
    # The broker says in one sentence what pika says in eight records.
    assert ("warning of pika.adapters" in done.stderr) is (level == "debug")
    assert ("debug of roomline.node" in done.stderr) is (level == "debug")
    assert "debug of tornado" not in done.stderr

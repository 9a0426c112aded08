"""Logging: one line per record on standard error, as text or as JSON."""

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_FIELDS = ("session", "room")
"""What a record may be about: given as ``extra``, shown as fields. A session is named by the id
that other clients may see, never by SockJS's, which is its client's secret."""


def _visible(text: str) -> str:
    """The text with everything escaped that is not to be seen: control characters, ends of lines,
    and what changes the direction of all that follows."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(ord(char)) for char in text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO roomline.node: message session=…``, a traceback on lines of
    its own.

    With several processes their number is there, too: ``INFO [1] roomline.node``. What cannot be
    seen in the message is escaped, so that nobody forges lines.
    """

    def __init__(self, process: int | None = None) -> None:
        super().__init__()
        self._process = "" if process is None else f" [{process}]"

    def format(self, record: logging.LogRecord) -> str:
        about = "".join(f" {name}={value}" for name, value in _fields(record).items())
        message = _visible(record.getMessage() + about)
        line = f"{_time(record)} {record.levelname}{self._process} {record.name}: {message}"
        if record.exc_info:
            # Indented, so that no line of it passes for a record, whatever the exception says.
            for text in self.formatException(record.exc_info).splitlines():
                line += "\n  " + _visible(text)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message; the process's number if there are
    several, session and room if it is about one, and exception if there was one."""

    def __init__(self, process: int | None = None) -> None:
        super().__init__()
        self._process = {} if process is None else {"process": process}

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._process,
            **_fields(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _fields(record: logging.LogRecord) -> dict[str, str]:
    """What a record is about."""
    return {name: str(value) for name in _FIELDS if (value := getattr(record, name, None))}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def set_up(level: str, format: str, process: int | None = None) -> None:
    """Log this process's records from `level` on (``debug`` to ``error``), as ``text`` or
    ``json``; `process` is its number among several. What libraries say of their own workings is
    kept down to warnings."""
    handler = logging.StreamHandler(sys.stderr)
    sort = JsonFormatter if format == "json" else TextFormatter
    handler.setFormatter(sort(process))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("tornado", "asyncio"):
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    # It tells each failed connection in eight records; the broker tells the same in a sentence.
    logging.getLogger("pika").setLevel(logging.WARNING if level == "debug" else logging.CRITICAL)


def no_access(handler: object) -> None:
    """A Tornado application's ``log_function``. Requests are not logged: their paths have the
    ids of sessions in them. Defects are, where they happen."""


def log_loop_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An event loop's exception handler: logs what was raised, and not, as asyncio's own does,
    the arguments of the callback that raised it, among which are clients' messages."""
    message = context["message"].partition("(")[0]
    logging.getLogger("roomline.loop").error("%s", message, exc_info=context.get("exception"))

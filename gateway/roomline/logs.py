"""Logging: one line per record on standard error, as text or as JSON."""

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)]}


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO roomline.node: message``, a traceback on lines of its own.

    Control characters in the message are escaped, so that nobody forges lines.
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().translate(_CONTROL)
        line = f"{_time(record)} {record.levelname} {record.name}: {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, exception if there was one."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def set_up(level: str, format: str) -> None:
    """Log this process's records from `level` on (``debug`` to ``error``), as ``text`` or
    ``json``. What libraries say of their own workings is kept down to warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
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

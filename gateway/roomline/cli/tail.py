"""``roomline tail``: follow rooms in the terminal, read from the log itself."""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime

from roomline.broker import BrokerError, Start
from roomline.config import Settings
from roomline.from_settings import make_broker
from roomline.tokens import Grants
from roomline.wire import Envelope, InvalidName, check_room, iso_time, json_of


def since(text: str) -> Start:
    """The place in the log that an argument names."""
    if text == "first":
        return "first"
    if text == "next":
        return "next"
    if text.isascii() and text.isdecimal() and len(text) <= 18:
        return int(text)
    try:
        # A time without a zone is one of the clock on the wall.
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of: first, next, an offset, an ISO time"
        ) from None


def tail(
    settings: Settings, rooms: Sequence[str], start: Start, *, as_json: bool, follow: bool
) -> int:
    """Print the publications of some rooms, or of all; returns the exit status."""
    try:
        for room in rooms:
            check_room(room.removesuffix(".**"))
    except InvalidName as error:
        print(f"roomline: {error}", file=sys.stderr)
        return 2
    # A terminal that cannot show a character gets its number instead.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        return asyncio.run(_follow(settings, rooms, start, as_json, follow))
    except BrokerError as error:
        print(f"roomline: the log cannot be read: {error}", file=sys.stderr)
        return 2


async def _follow(
    settings: Settings, rooms: Sequence[str], start: Start, as_json: bool, follow: bool
) -> int:
    broker = make_broker(settings)
    printer = _Printer(
        rooms, settings.publishers | {broker.publisher}, as_json=as_json, follow=follow
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, printer.done.set)
    try:
        await broker.start(printer, start)
        await printer.done.wait()
    finally:
        await broker.close()
    return 0


class _Printer:
    """The broker's `Listener`: prints the publications of the rooms that were asked for."""

    def __init__(
        self, rooms: Sequence[str], publishers: frozenset[str], *, as_json: bool, follow: bool
    ) -> None:
        self.done = asyncio.Event()
        self._wanted = Grants(read=tuple(rooms)).may_read if rooms else None
        self._publishers = publishers
        self._as_json = as_json
        self._follow = follow

    def deliver(self, partition: int, offset: int, envelope: Envelope) -> None:
        """Print one entry."""
        if self.done.is_set() or (self._wanted and not self._wanted(envelope.room)):
            return
        if self._as_json:
            line = _json_line(partition, offset, envelope)
        else:
            line = _text_line(envelope, trusted=envelope.publisher in self._publishers)
        try:
            print(line, flush=True)
        except BrokenPipeError:
            # Whoever read this has seen enough; Python must not try to flush again at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.done.set()

    def caught_up(self) -> None:
        """All that was there has been printed."""
        if not self._follow:
            self.done.set()

    def cut_off(self, reason: str) -> None:
        """Reading goes on when it can."""
        print(f"roomline: the log cannot be read for now: {safe(reason)}", file=sys.stderr)

    def log_reset(self, reason: str) -> None:
        """Reading goes on in the new log."""
        print(f"roomline: the log is another one now: {safe(reason)}", file=sys.stderr)


def _text_line(envelope: Envelope, *, trusted: bool) -> str:
    """Time, room, sender, data, as clients would see them, and safe to show in a terminal."""
    time = "-" if envelope.time is None else iso_time(envelope.time)
    sender = envelope.sender.id if envelope.sender else "-"
    if not trusted:
        sender = "(operations)"
    kind = "" if envelope.kind == "message" else f" [{envelope.kind}]"
    return safe(f"{time} {envelope.room} {sender}{kind} {json_of(envelope.body)}")


def _json_line(partition: int, offset: int, envelope: Envelope) -> str:
    """Everything the log says of an entry, in ASCII."""
    fields = envelope._asdict() | {
        "partition": partition,
        "offset": offset,
        "time": None if envelope.time is None else iso_time(envelope.time),
        "sender": envelope.sender._asdict() if envelope.sender else None,
    }
    del fields["body"]
    # Spliced in: whatever depth of nesting the data has, it is not parsed again.
    line = f'{json.dumps(fields)[:-1]}, "data": {json_of(envelope.body)}}}'
    return "".join(c if c.isascii() and c.isprintable() else _escape(c) for c in line)


def safe(text: str) -> str:
    """`text` with everything that could steer a terminal, or hide, written as an escape."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    """A character as JSON escapes it."""
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))

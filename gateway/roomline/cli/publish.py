"""``roomline publish``: one publication, confirmed."""

import asyncio
import json
import secrets
import sys
import time
from typing import NoReturn

from roomline.broker import Broker, BrokerError, PublishUnconfirmed
from roomline.config import Settings
from roomline.server import make_broker
from roomline.wire import (
    CONTROL_NAMESPACE,
    MAX_BODY_BYTES,
    Envelope,
    InvalidData,
    InvalidName,
    Kind,
    body_of,
    check_room,
    namespace_of,
    shorten,
)


class _Deaf:
    """A listener that wants nothing: the broker is started to publish only."""

    def deliver(self, partition: int, offset: int, envelope: Envelope) -> None:
        """Not wanted."""

    def caught_up(self) -> None:
        """Not wanted."""

    def cut_off(self, reason: str) -> None:
        """Not wanted: publishing fails and says why."""

    def log_reset(self, reason: str) -> None:
        """Not wanted."""


def publish(settings: Settings, room: str, data: str, *, text: bool, kind: Kind) -> int:
    """Publish `data`, which is JSON or `text`, or ``-`` for standard input; the exit status."""
    try:
        envelope = Envelope(
            room=_room(room),
            body=body_of(_value(data, text)),
            message_id=secrets.token_hex(16),
            time=int(time.time() * 1000),
            kind=kind,
        )
    except (InvalidName, InvalidData) as error:
        print(f"roomline: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_append(make_broker(settings), envelope))
    except PublishUnconfirmed as error:
        print(f"roomline: it may or may not have been published: {error}", file=sys.stderr)
        return 3
    except BrokerError as error:
        print(f"roomline: not published: {error}", file=sys.stderr)
        return 1
    return 0


def _room(room: str) -> str:
    if namespace_of(room) == CONTROL_NAMESPACE:
        raise InvalidName(f"room {shorten(room)} is reserved: control steers gateways")
    return check_room(room)


def _value(data: str, text: bool) -> object:
    if data == "-":
        data = _read()
    if text:
        return data
    try:
        return json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidData(
            f"{shorten(data)} is not JSON ({error}); with --text it is published as text"
        ) from None


def _read() -> str:
    # One byte more than is taken, so that too much is noticed and never all read.
    content = sys.stdin.buffer.read(MAX_BODY_BYTES + 1)
    if len(content) > MAX_BODY_BYTES:
        raise InvalidData(f"standard input is too long: at most {MAX_BODY_BYTES} bytes are taken")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidData(f"standard input is not UTF-8: {error}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


async def _append(broker: Broker, envelope: Envelope) -> None:
    try:
        await broker.start(_Deaf(), "next")
        await broker.publish(envelope)
    finally:
        await broker.close()

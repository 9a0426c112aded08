"""``roomline publish``: one publication, confirmed."""

import asyncio
import secrets
import sys
import time

from roomline.broker import BrokerError, PublishUnconfirmed
from roomline.commandline import data_from, room_from
from roomline.config import Settings
from roomline.from_settings import make_broker, on_rabbitmq
from roomline.wire import (
    Envelope,
    InvalidData,
    InvalidName,
    Kind,
    body_of,
)


def publish(settings: Settings, room: str, data: str, *, text: bool, kind: Kind) -> int:
    """Publish `data`, which is JSON or `text`, or ``-`` for standard input; the exit status."""
    try:
        envelope = Envelope(
            room=room_from(room),
            body=body_of(data_from(data, text=text)),
            message_id=secrets.token_hex(16),
            time=int(time.time() * 1000),
            kind=kind,
        )
    except (InvalidName, InvalidData) as error:
        print(f"roomline: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_append(settings, envelope))
    except PublishUnconfirmed as error:
        print(f"roomline: it may or may not have been published: {error}", file=sys.stderr)
        return 3
    except BrokerError as error:
        print(f"roomline: not published: {error}", file=sys.stderr)
        return 1
    return 0


async def _append(settings: Settings, envelope: Envelope) -> None:
    if settings.broker.startswith("embedded:"):
        broker = make_broker(settings)
        try:
            await broker.start(_Deaf(), "next")
            await broker.publish(envelope)
        finally:
            await broker.close()
        return
    from roomline.brokers.rabbitmq import RabbitMQPublisher

    publisher = on_rabbitmq(RabbitMQPublisher, settings)
    try:
        await publisher.start()
        await publisher.publish(envelope)
    finally:
        await publisher.close()


class _Deaf:
    """A listener that wants nothing: whoever writes to the embedded log follows it, too."""

    def deliver(self, partition: int, offset: int, envelope: Envelope) -> None:
        """Not wanted."""

    def caught_up(self) -> None:
        """Not wanted."""

    def cut_off(self, reason: str) -> None:
        """Not wanted: publishing fails and says why."""

    def log_reset(self, reason: str) -> None:
        """Not wanted."""

"""The logs of both brokers, for tests of publishing: made, addressed, and read to their end."""

import contextlib
import secrets
from pathlib import Path
from typing import Any, Protocol

import pika
import pika.exceptions
from roomline.repeats import Repeats
from roomline.sqlitelog import SqliteLog
from roomline.wire import ROOMS_EXCHANGE, ROOMS_STREAM, Envelope, envelope_of


class Log(Protocol):
    """A log that is empty at first and takes publications to rooms in some namespaces."""

    broker: str
    """What ``ROOMLINE["BROKER"]`` is."""

    def read(self) -> list[Envelope]:
        """All that is in it."""


class EmbeddedLog:
    """A file, which is made by whoever publishes first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broker = f"embedded:{path}"

    def read(self) -> list[Envelope]:
        log = SqliteLog(self.path)
        try:
            return [envelope for _, envelope in log.read(0, 1_000_000)]
        finally:
            log.close()


class RabbitMQLog:
    """What a gateway declares, at an address at which one may do everything."""

    def __init__(self, url: str) -> None:
        self.broker = url
        with pika.BlockingConnection(pika.URLParameters(url)) as made:
            channel = made.channel()
            channel.exchange_declare(ROOMS_EXCHANGE, "topic", durable=True)
            channel.queue_declare(ROOMS_STREAM, durable=True, arguments={"x-queue-type": "stream"})
            for namespace in ("chat", "object", "admin", "system", "user"):
                channel.queue_bind(ROOMS_STREAM, ROOMS_EXCHANGE, f"{namespace}.#")

    def read(self) -> list[Envelope]:
        found: list[Envelope] = []
        end = secrets.token_bytes(8)
        connection = pika.BlockingConnection(pika.URLParameters(self.broker))
        channel = connection.channel()
        channel.confirm_delivery()
        # Past the exchange, so that it needs no room.
        channel.basic_publish("", ROOMS_STREAM, end, mandatory=True)
        channel.basic_qos(prefetch_count=100)
        ended: list[bool] = []

        def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            channel.basic_ack(method.delivery_tag)
            if method.exchange:
                found.append(envelope_of(method.routing_key, body, vars(properties)))
            elif body == end:
                ended.append(True)

        channel.basic_consume(ROOMS_STREAM, take, arguments={"x-stream-offset": "first"})
        while not ended:
            connection.process_data_events(1)
        # What came meanwhile is given back, which streams do not take.
        with contextlib.suppress(pika.exceptions.AMQPError):
            connection.close()
        return found


class Undecodable(pika.BasicProperties):
    """A header with a time after the year 9999."""

    def encode(self) -> list[bytes]:
        table = b"\x06forgedT\x7f\xff\xff\xff\xff\xff\xff\xff"
        return [b"\x20\x00", len(table).to_bytes(4), table]


def without_repeats(found: list[Envelope]) -> list[Envelope]:
    """What subscribers see of these entries, which are all of a log."""
    repeats = Repeats(10_000)
    return [
        envelope
        for offset, envelope in enumerate(found)
        if not repeats.seen(offset, envelope.room, envelope.message_id)
    ]

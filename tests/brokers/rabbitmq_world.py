"""A log in a RabbitMQ virtual host of its own, and ways to treat it badly."""

import asyncio
import base64
import contextlib
import datetime
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest import mock

import pika
import pika.channel
from roomline.broker import Start
from roomline.brokers.rabbitmq import RabbitMQBroker
from roomline.brokers.rabbitmq_settings import RabbitMQSettings
from roomline.brokers.topology import Item, rooms_topology
from roomline.wire import ROOMS_EXCHANGE, ROOMS_STREAM, Envelope

from tests.brokers.contract import NAMESPACES, Recorder
from tests.support.rabbitmq import RabbitMQNode

FILLER = Envelope("chat.filler", b"x" * 60_000)


class RabbitMQWorld:
    """See `tests.brokers.contract.World`."""

    patience = 15.0
    time_resolution = 1.1
    bytes_per_turn = 256 * 1024
    """pika takes 100 KiB from a socket when there is something, and a frame may be half read."""

    def __init__(self, node: RabbitMQNode, vhost: str) -> None:
        self.node = node
        self.vhost = vhost

    def settings(self, **changes: Any) -> RabbitMQSettings:
        """Settings for this log, with short times."""
        defaults = {
            "url": self.node.url(vhost=self.vhost),
            "namespaces": NAMESPACES,
            "silence": 0.5,
            "max_backoff": 0.5,
            "max_bytes": 2_000_000,  # so little that `trim` can fill it
        }
        return RabbitMQSettings(**(defaults | changes))

    def broker(self, **changes: Any) -> RabbitMQBroker:
        return RabbitMQBroker(self.settings(**changes))

    def topology(self) -> tuple[Item, ...]:
        """What brokers of this world declare."""
        settings = self.settings()
        return rooms_topology(settings.namespaces, settings.max_age, settings.max_bytes)

    @contextlib.asynccontextmanager
    async def running(
        self, start: Start, **changes: Any
    ) -> AsyncIterator[tuple[RabbitMQBroker, Recorder]]:
        """A started broker and its recorder."""
        broker, recorder = self.broker(**changes), Recorder(self.patience)
        await broker.start(recorder, start)
        try:
            yield broker, recorder
        finally:
            await broker.close()

    async def recreate(self) -> None:
        """Delete the stream; brokers that run declare it anew."""
        await asyncio.to_thread(self.delete_stream)

    def unforeseen(self) -> contextlib.AbstractContextManager[object]:
        return mock.patch.object(pika.channel.Channel, "basic_publish", side_effect=MemoryError)

    async def trim(self) -> None:
        async with self.running("next") as (broker, recorder):
            for count in range(1, 51):  # more than is kept, and so that readers keep up
                await broker.publish(FILLER)
                await recorder.until(lambda count=count: len(recorder.entries) >= count)
        for _ in range(50):  # retention runs a little after a segment is full
            async with self.running("first") as (_, recorder):
                await recorder.until_caught_up()
                if recorder.entries[0][2].room == "chat.filler":
                    return
        raise AssertionError("nothing was trimmed")

    def delete_stream(self) -> None:
        self.node.evaluate(
            f'{{ok, Q}} = rabbit_amqqueue:lookup({{resource, <<"{self.vhost}">>, queue,'
            f' <<"{ROOMS_STREAM}">>}}), rabbit_amqqueue:delete(Q, false, false, <<"tests">>)'
        )

    @contextlib.contextmanager
    def plain_channel(self, user: str = "guest") -> Iterator[Any]:
        """A stranger's AMQP channel, with confirms; the password is the user's name."""
        url = self.node.url(user, user, self.vhost)
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
        if connection.is_open:
            connection.close()

    def publish_plainly(
        self, room: str, body: bytes, properties: pika.BasicProperties | None = None
    ) -> None:
        """As anybody with an AMQP library does it."""
        with self.plain_channel() as channel:
            channel.basic_publish(ROOMS_EXCHANGE, room, body, properties, mandatory=True)

    def publish_from_console(self, room: str, body: bytes) -> None:
        """As RabbitMQ's console does it: over HTTP, so that no limit of AMQP's applies."""
        message = {
            "properties": {},
            "routing_key": room,
            "payload": base64.b64encode(body).decode(),
            "payload_encoding": "base64",
        }
        request = urllib.request.Request(
            f"{self.node.management_url}/api/exchanges/{self.vhost}/{ROOMS_EXCHANGE}/publish",
            json.dumps(message).encode(),
            {"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode()},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert json.load(response) == {"routed": True}


class Forged(pika.BasicProperties):
    """Properties with one header, encoded as given: an AMQP type letter and its bytes."""

    def __init__(self, header: bytes) -> None:
        super().__init__()
        self._header = header

    def encode(self) -> list[bytes]:
        table = b"\x06forged" + self._header
        return [b"\x20\x00", len(table).to_bytes(4), table]


ODD_PROPERTIES = [
    pika.BasicProperties(
        type="admin",
        message_id="",
        timestamp=2**63,
        headers={
            "x-stream-offset": -5,
            "timestamp_in_ms": "soon",
            "sender-id": {"nested": ["table"]},
            "sender-name": b"\xff\xfe",
            "key": None,
        },
    ),
    pika.BasicProperties(
        headers={"sender-id": "x" * 5000, "key": [1, 2], "timestamp_in_ms": 2**62}
    ),
    pika.BasicProperties(headers={"sender-id": datetime.datetime(9999, 1, 1), "key": True}),
    Forged(b"d" + b"\x40\x09\x21\xfb\x54\x44\x2d\x18"),  # a double
    Forged(b"x\x00\x00\x00\x02\xff\xfe"),
    Forged(b"S\x00\x00\x00\x02\xff\xfe"),
]
"""What somebody may write by hand; it stands in the log all the same."""

UNDECODABLE = Forged(b"T\x7f\xff\xff\xff\xff\xff\xff\xff")
"""A time after the year 9999, which pika cannot decode."""

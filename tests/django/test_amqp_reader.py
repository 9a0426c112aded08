"""The archive's reader of RabbitMQ's stream, where an entry breaks it or seems to."""

import inspect
import sys
from collections.abc import Callable, Iterator

import pika
import pytest
from django_roomline.amqp_reader import AmqpReader
from django_roomline.logreader import Entry
from pika.exceptions import ConnectionClosedByBroker
from roomline.wire import ROOMS_EXCHANGE

from tests.django.logs import RabbitMQLog, Undecodable
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]  # fixtures

Write = Callable[[int, pika.BasicProperties], None]


@pytest.fixture
def url(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> str:
    return RabbitMQLog(rabbitmq.url(vhost=rabbitmq_vhost)).broker


@pytest.fixture
def write(url: str) -> Iterator[Write]:
    """Appends so many entries with these properties."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()

        def append(count: int, properties: pika.BasicProperties) -> None:
            for _ in range(count):
                channel.basic_publish(ROOMS_EXCHANGE, "chat.a", b"1", properties, mandatory=True)

        yield append


@pytest.fixture
def reader(url: str) -> Iterator[AmqpReader]:
    made = AmqpReader(url, prefetch=10)
    yield made
    made.close()


def read(reader: AmqpReader, count: int) -> list[Entry]:
    found: list[Entry] = []
    while len(found) < count:
        entries = reader.read(5, 20)
        assert entries, f"after {len(found)} there are none"
        found += entries
    return found


def test_many_unreadable_entries_in_a_row_are_stepped_past(write: Write, reader: AmqpReader):
    good = pika.BasicProperties()
    write(1, good)
    write(60, Undecodable())
    write(30, good)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 200)
    try:
        reader.start(None)
        found = read(reader, 91)
    finally:
        sys.setrecursionlimit(limit)
    assert [entry.offset for entry in found] == list(range(91))
    assert [entry.offset for entry in found if entry.envelope is None] == list(range(1, 61))


def test_care_ends_when_no_entry_was_the_reason(write: Write, reader: AmqpReader):
    """As when RabbitMQ meets an error of its own, and then another."""
    write(60, pika.BasicProperties())
    reader.start(None)
    found = reader.read(3, 20)
    for _ in range(2):
        reader._broke(ConnectionClosedByBroker(541, "INTERNAL_ERROR"))
        found += reader.read(1, 20)
    careful = reader.read(5, 20)
    assert len(careful) == 1, "one by one"
    found += careful
    batches = []
    while len(found) < 60:
        batches.append(reader.read(5, 20))
        found += batches[-1]
    assert [entry.offset for entry in found] == list(range(60))
    assert max(map(len, batches)) > 1, "and then as before"

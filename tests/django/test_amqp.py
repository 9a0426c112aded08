"""publish() over a real RabbitMQ: confirmed, bounded in time, and never on a dead connection."""

import ast
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import django_roomline
import pika
import pytest
from django.db import transaction
from django_roomline import (
    BrokerUnavailable,
    PublishRejected,
    PublishUnconfirmed,
    publish,
)
from django_roomline.publishing import disconnect
from roomline.wire import ROOMS_EXCHANGE, ROOMS_STREAM, Envelope, envelope_of

from tests.support.rabbitmq import RabbitMQNode, free_port, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]  # fixtures
pytestmark = pytest.mark.slow

TIMEOUT = 2.0
Entries = Callable[[int], list[Envelope]]


@pytest.fixture
def vhost(rabbitmq: RabbitMQNode, rabbitmq_vhost: str, roomline: Any) -> Iterator[str]:
    """A virtual host with the exchange and the log, to which publish() goes."""
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url(vhost=rabbitmq_vhost))) as made:
        channel = made.channel()
        channel.exchange_declare(ROOMS_EXCHANGE, "topic", durable=True)
        channel.queue_declare(ROOMS_STREAM, durable=True, arguments={"x-queue-type": "stream"})
        channel.queue_bind(ROOMS_STREAM, ROOMS_EXCHANGE, "chat.#")
    roomline(BROKER=rabbitmq.url(vhost=rabbitmq_vhost), PUBLISH_TIMEOUT=TIMEOUT)
    yield rabbitmq_vhost
    disconnect()


@pytest.fixture
def entries(rabbitmq: RabbitMQNode, vhost: str) -> Entries:
    """Reads the first so many entries of the log."""

    def read(count: int) -> list[Envelope]:
        found: list[Envelope] = []
        connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.url(vhost=vhost)))
        channel = connection.channel()
        channel.basic_qos(prefetch_count=100)

        def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            channel.basic_ack(method.delivery_tag)
            found.append(envelope_of(method.routing_key, body, vars(properties)))

        channel.basic_consume(ROOMS_STREAM, take, arguments={"x-stream-offset": "first"})
        deadline = time.monotonic() + 10
        while len(found) < count and time.monotonic() < deadline:
            connection.process_data_events(0.1)
        connection.process_data_events(0.3)  # one too many would come now
        connection.close()
        return found

    return read


def bodies(found: list[Envelope]) -> list[bytes]:
    return [envelope.body for envelope in found]


def test_a_confirmed_publication_is_in_the_log(entries: Entries) -> None:
    publish("chat.lobby", {"text": "héllo"}, kind="admin")
    (envelope,) = entries(1)
    assert envelope.room == "chat.lobby"
    assert envelope.body == '{"text":"héllo"}'.encode()
    assert envelope.kind == "admin"
    assert envelope.publisher == "guest", "the broker has validated the user"
    assert envelope.message_id
    assert envelope.time
    assert abs(envelope.time - time.time() * 1000) < 60_000


def test_rolled_back_is_not_published(entries: Entries) -> None:
    with transaction.atomic():
        publish("chat.lobby", "no")
        transaction.set_rollback(True)
    with transaction.atomic():
        publish("chat.lobby", "yes")
    assert bodies(entries(1)) == [b'"yes"']


def test_a_room_without_a_log_is_not_confirmed(vhost: str) -> None:
    with pytest.raises(BrokerUnavailable, match="returned the publication to room orders"):
        publish("orders", 1)


def test_the_connection_goes_on_after_a_return(entries: Entries) -> None:
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            publish("orders", 1)
    publish("chat.lobby", 1)
    assert bodies(entries(1)) == [b"1"]


def test_no_exchange_may_become_one(
    rabbitmq: RabbitMQNode, rabbitmq_vhost: str, roomline: Any
) -> None:
    roomline(BROKER=rabbitmq.url(vhost=rabbitmq_vhost))
    for _ in range(2):
        with pytest.raises(BrokerUnavailable, match="no exchange 'rooms'"):
            publish("chat.lobby", 1)


def test_who_may_not_write_a_room_is_rejected(
    rabbitmq: RabbitMQNode, vhost: str, roomline: Any, entries: Entries
) -> None:
    rabbitmq.add_user("web", "secret")
    rabbitmq.allow("web", vhost=vhost, topics={ROOMS_EXCHANGE: (r"^chat\.lobby$", "")})
    roomline(BROKER=rabbitmq.url("web", "secret", vhost))
    with pytest.raises(PublishRejected, match="ACCESS_REFUSED"):
        publish("chat.other", 1)
    publish("chat.lobby", 2)
    assert [(e.body, e.publisher) for e in entries(1)] == [(b"2", "web")]


def test_a_wrong_password_is_said_and_not_repeated(rabbitmq: RabbitMQNode, roomline: Any) -> None:
    roomline(BROKER=rabbitmq.url("guest", "hunter2"))
    with pytest.raises(BrokerUnavailable, match="cannot be reached") as caught:
        publish("chat.lobby", 1)
    assert "ACCESS_REFUSED" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_nobody_there_is_said_at_once(roomline: Any) -> None:
    roomline(BROKER=f"amqp://guest:hunter2@127.0.0.1:{free_port()}/")
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="refused") as caught:
        publish("chat.lobby", 1)
    assert time.monotonic() - began < TIMEOUT
    assert "hunter2" not in str(caught.value)


def test_tls_where_there_is_none_is_said(rabbitmq: RabbitMQNode, roomline: Any) -> None:
    roomline(BROKER=rabbitmq.url().replace("amqp://", "amqps://"))
    with pytest.raises(BrokerUnavailable, match=r"SSL|lost"):
        publish("chat.lobby", 1)


def test_a_connection_that_died_while_idle_is_replaced(
    rabbitmq: RabbitMQNode, entries: Entries
) -> None:
    publish("chat.lobby", 1)
    rabbitmq.evaluate('rabbit_networking:close_all_connections(<<"a test">>)')
    publish("chat.lobby", 2)
    assert bodies(entries(2)) == [b"1", b"2"]


def test_a_broker_that_was_restarted_is_found_again(
    rabbitmq: RabbitMQNode, entries: Entries
) -> None:
    publish("chat.lobby", 1)
    rabbitmq.kill()
    with pytest.raises(BrokerUnavailable):
        publish("chat.lobby", "down")
    rabbitmq.start()
    deadline = time.monotonic() + 20
    while True:  # "returned: not up yet" is what a publisher may see for a moment
        try:
            publish("chat.lobby", 2)
            break
        except BrokerUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert bodies(entries(2)) == [b"1", b"2"]


def test_a_broker_alarm_does_not_hang(rabbitmq: RabbitMQNode, entries: Entries) -> None:
    publish("chat.lobby", 1)
    rabbitmq.raise_alarm()
    began = time.monotonic()
    with pytest.raises(PublishUnconfirmed, match="out of memory"):
        publish("chat.lobby", 2)
    assert time.monotonic() - began < TIMEOUT + 1
    rabbitmq.clear_alarm()
    publish("chat.lobby", 3)
    assert bodies(entries(2))[-1] == b"3"


@pytest.fixture
def frozen(rabbitmq: RabbitMQNode) -> Iterator[Callable[[], None]]:
    """Stops the broker where it stands, until the end of the test."""
    assert rabbitmq._server
    pid = rabbitmq._server.pid
    yield lambda: os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("connected", [True, False])
def test_a_broker_that_stands_still_does_not_hang(
    vhost: str, frozen: Callable[[], None], connected: bool
) -> None:
    if connected:
        publish("chat.lobby", 1)
    frozen()
    began = time.monotonic()
    with pytest.raises(PublishUnconfirmed if connected else BrokerUnavailable):
        publish("chat.lobby", 2)
    assert time.monotonic() - began < TIMEOUT + 1


def test_nothing_is_left_open(rabbitmq: RabbitMQNode, vhost: str) -> None:
    publish("chat.lobby", 1)
    files = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        rabbitmq.evaluate('rabbit_networking:close_all_connections(<<"a test">>)')
        publish("chat.lobby", number)
    assert len(os.listdir("/proc/self/fd")) <= files
    disconnect()
    assert len(os.listdir("/proc/self/fd")) < files


def test_each_thread_has_its_own_connection(rabbitmq: RabbitMQNode, entries: Entries) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(20):
                publish("chat.lobby", number, on_commit=False)
            disconnect()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors
    assert sorted(bodies(entries(80))) == sorted([b"%d" % n for n in range(4)] * 20)


def test_forks_leave_their_parent_s_connection_alone(entries: Entries) -> None:
    publish("chat.lobby", "parent")
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            try:
                for _ in range(10):
                    publish("chat.lobby", number, on_commit=False)
                disconnect()
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    for _ in range(10):
        publish("chat.lobby", "parent")
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    publish("chat.lobby", "parent")
    expected = [b'"parent"'] * 12 + [b"%d" % n for n in range(3)] * 10
    assert sorted(bodies(entries(42))) == sorted(expected)


def test_the_bracketed_vhost_and_password_are_decoded(
    rabbitmq: RabbitMQNode, vhost: str, roomline: Any, entries: Entries
) -> None:
    rabbitmq.add_user("odd", "p@ss/wörd")
    rabbitmq.allow("odd", vhost=vhost)
    address = f"amqp://odd:{quote('p@ss/wörd', '')}@127.0.0.1:{rabbitmq.port}/{vhost}"
    roomline(BROKER=address)
    publish("chat.lobby", 1)
    assert bodies(entries(1)) == [b"1"]


def test_exactly_one_file_imports_pika() -> None:
    package = Path(django_roomline.__path__[0])
    importers = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] == "pika" for name in names):
                importers.add(path.name)
    assert importers == {"amqp.py"}

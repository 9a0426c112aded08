"""publish() over a real RabbitMQ: confirmed, bounded in time, and never on a dead connection."""

import ast
import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import django_roomline
import pika
import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import transaction
from django_roomline import (
    BrokerUnavailable,
    PublishRejected,
    PublishReturned,
    PublishUnconfirmed,
    amqp,
    publish,
    publishing,
)
from django_roomline.amqp import MAX_CONNECTIONS
from django_roomline.publishing import disconnect, send
from roomline.wire import ROOMS_EXCHANGE, ROOMS_STREAM, Envelope

from tests.django.logs import RabbitMQLog
from tests.support.certificates import make_authority, make_certificate
from tests.support.rabbitmq import RabbitMQNode, free_port, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]  # fixtures
pytestmark = pytest.mark.slow

TIMEOUT = 2.0
Entries = Callable[[], list[Envelope]]


@pytest.fixture
def vhost(rabbitmq: RabbitMQNode, rabbitmq_vhost: str, roomline: Any) -> Iterator[str]:
    """A virtual host with the exchange and the log, to which publish() goes."""
    RabbitMQLog(rabbitmq.url(vhost=rabbitmq_vhost))
    roomline(BROKER=rabbitmq.url(vhost=rabbitmq_vhost), PUBLISH_TIMEOUT=TIMEOUT)
    yield rabbitmq_vhost
    disconnect()


@pytest.fixture
def entries(rabbitmq: RabbitMQNode, vhost: str) -> Entries:
    """Reads the log."""
    return RabbitMQLog(rabbitmq.url(vhost=vhost)).read


class Between:
    """A TCP proxy to the broker that can lose an answer, and the connection with it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._lose: Callable[[], object] | None = None
        self.port = self._listener.getsockname()[1]
        self.accepted = 0
        self._start(self._accept)

    def lose_the_next_answer(self, then: Callable[[], object]) -> None:
        """Instead of forwarding it call `then`, and cut the connection."""
        self._lose = then

    def close(self) -> None:
        """Refuse connections from now on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def end(self) -> None:
        """Close everything."""
        self.close()
        for each in self._sockets:
            each.close()

    def _start(self, function: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=function, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                self._start(self._forward, client, server, False)
                self._start(self._forward, server, client, True)

    def _forward(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):  # cut
            while data := source.recv(65536):
                if answers and self._lose is not None:
                    then, self._lose = self._lose, None
                    then()
                    break
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def between(rabbitmq: RabbitMQNode, vhost: str, roomline: Any) -> Iterator[Between]:
    """What publish() connects to in place of the broker."""
    proxy = Between(rabbitmq.port)
    address = rabbitmq.url(vhost=vhost).replace(f":{rabbitmq.port}/", f":{proxy.port}/")
    roomline(BROKER=address, PUBLISH_TIMEOUT=TIMEOUT)
    yield proxy
    disconnect()
    proxy.end()


@pytest.fixture
def silent() -> Iterator[Callable[[str, int], int]]:
    """Listens on an address and never answers; returns the port."""
    with contextlib.ExitStack() as stack:

        def listen(address: str, port: int) -> int:
            listener = stack.enter_context(socket.create_server((address, port)))
            return int(listener.getsockname()[1])

        yield listen


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives the host ``rabbit.test`` these addresses."""
    real = socket.getaddrinfo

    def give(*addresses: str) -> None:
        def look_up(host: str, *rest: Any, **named: Any) -> list[Any]:
            found = addresses if host == "rabbit.test" else (host,)
            return [entry for each in found for entry in real(each, *rest, **named)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    return give


def bodies(found: list[Envelope]) -> list[bytes]:
    return [envelope.body for envelope in found]


def test_a_confirmed_publication_is_in_the_log(entries: Entries) -> None:
    publish("chat.lobby", {"text": "héllo"}, kind="admin")
    (envelope,) = entries()
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
    assert bodies(entries()) == [b'"yes"']


def test_a_room_without_a_log_is_not_confirmed(vhost: str) -> None:
    with pytest.raises(PublishReturned, match="returned the publication to room orders"):
        publish("orders", 1)


@pytest.mark.parametrize("strange", [{"time": -1}, {"message_id": "é" * 200}], ids=str)
def test_what_amqp_cannot_say_is_rejected(entries: Entries, strange: dict[str, Any]) -> None:
    envelope = Envelope("chat.lobby", b"1", message_id="one", time=1)
    with pytest.raises(PublishRejected, match="cannot be written as AMQP"):
        send(envelope._replace(**strange), 5)
    publish("chat.lobby", 2)
    assert bodies(entries()) == [b"2"]


def test_the_connection_goes_on_after_a_return(entries: Entries) -> None:
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            publish("orders", 1)
    publish("chat.lobby", 1)
    assert bodies(entries()) == [b"1"]


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
    assert [(e.body, e.publisher) for e in entries()] == [(b"2", "web")]


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
    assert bodies(entries()) == [b"1", b"2"]


def test_a_connection_that_was_idle_longer_than_the_heartbeat_is_replaced(
    rabbitmq: RabbitMQNode, between: Between, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp, "HEARTBEAT_SECONDS", 1)
    disconnect()
    publishing._publishers.clear()  # the next one has the other heartbeat
    publish("chat.lobby", 1)
    connections = "length(rabbit_networking:connections())"
    deadline = time.monotonic() + 30
    while rabbitmq.evaluate(connections) != "0":  # the broker misses our heartbeats
        assert time.monotonic() < deadline
        time.sleep(0.1)
    publish("chat.lobby", 2)
    assert bodies(entries()) == [b"1", b"2"]
    assert between.accepted == 2


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
    assert bodies(entries()) == [b"1", b"2"]


def test_a_broker_alarm_does_not_hang(rabbitmq: RabbitMQNode, entries: Entries) -> None:
    publish("chat.lobby", 1)
    rabbitmq.raise_alarm()
    began = time.monotonic()
    with pytest.raises(PublishUnconfirmed, match="out of memory"):
        publish("chat.lobby", 2)
    assert time.monotonic() - began < TIMEOUT + 1
    rabbitmq.clear_alarm()
    publish("chat.lobby", 3)
    assert bodies(entries())[-1] == b"3"


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


def test_an_answer_that_was_lost_is_asked_for_again(between: Between, entries: Entries) -> None:
    publish("chat.lobby", 1)
    between.lose_the_next_answer(lambda: None)
    publish("chat.lobby", 2)
    first, second, repeat = entries()
    assert [first.body, second.body, repeat.body] == [b"1", b"2", b"2"]
    assert second.message_id == repeat.message_id, "a repeat, which gateways drop"


@pytest.mark.parametrize("then", ["gone", "unbound", "no exchange"])
def test_what_may_be_in_the_log_is_never_said_not_to_be(
    rabbitmq: RabbitMQNode, vhost: str, between: Between, entries: Entries, then: str
) -> None:
    def spoil() -> None:
        if then == "gone":
            between.close()
            return
        with pika.BlockingConnection(pika.URLParameters(rabbitmq.url(vhost=vhost))) as made:
            if then == "unbound":
                made.channel().queue_unbind(ROOMS_STREAM, ROOMS_EXCHANGE, "chat.#")
            else:
                made.channel().exchange_delete(ROOMS_EXCHANGE)

    publish("chat.lobby", 1)
    between.lose_the_next_answer(spoil)
    with pytest.raises(PublishUnconfirmed, match=r"broke before it had confirmed.*; and then: "):
        publish("chat.lobby", 2)
    assert bodies(entries()) == [b"1", b"2"], "it was in the log all the same"


def test_a_callers_retry_with_a_key_is_a_repeat(entries: Entries) -> None:
    for _ in range(2):
        publish("chat.lobby", 1, key="order-7")
    publish("chat.lobby", 1, key="order-8")
    first, repeat, other = entries()
    assert first.message_id == repeat.message_id != other.message_id
    assert [first.key, repeat.key, other.key] == ["order-7", "order-7", "order-8"]


def test_requests_of_an_asgi_server_use_one_connection(between: Between, entries: Entries) -> None:
    async def request(number: int) -> None:
        async with ThreadSensitiveContext():  # a thread of its own, as Django's handler does
            await sync_to_async(publish)("chat.lobby", number, on_commit=False)

    async def serve() -> None:
        for number in range(20):
            await request(number)

    asyncio.run(serve())
    assert bodies(entries()) == [b"%d" % number for number in range(20)]
    assert between.accepted == 1


def test_threads_share_a_bounded_number_of_connections(between: Between, entries: Entries) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(5):
                publish("chat.lobby", number, on_commit=False)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors
    assert sorted(bodies(entries())) == sorted([b"%d" % n for n in range(20)] * 5)
    assert 1 <= between.accepted <= MAX_CONNECTIONS


def test_many_threads_wait_for_a_silent_broker_no_longer_than_one(
    vhost: str, frozen: Callable[[], None]
) -> None:
    publish("chat.lobby", 1)
    frozen()
    errors: list[str] = []

    def work(timeout: float) -> None:
        try:
            send(Envelope("chat.lobby", b"2"), timeout)
        except (BrokerUnavailable, PublishUnconfirmed) as error:
            errors.append(str(error))

    def start(timeout: float) -> list[threading.Thread]:
        threads = [threading.Thread(target=work, args=(timeout,)) for _ in range(MAX_CONNECTIONS)]
        for thread in threads:
            thread.start()
        return threads

    began = time.monotonic()
    holding = start(TIMEOUT)
    pool = publishing.current_publisher()._pool  # type: ignore[attr-defined]
    while pool._turns < MAX_CONNECTIONS:
        assert time.monotonic() < began + TIMEOUT
        time.sleep(0.001)
    waiting = start(TIMEOUT / 4)
    for thread in waiting:
        thread.join(30)
    assert len(errors) == len(waiting)
    assert all("other publications" in error for error in errors)
    for thread in holding:
        thread.join(30)
    assert time.monotonic() - began < TIMEOUT + 1
    assert len(errors) == len(waiting) + len(holding)


def test_another_address_of_the_host_is_tried_in_time(
    rabbitmq: RabbitMQNode,
    vhost: str,
    roomline: Any,
    entries: Entries,
    silent: Callable[[str, int], int],
    names: Callable[..., None],
) -> None:
    silent("127.0.0.2", rabbitmq.port)
    silent("127.0.0.3", rabbitmq.port)
    names("127.0.0.2", "127.0.0.3", "127.0.0.1")
    roomline(BROKER=rabbitmq.url(vhost=vhost).replace("127.0.0.1", "rabbit.test"))
    publish("chat.lobby", 1)
    assert bodies(entries()) == [b"1"]
    disconnect()


def test_all_addresses_together_take_no_longer_than_one(
    roomline: Any, silent: Callable[[str, int], int], names: Callable[..., None]
) -> None:
    port = silent("127.0.0.1", 0)
    silent("127.0.0.2", port)
    silent("127.0.0.3", port)
    names("127.0.0.1", "127.0.0.2", "127.0.0.3")
    roomline(BROKER=f"amqp://guest:guest@rabbit.test:{port}/", PUBLISH_TIMEOUT=0.9)
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="cannot be reached"):
        publish("chat.lobby", 1)
    assert 0.6 < time.monotonic() - began < 1.6


def test_a_resolver_that_hangs_does_not_hang_us(
    roomline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30) and [])
    roomline(BROKER="amqp://guest:guest@rabbit.test/", PUBLISH_TIMEOUT=0.3)
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"rabbit\.test could not be found in time"):
        publish("chat.lobby", 1)
    assert time.monotonic() - began < 1.3
    over.set()


@pytest.fixture(scope="module")
def tls_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RabbitMQNode, Path]]:
    """A broker whose certificate is for ``localhost``, and the authority's certificate."""
    folder = tmp_path_factory.mktemp("certificates")
    make_authority(folder)
    make_certificate(folder, "server", "localhost")
    node = RabbitMQNode(certificates=folder)
    node.start()
    yield node, folder / "ca.pem"
    node.stop()


def test_the_certificate_must_be_for_the_name_and_not_the_address(
    tls_node: tuple[RabbitMQNode, Path], roomline: Any, names: Callable[..., None]
) -> None:
    node, authority = tls_node
    names("127.0.0.1")
    options = "?ssl_options=" + quote(repr({"cafile": str(authority)}))
    roomline(BROKER=node.tls_url() + options)
    with pytest.raises(BrokerUnavailable, match="no exchange 'rooms'"):  # so far it came
        publish("chat.lobby", 1)
    roomline(BROKER=node.tls_url().replace("localhost", "rabbit.test") + options)
    with pytest.raises(BrokerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        publish("chat.lobby", 1)


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
    assert sorted(bodies(entries())) == sorted(expected)


def test_the_bracketed_vhost_and_password_are_decoded(
    rabbitmq: RabbitMQNode, vhost: str, roomline: Any, entries: Entries
) -> None:
    rabbitmq.add_user("odd", "p@ss/wörd")
    rabbitmq.allow("odd", vhost=vhost)
    address = f"amqp://odd:{quote('p@ss/wörd', '')}@127.0.0.1:{rabbitmq.port}/{vhost}"
    roomline(BROKER=address)
    publish("chat.lobby", 1)
    assert bodies(entries()) == [b"1"]


def test_three_files_import_pika() -> None:
    """One publishes, one reads the log and one takes requests; nobody else knows it."""
    package = Path(django_roomline.__path__[0])
    importers = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] == "pika" for name in names):
                importers.add(path.name)
    assert importers == {"amqp.py", "amqp_reader.py", "amqp_requests.py"}

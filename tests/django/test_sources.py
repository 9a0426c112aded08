"""Both ways of requests, from a gateway's side to a worker's and back: one contract, and what is
special about each."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pika
import pytest
from django_roomline import amqp_requests, embedded_requests
from django_roomline.amqp_requests import AmqpGraveyard, AmqpSource
from django_roomline.embedded_requests import LEASE_SECONDS, EmbeddedGraveyard, EmbeddedSource
from django_roomline.requests import Handler, Request
from django_roomline.sources import Delivery, Graveyard, Source, SourceUnavailable
from django_roomline.worker import Worker
from roomline.broker import BrokerUnavailable, PublishUnconfirmed, Requests
from roomline.brokers.embedded_requests import EmbeddedRequests
from roomline.brokers.rabbitmq_requests import RabbitMQRequests
from roomline.brokers.rabbitmq_settings import RabbitMQSettings
from roomline.requests import (
    ATTEMPTS,
    DEAD_REQUESTS,
    FAILED,
    NODES_EXCHANGE,
    REQUESTS_EXCHANGE,
    REQUESTS_QUEUE,
    Answer,
    answer_properties,
    error_answer,
    request_properties,
)
from roomline.requests import Request as Wired
from roomline.sqlitefile import BUSY_SECONDS
from roomline.sqlitequeue import QUEUE_SUFFIX
from roomline.wire import Sender

from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]  # fixtures

PATIENCE = 20.0


class World:
    """One queue, and what is opened on it."""

    def __init__(
        self,
        make_requests: Callable[[], Requests],
        make_source: Callable[[int], Source],
        graveyard: Graveyard,
    ) -> None:
        self._make_requests = make_requests
        self._make_source = make_source
        self.graveyard = graveyard
        self._opened: list[Requests] = []
        self._sources: list[Source] = []

    async def requests(self) -> Requests:
        """A gateway's side, started."""
        made = self._make_requests()
        self._opened.append(made)
        await made.start()
        return made

    def source(self, count: int = 5) -> Source:
        """A worker's side."""
        self._sources.append(self._make_source(count))
        return self._sources[-1]

    async def close(self) -> None:
        for made in self._opened:
            await made.close()
        for source in self._sources:
            source.close()


@pytest.fixture
def embedded(tmp_path: Path) -> World:
    path = str(tmp_path / "rooms.sqlite3")
    return World(
        lambda: EmbeddedRequests(path + QUEUE_SUFFIX),
        lambda count: EmbeddedSource(path),
        EmbeddedGraveyard(path),
    )


@pytest.fixture
def amqp(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> World:
    url = rabbitmq.url(vhost=rabbitmq_vhost)
    settings = RabbitMQSettings(url=url, namespaces=("chat",), max_backoff=0.5)
    return World(
        lambda: RabbitMQRequests(settings, frozenset()),
        lambda count: AmqpSource(url, frozenset(), count),
        AmqpGraveyard(url, frozenset()),
    )


@pytest.fixture(params=["embedded", pytest.param("amqp", marks=pytest.mark.slow)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    found: World = request.getfixturevalue(request.param)
    yield found
    await found.close()


@pytest.fixture
async def of_amqp(amqp: World) -> AsyncIterator[World]:
    yield amqp
    await amqp.close()


def wired(number: int = 1, **changes: Any) -> Wired:
    request = Wired(
        f"r-{number}", "orders.cancel", b'{"order":7}', Sender("7", "Ann"), 1234567, PATIENCE
    )
    return request._replace(**changes)


async def taken(source: Source) -> Delivery:
    """The next request."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        delivery = await asyncio.to_thread(source.take, 0.2)
        if delivery is not None:
            return delivery
    raise AssertionError("no request has come")


async def nothing(source: Source, seconds: float = 0.7) -> None:
    """No request comes for a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert await asyncio.to_thread(source.take, 0.1) is None


async def test_there_and_back(world: World) -> None:
    requests, source = await world.requests(), world.source()
    answered = requests.send(wired())
    delivery = await taken(source)
    assert (delivery.request, delivery.attempt) == (wired(), 1)
    await asyncio.to_thread(delivery.answer, Answer(b'{"ok":true}'))
    assert await answered == Answer(b'{"ok":true}')
    delivery.finish()
    await nothing(source)


async def test_errors_and_anonymous_requests_come_through(world: World) -> None:
    requests, source = await world.requests(), world.source()
    request = wired(sender=None, body=b"null", timeout=5.0)
    answered = requests.send(request)
    delivery = await taken(source)
    assert delivery.request == request
    refusal = error_answer("request_failed", "Zu spät.", "late")
    await asyncio.to_thread(delivery.answer, refusal)
    assert await answered == refusal


async def test_answers_reach_the_node_that_has_asked(world: World) -> None:
    nodes, source = [await world.requests() for _ in range(2)], world.source()
    futures = [nodes[n % 2].send(wired(n, body=b"%d" % n)) for n in range(4)]
    for _ in futures:
        delivery = await taken(source)
        await asyncio.to_thread(delivery.answer, Answer(delivery.request.body))
        delivery.finish()
    assert [(await future).body for future in futures] == [b"0", b"1", b"2", b"3"]


async def test_each_is_given_to_one_worker(world: World) -> None:
    requests, sources = await world.requests(), [world.source(2) for _ in range(2)]
    for source in sources:
        await nothing(source, 0.1)  # it is there
    for number in range(4):
        requests.send(wired(number))
    found = [await taken(source) for source in sources for _ in range(2)]
    assert {delivery.request.id for delivery in found} == {"r-0", "r-1", "r-2", "r-3"}
    for source in sources:
        await nothing(source, 0.3)


async def test_what_fails_comes_again_and_is_dead_in_the_end(world: World) -> None:
    requests, source = await world.requests(), world.source()
    answered = requests.send(wired())
    for attempt in range(1, ATTEMPTS + 1):
        delivery = await taken(source)
        assert (delivery.request, delivery.attempt) == (wired(), attempt)
        await asyncio.to_thread(delivery.fail, 0.05)
    await nothing(source)
    assert await answered == FAILED
    (dead,) = await asyncio.to_thread(world.graveyard.dead)
    assert dead.request._replace(timeout=PATIENCE) == wired()
    assert dead.died is not None
    assert abs(dead.died / 1000 - time.time()) < 60
    assert await asyncio.to_thread(world.graveyard.dead) == [dead], "looking changes nothing"

    assert await asyncio.to_thread(world.graveyard.requeue_dead) == 1
    assert await asyncio.to_thread(world.graveyard.dead) == []
    delivery = await taken(source)
    assert (delivery.request.id, delivery.request.sender) == ("r-1", Sender("7", "Ann"))
    assert delivery.attempt == 1
    await asyncio.to_thread(delivery.answer, Answer(b"1"))  # to nobody
    delivery.finish()
    await nothing(source)


async def test_what_a_worker_leaves_behind_is_given_to_another_one(world: World) -> None:
    requests, first = await world.requests(), world.source()
    answered = requests.send(wired())
    lost = await taken(first)
    first.close()
    second = world.source()
    delivery = await taken(second)
    assert (delivery.request, delivery.attempt) == (wired(), 2)
    lost.finish()  # it is not its any more
    await asyncio.to_thread(delivery.answer, Answer(b"2"))
    assert await answered == Answer(b"2")


async def test_a_worker_that_has_stopped_takes_nothing_and_keeps_what_it_has(world: World) -> None:
    requests, source = await world.requests(), world.source()
    first = requests.send(wired(1))
    delivery = await taken(source)
    await asyncio.to_thread(source.stop)
    second = requests.send(wired(2))
    await asyncio.to_thread(source.tend, 0.3)
    other = await taken(world.source())
    assert other.request.id == "r-2"
    for each in (delivery, other):
        await asyncio.to_thread(each.answer, Answer(each.request.id.encode()))
        each.finish()
    await asyncio.to_thread(source.tend, 0.1)
    assert [(await future).body for future in (first, second)] == [b"r-1", b"r-2"]


async def test_nobody_carries_out_what_nobody_waits_for(world: World) -> None:
    requests, source = await world.requests(), world.source()
    with pytest.raises(PublishUnconfirmed, match=r"no answer within 1 s"):
        await requests.send(wired(timeout=1.0))
    await nothing(source)
    assert await asyncio.to_thread(world.graveyard.dead) == [], "it has not failed"


async def test_an_answer_that_comes_too_late_does_no_harm(world: World) -> None:
    requests, source = await world.requests(), world.source()
    waiting = requests.send(wired(1, timeout=1.0))
    late = await taken(source)
    with pytest.raises(PublishUnconfirmed):
        await waiting
    await asyncio.to_thread(late.answer, Answer(b"1"))
    late.finish()
    answered = requests.send(wired(2))
    delivery = await taken(source)
    await asyncio.to_thread(delivery.answer, Answer(b"2"))
    assert await answered == Answer(b"2")


async def test_closing_leaves_nobody_waiting(world: World) -> None:
    requests = await world.requests()
    waiting = requests.send(wired(1))
    await asyncio.sleep(0.1)
    await requests.close()
    with pytest.raises(PublishUnconfirmed):
        await waiting
    with pytest.raises(BrokerUnavailable):
        await requests.send(wired(2))


class Never:
    asked = False


async def test_a_worker_does_not_end_amid_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to stop when the handler is done and the answer on its way, which takes long."""
    stop = Never()
    source = world.source()
    requests = await world.requests()
    for sort in (amqp_requests._Delivery, embedded_requests._Delivery):

        def slowly(self: Any, answer: Answer, send: Any = sort.answer) -> None:
            stop.asked = True
            time.sleep(0.5)
            send(self, answer)

        monkeypatch.setattr(sort, "answer", slowly)
    known = Handler("orders.cancel", lambda request: "done", PATIENCE, None, False)
    worker = Worker(source, stop, 1, find=lambda name: known)
    thread = threading.Thread(target=worker.run)
    thread.start()
    answered = await requests.send(wired(sender=None))
    assert json.loads(answered.body) == "done"
    await asyncio.to_thread(thread.join)
    assert (worker.answered, worker.failed) == (1, 0)
    assert await asyncio.to_thread(world.source().take, 0.5) is None, "it is finished, too"


# The embedded queue.


async def test_a_request_that_was_lost_and_comes_back_is_not_begun_twice(
    embedded: World, tmp_path: Path
) -> None:
    go_on, begun = threading.Event(), []

    def handler(request: Request) -> str:
        begun.append(request.attempt)
        assert go_on.wait(PATIENCE)
        return "done"

    stop = Never()
    known = Handler("orders.cancel", handler, PATIENCE, None, False)
    worker = Worker(embedded.source(), stop, 2, find=lambda name: known)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        requests = await embedded.requests()
        answered = requests.send(wired(sender=None))
        path = tmp_path / f"rooms.sqlite3{QUEUE_SUFFIX}"
        await asyncio.to_thread(lose_lease, path)
        go_on.set()
        assert json.loads((await answered).body) == "done"
        assert begun == [1]
    finally:
        go_on.set()
        stop.asked = True
        await asyncio.to_thread(thread.join)
        await embedded.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (0,)
    connection.close()


def lose_lease(path: Path) -> None:
    """Have the lease end, as if its worker had stood still; return when it was taken anew."""
    deadline = time.monotonic() + PATIENCE
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)

    def attempts() -> int:
        rows = connection.execute("SELECT attempts FROM requests").fetchall()
        return int(rows[0][0]) if rows else 0

    for wanted in (1, 2):
        while attempts() < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if wanted == 1:
            connection.execute("UPDATE requests SET free = 0")
    connection.close()


async def test_a_file_that_is_locked_for_long_costs_no_request_and_repeats_none(
    embedded: World, tmp_path: Path
) -> None:
    """Longer than one attempt to use it takes, shorter than a lease."""
    attempts, stop = [], Never()
    begun, go_on = threading.Event(), threading.Event()

    def handler(request: Request) -> str:
        attempts.append(request.attempt)
        begun.set()
        assert go_on.wait(PATIENCE)
        return "done"

    known = Handler("orders.cancel", handler, PATIENCE, None, False)
    worker = Worker(embedded.source(), stop, 1, find=lambda name: known)
    thread = threading.Thread(target=worker.run)
    thread.start()
    holder = sqlite3.connect(tmp_path / f"rooms.sqlite3{QUEUE_SUFFIX}", isolation_level=None)
    try:
        answered = (await embedded.requests()).send(wired(sender=None))
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        holder.execute("BEGIN EXCLUSIVE")
        await asyncio.sleep(LEASE_SECONDS / 4 + BUSY_SECONDS + 0.5)
        holder.execute("ROLLBACK")
        go_on.set()
        assert json.loads((await answered).body) == "done"
        assert attempts == [1]
    finally:
        go_on.set()
        stop.asked = True
        await asyncio.to_thread(thread.join)
        holder.close()
        await embedded.close()
    assert (worker.answered, worker.failed) == (1, 0)


def test_an_unusable_queue_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rooms.sqlite3"
    Path(f"{path}{QUEUE_SUFFIX}").write_bytes(b"this is no database" * 100)
    with pytest.raises(SourceUnavailable, match="file is not a database"):
        EmbeddedSource(str(path)).take(0)
    with pytest.raises(SourceUnavailable):
        EmbeddedGraveyard(str(path)).dead()


# RabbitMQ: whom to believe.


def publish(url: str, exchange: str, key: str, body: bytes, properties: dict[str, Any]) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(
            exchange, key, body, pika.BasicProperties(**properties), mandatory=True
        )


def messages(url: str, queue: str) -> int:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        declared = connection.channel().queue_declare(queue, passive=True)
        return int(declared.method.message_count)


@pytest.fixture
def stranger(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> str:
    """The address of a user who may publish everywhere and whom nobody has named."""
    rabbitmq.add_user("stranger", "stranger")
    rabbitmq.allow("stranger", vhost=rabbitmq_vhost)
    return rabbitmq.url("stranger", "stranger", rabbitmq_vhost)


async def test_a_request_of_a_stranger_is_not_believed(of_amqp: World, stranger: str) -> None:
    await of_amqp.requests()
    source = of_amqp.source()
    for user in ("stranger", None):
        properties = request_properties(wired(), "node.x", user)
        await asyncio.to_thread(
            publish, stranger, REQUESTS_EXCHANGE, "orders.cancel", b"1", properties
        )
    await nothing(source)
    assert await asyncio.to_thread(messages, stranger, REQUESTS_QUEUE) == 0
    named = AmqpSource(stranger.replace("stranger:stranger", "guest:guest"), frozenset(), 1)
    named._believed |= {"stranger"}
    source.close()
    await asyncio.to_thread(
        publish,
        stranger,
        REQUESTS_EXCHANGE,
        "orders.cancel",
        b"1",
        request_properties(wired(), "node.x", "stranger"),
    )
    assert (await taken(named)).request.id == "r-1"
    named.close()


async def test_an_answer_of_a_stranger_is_not_believed(of_amqp: World, stranger: str) -> None:
    requests, source = await of_amqp.requests(), of_amqp.source()
    answered = requests.send(wired())
    delivery = await taken(source)
    assert isinstance(requests, RabbitMQRequests)
    for user in ("stranger", None):
        await asyncio.to_thread(
            publish,
            stranger,
            NODES_EXCHANGE,
            requests._reply_to,
            b'"forged"',
            answer_properties("r-1", Answer(b""), user),
        )
    await asyncio.to_thread(delivery.answer, Answer(b'"true"'))
    assert await answered == Answer(b'"true"')


async def test_what_a_stranger_has_put_among_the_dead_stays_there(
    of_amqp: World, stranger: str
) -> None:
    """Putting it back would make it a request of the project's own user."""
    await of_amqp.requests()
    source = of_amqp.source()
    properties = request_properties(wired(), "node.x", "stranger")
    del properties["expiration"]
    properties["headers"]["x-first-death-reason"] = "rejected"
    await asyncio.to_thread(publish, stranger, DEAD_REQUESTS, "orders.cancel", b"1", properties)
    assert await asyncio.to_thread(of_amqp.graveyard.requeue_dead) == 0
    await nothing(source, 0.3)
    assert await asyncio.to_thread(messages, stranger, DEAD_REQUESTS) == 1


async def test_what_is_no_request_holds_up_nothing(
    of_amqp: World, rabbitmq: RabbitMQNode, rabbitmq_vhost: str
) -> None:
    requests, source = await of_amqp.requests(), of_amqp.source(1)
    url = rabbitmq.url(vhost=rabbitmq_vhost)
    await asyncio.to_thread(publish, url, REQUESTS_EXCHANGE, "x", b"?", {"user_id": "guest"})
    requests.send(wired())
    assert (await taken(source)).request == wired()


async def test_under_an_alarm_no_request_is_taken(of_amqp: World, rabbitmq: RabbitMQNode) -> None:
    requests = await of_amqp.requests()
    rabbitmq.raise_alarm()
    try:
        futures = []
        async with asyncio.timeout(PATIENCE):
            while True:  # RabbitMQ says so after the first one that it does not take
                future = requests.send(wired(len(futures)))
                futures.append(future)
                await asyncio.wait({future}, timeout=0.2)
                if future.done() and isinstance(future.exception(), BrokerUnavailable):
                    break
    finally:
        rabbitmq.clear_alarm()


async def test_a_queue_that_is_not_there_is_said(
    rabbitmq: RabbitMQNode, rabbitmq_vhost: str
) -> None:
    source = AmqpSource(rabbitmq.url(vhost=rabbitmq_vhost), frozenset(), 1)
    with pytest.raises(SourceUnavailable, match="no queue 'requests'"):
        await asyncio.to_thread(source.take, 0.1)
    graveyard = AmqpGraveyard(rabbitmq.url(vhost=rabbitmq_vhost), frozenset())
    with pytest.raises(SourceUnavailable, match=r"no queue 'requests\.dead'"):
        await asyncio.to_thread(graveyard.dead)


async def test_a_queue_that_is_deleted_and_made_anew(
    of_amqp: World, rabbitmq: RabbitMQNode, rabbitmq_vhost: str
) -> None:
    await of_amqp.requests()
    source = of_amqp.source()
    await nothing(source, 0.1)

    def delete() -> None:
        parameters = pika.URLParameters(rabbitmq.url(vhost=rabbitmq_vhost))
        with pika.BlockingConnection(parameters) as connection:
            connection.channel().queue_delete(REQUESTS_QUEUE)

    await asyncio.to_thread(delete)
    with pytest.raises(SourceUnavailable):
        await taken(source)
    requests = await of_amqp.requests()  # a gateway that starts declares it
    answered = requests.send(wired())
    delivery = await taken(source)
    await asyncio.to_thread(delivery.answer, Answer(b"1"))
    assert await answered == Answer(b"1")

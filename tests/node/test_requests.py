"""Requests through a node, on the embedded queue: a worker's side is played by the test"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from roomline.brokers.embedded import EmbeddedBroker, control_log
from roomline.brokers.embedded_requests import EmbeddedRequests
from roomline.core.limits import NodeLimits
from roomline.core.policy import Namespace, Policy, Rule
from roomline.node import Node
from roomline.requests import Answer, error_answer
from roomline.sqlitequeue import Claim, SqliteQueue
from roomline.tokens import Keyring, sign_connection
from roomline.wire import Sender

from tests.node.test_node import Browser, until

KEYS = Keyring({"k1": "s" * 32})
POLICY = Policy(
    {
        "calm": Namespace(Rule.PUBLIC, Rule.PUBLIC, 50, 3600, moderate="calm.check"),
        "chat": Namespace(Rule.PUBLIC, Rule.PUBLIC, 50, 3600),
    },
    KEYS,
    anonymous=True,
)
MakeNode = Callable[..., Any]


class Worker:
    """Takes requests when it is told to."""

    def __init__(self, path: Path) -> None:
        self.queue = SqliteQueue(path)

    async def claim(self) -> Claim:
        found: list[Claim] = []

        def look() -> bool:
            claim = self.queue.claim(60)
            found.extend([claim] if claim else [])
            return bool(found)

        await until(look)
        return found[0]

    async def answer(self, answer: Answer) -> Claim:
        """Answer the next request."""
        claim = await self.claim()
        self.queue.answer(claim, answer)
        self.queue.finish(claim)
        return claim


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "requests.sqlite3"


@pytest.fixture
async def node_of(tmp_path: Path, path: Path) -> AsyncIterator[MakeNode]:
    """Starts nodes on one log and one queue."""
    nodes: list[Node] = []

    async def make(name: str = "n-1", requests: bool = True, **limits: Any) -> Node:
        node = Node(
            EmbeddedBroker(tmp_path / "log.sqlite3", POLICY.namespaces),
            POLICY,
            NodeLimits(**limits),
            control=control_log(tmp_path / "log.sqlite3"),
            name=name,
            requests=EmbeddedRequests(path) if requests else None,
        )
        nodes.append(node)
        await node.start()
        await until(lambda: node.ready)
        return node

    yield make
    for node in nodes:
        await node.close()


@pytest.fixture
async def node(node_of: MakeNode) -> Node:
    made: Node = await node_of()
    return made


@pytest.fixture
def worker(node: Node, path: Path) -> Worker:
    return Worker(path)


async def ann(node: Node) -> Browser:
    token = sign_connection(KEYS, "7", name="Ann", now=time.time(), lifetime=600)
    return await Browser(node).connect(token=token)


def reply(browser: Browser, id: int) -> Any:
    return next((m for m in browser.link.received if m.get("id") == id), None)


async def replied(browser: Browser, id: int) -> Any:
    await until(lambda: reply(browser, id))
    return reply(browser, id)


async def test_a_request_is_answered(node: Node, worker: Worker) -> None:
    browser = await ann(node)
    id = browser.send("request", name="orders.cancel", data={"order": 7}, timeout=20)
    claim = await worker.answer(Answer(b'{"status":"cancelled"}'))
    assert await replied(browser, id) == {
        "type": "response",
        "id": id,
        "data": {"status": "cancelled"},
    }
    request = claim.request
    assert (request.name, request.timeout) == ("orders.cancel", 20)
    assert json.loads(request.body) == {"order": 7}
    assert request.sender == Sender("7", "Ann")
    assert node.counters.requests == {"answered": 1}


async def test_an_error_is_told(node: Node, worker: Worker) -> None:
    browser = await ann(node)
    id = browser.send("request", name="orders.cancel", data=1)
    await worker.answer(error_answer("request_failed", "It is too late.", "late"))
    answer = await replied(browser, id)
    assert (answer["code"], answer["reason"]) == ("request_failed", "It is too late.")
    assert (answer["temporary"], answer["refusal"]) == (False, "late")
    assert node.counters.requests == {"request_failed": 1}
    assert node.counters.errors == {"request_failed": 1}


async def test_without_an_answer_there_is_an_error_in_time(node: Node, worker: Worker) -> None:
    browser = await ann(node)
    id = browser.send("request", name="orders.cancel", data=1, timeout=0.2)
    answer = await replied(browser, id)
    assert (answer["code"], answer["temporary"]) == ("request_timeout", True)
    await asyncio.to_thread(worker.queue.claim, 60)
    assert worker.queue.claim(60) is None, "nobody waits for it any more"


async def test_an_answer_finds_its_session_on_its_node(node_of: MakeNode, path: Path) -> None:
    nodes = [await node_of("n-1"), await node_of("n-2")]
    worker = Worker(path)
    browsers = [await ann(node) for node in nodes for _ in range(2)]
    ids = [browser.send("request", name="who", data=n) for n, browser in enumerate(browsers)]
    for _ in browsers:
        claim = await worker.claim()
        worker.queue.answer(claim, Answer(claim.request.body))
        worker.queue.finish(claim)
    for number, (browser, id) in enumerate(zip(browsers, ids, strict=True)):
        assert (await replied(browser, id))["data"] == number


async def test_only_so_many_may_wait(node_of: MakeNode, path: Path) -> None:
    browser = await ann(await node_of(unanswered=2))
    worker = Worker(path)
    waiting = [browser.send("request", name="a", data=1) for _ in range(2)]
    refused = await browser.ask("request", name="a", data=1)
    assert (refused["code"], refused["temporary"]) == ("rate_limited", True)
    await worker.answer(Answer(b"1"))
    await replied(browser, waiting[0])
    again = browser.send("request", name="a", data=2)
    await worker.answer(Answer(b"1"))
    await worker.answer(Answer(b"2"))
    assert (await replied(browser, again))["data"] == 2


async def test_where_requests_are_off(node_of: MakeNode) -> None:
    browser = await ann(await node_of(requests=False))
    assert (await browser.ask("request", name="a", data=1))["code"] == "unsupported"
    refused = await browser.ask("publish", room="calm.a", data=1)
    assert refused["code"] == "unsupported"


async def test_an_answer_for_a_session_that_has_left(node: Node, worker: Worker) -> None:
    browser = await ann(node)
    browser.send("request", name="a", data=1)
    claim = await worker.claim()
    browser.peer.gone()
    worker.queue.answer(claim, Answer(b"1"))
    await until(lambda: node.counters.requests == {"answered": 1})
    assert await (await ann(node)).ask("ping")


async def test_a_node_that_ends_leaves_nobody_waiting(node: Node, worker: Worker) -> None:
    browser = await ann(node)
    id = browser.send("request", name="a", data=1)
    await worker.claim()
    requests = node._asking
    await requests.close()
    assert (await replied(browser, id))["code"] == "request_timeout"
    assert (await browser.ask("request", name="a", data=1))["code"] == "unavailable"


async def test_the_queue_is_lost_under_way(node: Node, worker: Worker, path: Path) -> None:
    browser = await ann(node)
    first = browser.send("request", name="a", data=1)
    await worker.claim()
    delete(path)
    assert (await replied(browser, first))["code"] == "request_timeout"

    async def answered() -> bool:
        asked = await browser.ask("request", name="a", data=1, timeout=0.5)
        return asked["code"] == "request_timeout"  # and not unavailable: it was taken

    async with asyncio.timeout(20):
        while not await answered():
            pass
    id = browser.send("request", name="a", data=1)
    anew = Worker(path)

    def answer_all() -> Any:
        """The one before may be among them, for a moment more."""
        if (claim := anew.queue.claim(60)) is not None:
            anew.queue.answer(claim, Answer(b"1"))
            anew.queue.finish(claim)
        return reply(browser, id)

    await until(answer_all)
    assert reply(browser, id)["type"] == "response"


def delete(path: Path) -> None:
    # The file last: a node that notices makes a new one, with companions of the same names.
    for suffix in ("-wal", "-shm", ""):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


# Moderation.


async def test_a_moderator_changes_what_is_published(node: Node, worker: Worker) -> None:
    browser = await ann(node)
    await browser.ask("subscribe", room="calm.a")
    id = browser.send("publish", room="calm.a", data={"text": "damn"}, key="k-1")
    claim = await worker.answer(Answer(b'{"data":{"text":"d***"}}'))
    assert claim.request.name == "calm.check"
    assert json.loads(claim.request.body) == {
        "room": "calm.a",
        "data": {"text": "damn"},
        "key": "k-1",
    }
    assert (await replied(browser, id))["type"] == "published"
    await until(lambda: browser.pushes("calm.a"))
    (push,) = [m for m in browser.link.received if m["type"] == "publication"]
    assert (push["data"], push["key"]) == ({"text": "d***"}, "k-1")
    assert push["sender"] == {"id": "7", "name": "Ann"}


async def test_a_moderator_refuses(node: Node, worker: Worker) -> None:
    browser = await ann(node)
    id = browser.send("publish", room="calm.a", data=1)
    await worker.answer(error_answer("request_failed", "Not here.", "tone"))
    refused = await replied(browser, id)
    assert (refused["code"], refused["reason"], refused["refusal"]) == (
        "rejected",
        "Not here.",
        "tone",
    )
    assert node.counters.publishes == {}


async def test_a_moderator_that_makes_no_sense_publishes_nothing(
    node: Node, worker: Worker
) -> None:
    browser = await ann(node)
    id = browser.send("publish", room="calm.a", data=1)
    await worker.answer(Answer(b'"yes"'))
    assert (await replied(browser, id))["code"] == "rejected"
    assert node.counters.publishes == {}


async def test_what_is_not_moderated_asks_nobody(node: Node, worker: Worker) -> None:
    browser = await ann(node)
    assert (await browser.ask("publish", room="chat.a", data=1))["type"] == "published"
    assert node.counters.requests == {}


async def test_a_publisher_that_has_left_meanwhile_publishes_nothing(
    node: Node, worker: Worker
) -> None:
    browser = await ann(node)
    browser.send("publish", room="calm.a", data=1)
    claim = await worker.claim()
    browser.peer.gone()
    worker.queue.answer(claim, Answer(b'{"data":1}'))
    await until(lambda: node.counters.requests == {"answered": 1})
    assert node.counters.publishes == {}

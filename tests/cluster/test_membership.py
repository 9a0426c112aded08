"""roomline.cluster.membership: which nodes count, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from roomline.brokers.embedded_signals import EmbeddedSignals
from roomline.cluster import cluster as module
from roomline.cluster import membership
from roomline.cluster.announcement import Announcement, State, write
from roomline.cluster.serving import Probe

from tests.cluster.nodes import KEY, Node, cluster, session_of
from tests.support.until import until
from tests.transport.clients import ask, poll

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become fractions."""
    for name in ("_ANNOUNCE_SECONDS", "_PROBE_SECONDS", "_RETRY_SECONDS"):
        monkeypatch.setattr(membership, name, 0.1)
    monkeypatch.setattr(membership, "_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(module, "_CONNECT_SECONDS", 0.3)


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[Node]]:
    async with cluster(tmp_path, tcp=True) as nodes:
        await until_all_know(2, nodes)
        yield nodes


@pytest.fixture
async def stranger(tmp_path: Path) -> AsyncIterator[EmbeddedSignals]:
    """Somebody who may write to the broker, and is no node."""
    signals = EmbeddedSignals(tmp_path)
    await signals.start(lambda signal: None)
    yield signals
    await signals.close()


async def until_all_know(count: int, nodes: list[Node]) -> None:
    await until(lambda: all(len(node.cluster.membership) == count for node in nodes))


class Hanging(Probe):
    """Answers no probe, as a node that hangs."""

    hanging: ClassVar[set[str]] = set()

    async def get(self) -> None:  # type: ignore[override]
        if self._id in self.hanging:
            await asyncio.sleep(60)
        super().get()


async def test_many_nodes_meet(tmp_path: Path) -> None:
    async with cluster(tmp_path, count=6) as nodes:
        await until_all_know(6, nodes)
        assert [node.counters.nodes for node in nodes] == [6] * 6


async def test_a_node_that_hangs_is_removed_and_comes_back(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = nodes
    rule = other.cluster.local.default_router.rules[0].target.rules[0]  # type: ignore[union-attr]
    monkeypatch.setattr(rule, "target", Hanging)
    path = session_of(other)
    assert await poll(one.port, path) == "o"
    waiting = asyncio.create_task(ask(one.port, "POST", f"{path}/xhr"))
    await until(lambda: one.cluster.under_way)
    monkeypatch.setattr(Hanging, "hanging", {other.id})
    await until(lambda: len(one.cluster.membership) == 1)
    # Who waited for it does not wait any longer.
    assert (await waiting).status == 503
    assert one.counters.forwarded["broken"] == 1
    # It goes on to announce itself, which alone brings nobody in.
    await asyncio.sleep(0.5)
    assert len(one.cluster.membership) == 1
    assert len(other.cluster.membership) == 2
    Hanging.hanging.clear()
    await until_all_know(2, nodes)


async def test_silence_of_the_broker_removes_nobody(nodes: list[Node]) -> None:
    for node in nodes:
        await node.cluster._signals.close()
    await asyncio.sleep(1.0)  # ten announcements, and as many probes
    assert [len(node.cluster.membership) for node in nodes] == [2, 2]
    one, other = nodes
    assert await poll(one.port, session_of(other)) == "o"


async def test_signals_that_were_lost_are_made_up_for(tmp_path: Path) -> None:
    async with cluster(tmp_path, count=1) as nodes:
        late = Node(tmp_path)
        nodes.append(late)
        sent: list[bytes] = []
        late.cluster.membership._send = sent.append  # into the void
        await late.begin()
        await until(lambda: len(sent) > 1)
        late.cluster.membership._send = late.cluster._signals.send
        await until_all_know(2, nodes)


async def test_who_cannot_sign_brings_nobody_in_and_sends_nobody_away(
    nodes: list[Node], stranger: EmbeddedSignals
) -> None:
    own = nodes[0].cluster.membership.own
    forged = msgspec.structs.replace(own, state=State.LEFT)
    for key in (b"", b"x" * 32):
        stranger.send(write(forged, key))
        stranger.send(write(Announcement(id="f", name="f", since=0, host="127.0.0.1", port=9), key))
    stranger.send(b"")
    await asyncio.sleep(0.3)
    assert [len(node.cluster.membership) for node in nodes] == [2, 2]


async def test_a_node_that_does_not_answer_never_counts(
    nodes: list[Node], stranger: EmbeddedSignals
) -> None:
    """As one that has died, whose announcement somebody sends again."""
    port = nodes[0].port  # where something listens that is no node's address
    for said in (
        Announcement(id="dead", name="dead", since=0, host="127.0.0.1", port=1),
        Announcement(id="other", name="not a node", since=0, host="127.0.0.1", port=port),
        Announcement(id="nowhere", name="nowhere", since=0),
        # Another node's address does not answer for it.
        msgspec.structs.replace(nodes[1].cluster.membership.own, id="replaced"),
    ):
        stranger.send(write(said, KEY))
    await asyncio.sleep(0.5)
    assert [len(node.cluster.membership) for node in nodes] == [2, 2]
    await until(lambda: all(len(node.cluster.membership._peers) == 1 for node in nodes))


async def test_what_a_node_has_said_does_not_bring_it_back(
    nodes: list[Node], stranger: EmbeddedSignals
) -> None:
    one, other = nodes
    own = other.cluster.membership.own
    session_id = session_of(other).rpartition("/")[2]
    other.cluster.drain()
    await until(lambda: not one.cluster.membership.candidates(session_id)[0].opens)
    stranger.send(write(own, KEY))
    await asyncio.sleep(0.2)
    peer = one.cluster.membership.peer(other.id)
    assert peer is not None
    assert peer.contender.draining
    await other.end()
    await until_all_know(1, [one])
    stranger.send(write(own, KEY))
    await asyncio.sleep(0.2)
    assert one.cluster.membership._peers == {}


async def test_there_is_a_limit_to_how_many_are_known(
    nodes: list[Node], stranger: EmbeddedSignals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "_MAX_NODES", 5)
    probed: list[Any] = []

    async def never(said: Announcement) -> Any:
        probed.append(said.id)
        await asyncio.sleep(60)

    one = nodes[0].cluster.membership
    monkeypatch.setattr(one, "_connect", never)
    for number in range(50):
        said = Announcement(id=f"n{number}", name="n", since=0, host="192.0.2.1", port=1)
        stranger.send(write(said, KEY))
        await asyncio.sleep(0.005)
    assert len(one._peers) == 5
    assert len(probed) < 10


async def test_another_key_is_another_cluster(tmp_path: Path) -> None:
    async with cluster(tmp_path, count=2, tcp=True) as nodes:
        foreign = Node(tmp_path, tcp=True, key=KEY[::-1][:-1] + b"x")
        nodes.append(foreign)
        await foreign.begin()
        await asyncio.sleep(0.5)
        assert [len(node.cluster.membership) for node in nodes] == [2, 2, 1]
        assert await poll(foreign.port, session_of(foreign)) == "o"


@pytest.mark.parametrize(
    "said",
    [
        b"POST /echo/000/abc/xhr HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"roomline cluster 1\n" + bytes(64),
    ],
    ids=["a request", "no proof"],
)
async def test_the_address_for_nodes_serves_nobody_else(nodes: list[Node], said: bytes) -> None:
    node = nodes[0]
    reader, writer = await asyncio.open_connection("127.0.0.1", node.cluster.membership.own.port)
    writer.write(said)
    answer = b""
    try:
        async with asyncio.timeout(10):
            while data := await reader.read(1000):
                answer += data
    except ConnectionError:
        pass
    writer.close()
    assert len(answer) in (0, 64)
    assert b"HTTP" not in answer
    assert node.endpoint.sessions == 0

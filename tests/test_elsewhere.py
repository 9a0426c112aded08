"""roomline.elsewhere: a real node, beside another one whose readiness is what a test says."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from roomline import elsewhere as module
from roomline.brokers.embedded import EmbeddedBroker, control_log
from roomline.cluster import membership
from roomline.core.limits import NodeLimits
from roomline.core.policy import Namespace, Policy, Rule
from roomline.core.standing import Standing
from roomline.elsewhere import Elsewhere
from roomline.node import Node
from roomline.proxy import HeldSettings, Keeper

from tests.cluster.nodes import Node as Echoing
from tests.cluster.nodes import session_of
from tests.support.until import until
from tests.transport.clients import poll, post

pytestmark = pytest.mark.timeout(30)

TIMEOUT = 0.8
SPREAD = 0.5


class World(NamedTuple):
    node: Node
    keeper: Keeper
    beside: Echoing
    """The ports and the cluster of that node."""
    other: Echoing

    def other_says(self, ready: bool) -> None:
        """Whether the other node can read, by its own word, from now on."""
        self.other.stand = lambda: Standing(ready=ready)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(membership, "_PROBE_SECONDS", 0.2)
    monkeypatch.setattr(module, "_KNOWN_SECONDS", 0.5)
    policy = Policy({"chat": Namespace(Rule.PUBLIC, Rule.PUBLIC, 10, 60)}, {}, True)
    log = tmp_path / "log.sqlite3"
    broker = EmbeddedBroker(log, policy.namespaces)
    node = Node(broker, policy, NodeLimits(), control=control_log(log), name="n-1")
    await node.start()
    keeper = Keeper(node, HeldSettings())
    beside = Echoing(tmp_path, application=node)
    beside.stand = lambda: node.standing
    other = Echoing(tmp_path, expected=2)
    elsewhere = Elsewhere(node, keeper, beside.cluster, timeout=TIMEOUT, spread=SPREAD)
    await beside.begin()
    await other.begin()
    await until(lambda: node.ready and beside.cluster.membership.another_ready)
    elsewhere.start()
    yield World(node, keeper, beside, other)
    elsewhere.stop()
    await node.close()
    for each in (beside, other):
        await each.end()
    keeper.close()


async def test_its_clients_leave_and_it_takes_clients_again(world: World) -> None:
    node, keeper, beside, other = world
    path = session_of(beside)
    assert await poll(beside.port, path) == "o"
    node.cut_off("the cable is out")
    began = time.monotonic()
    assert "reconnect" in await poll(beside.port, path)
    assert time.monotonic() - began >= TIMEOUT
    # By now others know that sessions on HTTP are not opened here.
    assert other.opens(path)
    # Whoever does not leave is closed.
    assert await poll(beside.port, path) == 'c[3001,"draining"]'
    assert node.status == "the log cannot be read"
    assert node.counters.sent_elsewhere == 1
    codes = [each.code for each in node.incidents.latest(3)]
    assert codes == ["3001 draining", "sent_elsewhere", "cut_off"]
    # They are opened at the other one, wherever their first request lands.
    for port, new in ((beside.port, f"{path}a"), (other.port, f"{path}b")):
        assert await poll(port, new) == "o"
    assert other.endpoint.sessions == 2
    assert not node.sessions
    assert keeper.draining
    node.caught_up()
    await until(lambda: node.ready)
    assert not keeper.draining
    await until(lambda: not other.opens(path))
    new = session_of(beside)
    assert await poll(other.port, new) == "o"
    assert len(node.sessions) == 1
    assert node.counters.sent_elsewhere == 1


async def test_sessions_that_were_opened_elsewhere_meanwhile_are_found_there(world: World) -> None:
    node, _, beside, other = world
    path = session_of(beside)
    node.cut_off("the cable is out")
    await until(lambda: not node.standing.opens)
    assert await poll(beside.port, path) == "o"
    node.caught_up()
    await until(lambda: node.standing.opens)
    # If it were a new one, it would be opened here again.
    assert beside.opens(path)
    for port in (beside.port, other.port):
        assert await post(port, path, "hello") == 204
        assert await poll(port, path) == 'a["hello"]'


async def test_clients_stay_where_no_other_node_can_read(world: World) -> None:
    node, _, beside, _ = world
    path = session_of(beside)
    assert await poll(beside.port, path) == "o"
    world.other_says(ready=False)
    await until(lambda: not beside.cluster.membership.another_ready)
    node.cut_off("the broker is away")
    await asyncio.sleep(2 * TIMEOUT)
    assert node.standing.opens
    # The first one that can read after the broker is back is not sent everybody at once.
    world.other_says(ready=True)
    await until(lambda: beside.cluster.membership.another_ready)
    await asyncio.sleep(TIMEOUT / 2)
    assert node.standing.opens
    node.caught_up()
    await asyncio.sleep(TIMEOUT)
    assert node.ready
    assert len(node.sessions) == 1
    assert node.counters.sent_elsewhere == 0


async def test_a_node_that_can_read_again_first_takes_leave_of_all(world: World) -> None:
    """So that it has no session from before it takes new ones, which are found by that."""
    node, _, beside, _ = world
    path = session_of(beside)
    assert await poll(beside.port, path) == "o"
    node.cut_off("the cable is out")
    assert "reconnect" in await poll(beside.port, path)
    node.caught_up()
    assert (node.ready, node.status) == (False, "draining")
    assert await poll(beside.port, path) == 'c[3001,"draining"]'
    await until(lambda: node.ready)
    assert not node.sessions


async def test_a_node_that_does_not_answer_does_not_say_that_it_can_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    membership_of_it = world.beside.cluster.membership

    async def unreachable(said: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(membership_of_it, "_connect", unreachable)
    await world.other.server.close_all_connections()
    for server in world.other.cluster._servers:
        await server.close_all_connections()
    await until(lambda: not membership_of_it.another_ready)
    # Long before it is taken for dead.
    assert len(membership_of_it) == 2

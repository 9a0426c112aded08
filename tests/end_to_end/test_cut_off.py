"""A node is cut off from RabbitMQ while another one is not: its clients continue there, and it
takes clients again when it can read."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import pytest
from roomline.client import Client, Transport

from tests.end_to_end.conftest import Gateways
from tests.support.followers import FAST, ROOM, Follower, all_alike, following
from tests.support.gateway import Gateway
from tests.support.proxy import Proxy
from tests.support.rabbitmq import RabbitMQNode
from tests.support.talk import Talk
from tests.support.until import until

pytestmark = pytest.mark.timeout(120)

KEPT: tuple[Transport, ...] = ("websocket", "xhr-polling")
TIMEOUT = 3


class Node(NamedTuple):
    """One of two nodes on RabbitMQ, each with a way there of its own."""

    gateway: Gateway
    name: str
    way: Proxy

    def cut_off(self) -> None:
        self.way.refusing = True
        self.way.cut()

    @property
    def status(self) -> int:
        return self.gateway.get("/readyz").status

    @property
    def sessions(self) -> float:
        return self.gateway.metric("roomline_sessions")

    @property
    def nodes(self) -> float:
        return self.gateway.metric("roomline_nodes")


@pytest.fixture
async def nodes(amqp: str, rabbitmq: RabbitMQNode, gateways: Gateways) -> AsyncIterator[list[Node]]:
    """Both ready, and known to each other."""
    key = secrets.token_hex(16)
    # Addresses of their own, for ports that nobody else has.
    network = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}"
    async with Proxy.to(amqp) as first, Proxy.to(amqp) as second:
        nodes = []
        for number, way in enumerate((first, second), 1):
            name = f"node-{number}"
            gateway = await asyncio.to_thread(
                gateways,
                amqp.replace(f":{way.target}/", f":{way.port}/"),
                NODE=name,
                CLUSTER_KEY=key,
                CLUSTER_ADDRESS=f"{network}.{number}:8010",
                CUT_OFF_TIMEOUT=str(TIMEOUT),
            )
            nodes.append(Node(gateway, name, way))
        await until(lambda: [node.nodes for node in nodes] == [2, 2])
        yield nodes


@asynccontextmanager
async def followers_at(node: Node, *others: Node) -> AsyncIterator[list[Follower]]:
    """A client on each of these transports, in the room, whose session this node has. They know
    the other nodes, too."""
    urls = [each.gateway.url for each in (node, *others)]
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connected_to(node, urls, transport))
            for transport in KEPT
        ]
        yield await stack.enter_async_context(following(clients))


@asynccontextmanager
async def connected_to(node: Node, urls: list[str], transport: Transport) -> AsyncIterator[Client]:
    """A session on HTTP is opened by either node, wherever it asks: ask until it is this one."""
    while True:
        async with Client(urls, transport=transport, **FAST) as client:
            assert client.connected is not None
            if client.connected.node == node.name:
                yield client
                return


async def publish(client: Client, numbers: range) -> None:
    for number in numbers:
        await client.publish(ROOM, number)


async def test_clients_continue_at_the_other_node(nodes: list[Node]) -> None:
    doomed, other = nodes
    async with followers_at(doomed, other) as following, Client(other.gateway.url) as publisher:
        await publish(publisher, range(50))
        await until(lambda: min(len(each.received) for each in following) == 50)
        doomed.cut_off()
        await until(lambda: doomed.status == 503)
        await publish(publisher, range(50, 100))
        # The sockets are kept at first, though nothing comes there.
        assert doomed.sessions == len(KEPT)
        await all_alike(following, 100)
        for follower in following:
            assert follower.client.connected is not None
            assert follower.client.connected.node == other.name
            # They left by themselves when they were told to, and had to try nowhere twice.
            assert [closed.code for closed in follower.client.closes] == [1000]
            assert follower.room.recovered is True
        # It lives, is not to be sent clients, and turns away those who come all the same.
        assert doomed.gateway.get("/healthz").status == 200
        assert doomed.status == 503
        assert doomed.gateway.metric("roomline_sent_elsewhere_total") == 1
        assert other.gateway.metric("roomline_sent_elsewhere_total") == 0
        async with Talk.to(doomed.gateway.url, connect=False) as talk:
            assert (await talk.closed()).code == 3001
        for _ in range(5):
            async with Talk.to(doomed.gateway.url, "xhr-polling") as talk:
                assert talk.connected.node == other.name
        # Not even one that is told nothing but that node's address has to know about it.
        async with Client(doomed.gateway.url, transport="xhr-polling", **FAST) as client:
            await client.publish(ROOM, 100)

        doomed.way.refusing = False
        await until(lambda: doomed.status == 200, within=20)
        async with followers_at(doomed) as back:
            await publish(publisher, range(101, 110))
            await all_alike(following, 110)
            await until(lambda: min(len(each.received) for each in back) == 9)
        assert doomed.gateway.metric("roomline_sent_elsewhere_total") == 1


async def test_clients_stay_if_no_other_node_can_read(nodes: list[Node]) -> None:
    one, other = nodes
    async with followers_at(one, other) as following, Client(one.gateway.url) as publisher:
        await publish(publisher, range(10))
        for node in nodes:
            node.cut_off()
        await until(lambda: [node.status for node in nodes] == [503, 503])
        await asyncio.sleep(2 * TIMEOUT)
        # They know each other all the while, and what the other one says.
        assert [node.nodes for node in nodes] == [2, 2]
        for node in nodes:
            node.way.refusing = False
        await publish(publisher, range(10, 20))
        await all_alike(following, 20)
        assert [each.client.connections for each in following] == [1, 1]
        for node in nodes:
            assert node.gateway.metric("roomline_sent_elsewhere_total") == 0

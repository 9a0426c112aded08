"""Nodes on several machines, which are network namespaces, behind a load balancer that knows of no
sessions: every single request goes to a machine at random."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from roomline.transport import TRANSPORTS as OFFERED
from roomline.transport.pages import CLIENT_PATH

from tests.cluster.test_browser import TALK
from tests.cluster.test_browser import TRANSPORTS as TRANSPORTS_OF_BROWSERS
from tests.support.browser import chromium
from tests.support.followers import ROOM, TRANSPORTS, all_alike, followers, publish
from tests.support.gateway import Gateway
from tests.support.machines import Machine, Network, Unavailable
from tests.support.proxy import Proxy
from tests.support.rabbitmq import RabbitMQNode
from tests.support.spreading import Spreader
from tests.support.talk import Talk
from tests.support.until import until

pytestmark = pytest.mark.timeout(120)

KEY = "a-key-of-thirty-two-characters-or-more"
CLUSTER_PORT = 8010

Add = Callable[..., Awaitable["Installed"]]


class Installed(Gateway):
    """A gateway on a machine of its own."""

    machine: Machine


@pytest.fixture
def network() -> Iterator[Network]:
    try:
        with Network.up() as network:
            yield network
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture
async def add(network: Network, rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> AsyncIterator[Add]:
    """Adds a machine with a gateway that is ready."""
    gateways: list[Gateway] = []
    async with Proxy.to(rabbitmq.url(), host=network.address) as broker:

        async def add(**settings: str) -> Installed:
            machine = network.add()
            gateway = Installed(
                rabbitmq.url(vhost=rabbitmq_vhost).replace(
                    f"127.0.0.1:{broker.target}", f"{network.address}:{broker.port}"
                ),
                within=machine.within,
                **{
                    "HOST": machine.address,
                    "INTERNAL_HOST": machine.address,
                    "CLUSTER_ADDRESS": f"{machine.address}:{CLUSTER_PORT}",
                    "CLUSTER_KEY": KEY,
                    "NODE": machine.address,
                }
                | settings,
            )
            gateway.machine = machine
            gateways.append(gateway)
            await asyncio.to_thread(gateway.start)
            return gateway

        yield add
        for gateway in gateways:
            await asyncio.to_thread(gateway.close)


async def until_nodes(count: int, *gateways: Gateway) -> None:
    """Wait until each of them knows so many nodes."""
    for gateway in gateways:
        for _ in gateway.internals:
            await until(
                lambda g=gateway: g.metric("roomline_nodes") == count * len(g.internals),  # type: ignore[misc]
                within=20,
            )


async def test_every_transport_passes_with_and_without_the_broker(
    add: Add, rabbitmq: RabbitMQNode
) -> None:
    one, other = await add(), await add()
    await until_nodes(2, one, other)
    async with Spreader.over(one.url, other.url) as spreader:
        for transport in TRANSPORTS:
            async with Talk.to(spreader.address(one.url), transport) as talk:
                await talk.subscribe(ROOM)
                for number in range(30):
                    await talk.publish(ROOM, f"{transport} {number}")
                heard = [publication.data for publication in await talk.publications(30)]
                assert heard == [f"{transport} {number}" for number in range(30)]
        assert min(spreader.requests.values()) > 20
    forwarded = [
        gateway.metric("roomline_forwarded_total", outcome="answered") for gateway in (one, other)
    ]
    assert sum(forwarded) > 20
    for gateway in (one, other):
        assert gateway.metric("roomline_forwarded_total", outcome="broken") == 0
    async with (
        Spreader.over(one.url, other.url) as spreader,
        Talk.to(spreader.address(one.url), "xhr-polling") as talk,
    ):
        with rabbitmq.frozen():
            for _ in range(50):  # longer than the time between two announcements
                await talk.ping()
                await asyncio.sleep(0.15)
            assert [gateway.metric("roomline_nodes") for gateway in (one, other)] == [2, 2]


@pytest.mark.slow
async def test_every_transport_of_a_browser_passes(add: Add) -> None:
    """Those of stock sockjs-client, one command after the other."""
    offered = {"TRANSPORTS": ",".join(sorted(OFFERED)), "RESPONSE_LIMIT": "4096"}
    one, other = await add(**offered), await add(**offered)
    await until_nodes(2, one, other)
    ids = list(range(1, 17))
    sent = [json.dumps({"id": 1, "type": "connect", "version": 1})]
    sent += [json.dumps({"id": number, "type": "ping"}) for number in ids[1:]]
    async with Spreader.over(one.url, other.url) as spreader, chromium() as browser:
        page = await browser.new_page()
        address = spreader.address(one.url)
        await page.goto(address)
        await page.add_script_tag(url=address + CLIENT_PATH)
        for transport in TRANSPORTS_OF_BROWSERS:
            told = await page.evaluate(TALK, [address, transport, sent])
            answers = [json.loads(text) for text in told["received"]]
            assert [answer["id"] for answer in answers] == ids, told
            assert {answer["type"] for answer in answers} == {"connected", "pong"}
            assert (told["transport"], told["closed"]) == (transport, [1000, "enough"])
    forwarded = [
        gateway.metric("roomline_forwarded_total", outcome="answered") for gateway in (one, other)
    ]
    assert sum(forwarded) > 50


async def test_every_transport_stays_up_while_one_machine_comes_and_one_leaves(add: Add) -> None:
    one, two = await add(DRAIN="5"), await add(DRAIN="5")
    await until_nodes(2, one, two)
    async with (
        Spreader.over(one.url, two.url) as spreader,
        followers(spreader.address(one.url), transports=TRANSPORTS * 2) as following,
    ):
        clients = [follower.client for follower in following]
        publishing = asyncio.create_task(publish(clients, 600, abreast=8, pace=0.08))
        await until(lambda: min(len(f.received) for f in following) > 30, within=30)

        third = await add(DRAIN="5", PROCESSES="2")
        await until_nodes(4, one, two, third)
        host, port = third.url.split("/")[2].split(":")
        spreader.targets.append((host, int(port)))
        before = [len(follower.received) for follower in following]
        await until(
            lambda: all(len(f.received) > n + 30 for f, n in zip(following, before, strict=True)),
            within=30,
        )
        # Nobody has noticed.
        assert [client.connections for client in clients] == [1] * len(clients)
        assert sum(spreader.requests[target] for target in spreader.targets[2:]) > 5

        at = [client.connected.node for client in clients if client.connected]
        leaving = at[0]
        gone, stays = (one, two) if leaving == one.machine.address else (two, one)
        # Its load balancer sees that it is not ready any more.
        spreader.targets = [t for t in spreader.targets if t[0] != gone.machine.address]
        ending = asyncio.create_task(asyncio.to_thread(gone.terminate))
        assert await ending == 0
        await until_nodes(3, stays, third)
        await publishing
        await all_alike(following, 600)
        for client, node in zip(clients, at, strict=True):
            assert client.connections == (2 if node == leaving else 1), (client.transport, node)

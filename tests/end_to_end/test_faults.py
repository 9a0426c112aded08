"""Nodes and brokers are killed and drained under load; every client ends with the same log."""

import asyncio
import signal
import time
from contextlib import suppress
from itertools import count

import pytest
from roomline.client import Client, CommandRefused, NoAnswer
from roomline.core.messages import Reconnect

from tests.end_to_end.conftest import Gateways, pair
from tests.support.followers import FAST, ROOM, all_alike, followers, publish
from tests.support.rabbitmq import RabbitMQNode
from tests.support.talk import Talk
from tests.support.until import until

pytestmark = pytest.mark.timeout(120)

COUNT = 2000


async def publish_once(talk: Talk, beyond: int, until_done: "asyncio.Task[None]") -> set[int]:
    """Publish the numbers from `beyond` on, each tried once, while a task runs; the confirmed."""
    confirmed = set()
    for number in count(beyond):
        if until_done.done():
            return confirmed
        with suppress(CommandRefused, NoAnswer):
            await talk.publish(ROOM, number)
            confirmed.add(number)
        await asyncio.sleep(0.01)
    raise AssertionError("unreachable")


async def test_a_node_is_killed(broker: str, gateways: Gateways) -> None:
    """2,000 publications while one of two nodes is killed: everybody ends with the same ones."""
    doomed, other = pair(gateways, broker)
    async with (
        followers(doomed.url, other.url) as following,
        Client([doomed.url, other.url], **FAST) as first,
        Client(other.url, **FAST) as second,
    ):
        publishing = asyncio.create_task(publish([first, second], COUNT, abreast=20))
        await until(lambda: min(len(f.received) for f in following) > 300, within=30)
        doomed.kill()
        assert not publishing.done()
        await publishing
        await all_alike(following, COUNT)
        for follower in following:
            assert follower.client.connections == 2
            assert follower.room.recovered is True


async def test_a_node_drains(broker: str, gateways: Gateways) -> None:
    """SIGTERM under load, as in a deploy: nobody loses anything, and nobody waits long."""
    leaving, other = pair(gateways, broker, DRAIN="2")
    async with (
        followers(leaving.url, other.url) as following,
        Client([leaving.url, other.url], **FAST) as first,
        Client(other.url, **FAST) as second,
    ):
        publishing = asyncio.create_task(publish([first, second], COUNT, abreast=10, pace=0.02))
        await until(lambda: min(len(f.received) for f in following) > 300, within=30)
        ending = asyncio.create_task(asyncio.to_thread(leaving.terminate))
        await until(lambda: min(f.client.connections for f in following) == 2)
        assert not publishing.done()
        await publishing
        assert await ending == 0
        await all_alike(following, COUNT)
        for follower in following:
            # Told in time, they left by themselves: no close frame, no lost connection.
            assert [closed.code for closed in follower.client.closes] == [1000]


async def test_new_clients_stay_away_from_a_draining_node(
    embedded: str, gateways: Gateways
) -> None:
    leaving = gateways(embedded, DRAIN="3")
    other = gateways(embedded)
    async with Talk.to(leaving.url) as staying:
        leaving.send(signal.SIGTERM)
        push = await staying.push()
        assert isinstance(push, Reconnect)
        assert leaving.get("/readyz").status == 503
        assert leaving.get("/healthz").status == 200
        async with Client([leaving.url, other.url], **FAST) as client:
            assert client.connected is not None
            assert client.connected.node != staying.connected.node
        assert (await staying.ping()).sent == 1
    assert leaving.wait() == 0


async def test_the_broker_is_killed_and_comes_back(
    amqp: str, rabbitmq: RabbitMQNode, gateways: Gateways
) -> None:
    """What was confirmed to its publisher arrives once, on every client, in one order."""
    nodes = pair(gateways, amqp)
    async with (
        followers(nodes[0].url, nodes[1].url) as following,
        followers(nodes[1].url, nodes[0].url, transports=("websocket",)) as others,
        Client(nodes[0].url, **FAST) as first,
        Client(nodes[1].url, **FAST) as second,
        Talk.to(nodes[1].url) as careless,
    ):
        publishing = asyncio.create_task(publish([first, second], COUNT, abreast=20))
        once = asyncio.create_task(publish_once(careless, COUNT, publishing))
        await until(lambda: min(len(f.received) for f in following) > 300, within=30)
        await asyncio.to_thread(rabbitmq.kill)
        assert not publishing.done()
        await until(lambda: [n.get("/readyz").status for n in nodes] == [503, 503], within=10)
        assert [n.get("/healthz").status for n in nodes] == [200, 200]
        await asyncio.to_thread(rabbitmq.start)
        await publishing
        confirmed = await once
        assert confirmed
        await all_alike(following + others, COUNT, confirmed)
        await until(lambda: [n.get("/readyz").status for n in nodes] == [200, 200], within=10)
        # Sockets stayed: the broker's absence is nobody's reason to reconnect.
        assert [f.client.connections for f in following + others] == [1] * 5


async def test_without_a_broker_publishing_is_answered_and_sockets_stay(
    amqp: str, rabbitmq: RabbitMQNode, gateways: Gateways
) -> None:
    node = gateways(amqp)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        await talk.publish(ROOM, "before")
        await asyncio.to_thread(rabbitmq.kill)
        began = time.monotonic()
        refused = await talk.refused("unavailable", "publish", room=ROOM, data="into the void")
        assert refused.temporary
        assert time.monotonic() - began < 8
        await until(lambda: node.get("/readyz").status == 503)
        # Five seconds after the cut the node stops to promise what it cannot know.
        await asyncio.sleep(6)
        for kind, fields in (("subscribe", {"room": "chat.other"}), ("history", {"room": ROOM})):
            assert (await talk.refused("unavailable", kind, **fields)).temporary
        await asyncio.to_thread(rabbitmq.start)
        await until(lambda: node.get("/readyz").status == 200, within=20)
        # That it can read does not say that the first publish goes through: it may be told to
        # try again, which this does.
        async with Client(node.url, **FAST) as client:
            await client.publish(ROOM, "after", within=20)
        assert [p.data for p in await talk.publications(2)] == ["before", "after"]
        await talk.silence()


async def test_a_broker_alarm_stops_publishing_only(
    amqp: str, rabbitmq: RabbitMQNode, gateways: Gateways
) -> None:
    node = gateways(amqp)
    async with Talk.to(node.url) as talk, Client(node.url, **FAST) as client:
        await talk.subscribe(ROOM)
        await talk.publish(ROOM, 1)
        rabbitmq.raise_alarm()
        try:
            with pytest.raises(CommandRefused) as refused:  # and not: no answer
                await talk.publish(ROOM, "stopped", within=30)
            assert refused.value.temporary
            assert (await talk.subscribe("chat.other")).publications == []
            assert (await talk.publication()).data == 1
            assert node.get("/readyz").status == 200
            retrying = asyncio.create_task(client.publish(ROOM, 2, within=30))
            await asyncio.sleep(1)
            assert not retrying.done()
        finally:
            rabbitmq.clear_alarm()
        await retrying
        # Its publisher was told that this one may yet appear.
        seen = [(await talk.publication()).data]
        if seen == ["stopped"]:
            seen.append((await talk.publication()).data)
        assert seen[-1] == 2
        await talk.silence()

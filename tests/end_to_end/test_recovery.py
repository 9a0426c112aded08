"""Continuing by position: after cuts, on other nodes, in pages; and refusing to guess."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pika
import pytest
from roomline.client import (
    TRANSPORTS,
    Client,
    Publication,
    Subscription,
    Transport,
)
from roomline.client.session import publications_of
from roomline.core.messages import UnsubscribedPush
from roomline.sqlitelog import SqliteLog

from tests.end_to_end.conftest import Gateways, pair
from tests.support.proxy import Proxy
from tests.support.talk import Talk
from tests.support.until import until

pytestmark = pytest.mark.timeout(60)

ROOM = "chat.lobby"
OTHER = "chat.other"
SHORT = {"NAMESPACES": "chat:read=public,write=public,history=10"}
CUT_SECONDS = 20.0


def data_of(publications: list[Publication]) -> list[Any]:
    return [publication.data for publication in publications]


async def collect(subscription: Subscription, count: int, *, within: float = 20.0) -> list[Any]:
    async with asyncio.timeout(within):
        return [(await anext(subscription)).data for _ in range(count)]


async def test_a_cut_of_20_seconds_continues_without_a_gap(
    embedded: str, gateways: Gateways
) -> None:
    """On every transport at once: nothing comes through for 20 s, then all of it, in order."""
    node = gateways(embedded)

    async def follow(transport: Transport) -> None:
        async with (
            Proxy.to(node.url) as proxy,
            Client(
                proxy.address(node.url),
                transport=transport,
                ping_every=3.0,
                answer_within=2.0,
                first_delay=0.2,
                longest_delay=1.0,
            ) as client,
        ):
            room = await client.subscribe(ROOM)
            ready.release()
            assert await collect(room, 10) == list(range(10))
            proxy.stall()
            stalled.release()
            await asyncio.sleep(CUT_SECONDS)
            proxy.resume()
            assert await collect(room, 200) == list(range(10, 210))
            assert client.connections > 1
            assert (room.recovered, room.losses) == (True, 0)
            await client.publish(OTHER, transport)

    ready, stalled = asyncio.Semaphore(0), asyncio.Semaphore(0)
    async with Talk.to(node.url) as publisher, asyncio.TaskGroup() as group:
        for transport in TRANSPORTS:
            group.create_task(follow(transport))
        for _ in TRANSPORTS:
            await ready.acquire()
        for number in range(10):
            await publisher.publish(ROOM, number)
        for _ in TRANSPORTS:
            await stalled.acquire()
        for number in range(10, 210):
            await publisher.publish(ROOM, number)
            await asyncio.sleep(0.05)  # on and on while the lines are cut


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_was_missed_comes_once_and_in_order(
    embedded: str, gateways: Gateways, transport: Transport
) -> None:
    node = gateways(embedded)
    async with Talk.to(node.url) as publisher:
        async with Talk.to(node.url, transport) as talk:
            await talk.subscribe(ROOM)
            await publisher.publish(ROOM, 0)
            since = (await talk.publication()).position
        for number in range(1, 8):
            await publisher.publish(OTHER, "noise")
            await publisher.tell(ROOM, number)
        async with Talk.to(node.url, transport) as talk:
            reply = await talk.subscribe(ROOM, since=since)
            missed = publications_of(reply)
            assert (reply.recovered, reply.more, reply.reason) == (True, False, None)
            assert data_of(missed) == list(range(1, 8))
            assert reply.head == missed[-1].position
            await publisher.publish(ROOM, 8)
            publication = await talk.publication()
            assert (publication.data, publication.previous) == (8, reply.head)
            await talk.silence()


async def test_a_position_is_good_on_every_node(broker: str, gateways: Gateways) -> None:
    nodes = pair(gateways, broker)
    async with Talk.to(nodes[0].url) as here, Talk.to(nodes[1].url) as there:
        await here.subscribe(ROOM)
        await there.subscribe(ROOM)
        for number in range(10):
            await (here, there)[number % 2].publish(ROOM, number)
        pushes = await here.publications(10)
        assert data_of(pushes) == list(range(10))
        await there.publications(10)  # both nodes have read that far
        for index, publication in enumerate(pushes):
            reply = await there.subscribe(ROOM, since=publication.position)
            assert reply.recovered is True
            # The same text on both nodes, so that the chain goes on across them.
            assert publications_of(reply) == pushes[index + 1 :]
            assert reply.head == pushes[-1].position


async def test_positions_of_other_rooms_and_of_subscribing_are_good(
    embedded: str, gateways: Gateways
) -> None:
    """A position names a place in the log, whatever room the entry there belongs to."""
    node = gateways(embedded)
    async with Talk.to(node.url) as talk:
        await talk.tell(OTHER, "elsewhere")
        empty = await talk.subscribe(ROOM)
        assert (empty.head, empty.publications, empty.recovered) == (None, [], None)
        await talk.publish(ROOM, 1)
        first = await talk.publication()
        assert first.previous is None
        await talk.subscribe(OTHER)
        await talk.publish(OTHER, "again")
        elsewhere = await talk.publication()
        await talk.tell(ROOM, 2)
        for since, missed in ((empty.position, [1, 2]), (elsewhere.position, [2])):
            reply = await talk.subscribe(ROOM, since=since)
            assert reply.recovered is True
            assert data_of(publications_of(reply)) == missed


@pytest.mark.parametrize(
    "since", ["", "garbage", "0", "0.1", "0.x.000000000000", "9.0.00", "1" * 64]
)
async def test_a_malformed_position_is_not_continued(
    embedded: str, gateways: Gateways, since: str
) -> None:
    node = gateways(embedded)
    async with Talk.to(node.url) as talk:
        await talk.tell(ROOM, 0)
        reply = await talk.subscribe(ROOM, since=since, history=10)
        assert (reply.recovered, reply.reason) == (False, "malformed")
        assert data_of(publications_of(reply)) == [0]
        await talk.publish(ROOM, 1)  # live all the same
        publication = await talk.publication()
        assert (publication.data, publication.previous) == (1, reply.head)


async def test_an_endless_position_is_refused(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded)
    async with Talk.to(node.url) as talk:
        await talk.refused("bad_request", "subscribe", room=ROOM, since="0." * 1000)


async def test_another_fingerprint_is_not_continued(broker: str, gateways: Gateways) -> None:
    node = gateways(broker)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        await talk.publish(ROOM, 0)
        position = (await talk.publication()).position
        forged = position[:-1] + ("0" if position[-1] != "0" else "1")
        reply = await talk.subscribe(ROOM, since=forged)
        assert (reply.recovered, reply.reason) == (False, "not_in_log")
        assert (await talk.subscribe(ROOM, since=position)).recovered is True


async def test_what_left_the_memory_is_not_continued(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded, **SHORT)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        for number in range(30):
            await talk.publish(ROOM, number)
        pushes = await talk.publications(30)
        for kept in (10, 11, 30):
            reply = await talk.subscribe(ROOM, since=pushes[-kept].position, history=3)
            if kept <= 10:
                assert reply.recovered is True
                assert data_of(publications_of(reply)) == list(range(31 - kept, 30))
            elif reply.recovered:  # what it lacks is exactly what is held
                assert data_of(publications_of(reply)) == list(range(20, 30))
                assert kept == 11
            else:
                assert reply.reason == "evicted"
                assert data_of(publications_of(reply)) == [27, 28, 29]
        assert reply.recovered is False


async def test_what_was_trimmed_is_not_continued(embedded: str, gateways: Gateways) -> None:
    """The log itself has forgotten, and the node that is asked never knew."""
    node = gateways(embedded)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        await talk.publish(ROOM, "the first")
        first = await talk.publication()
        await talk.tell(OTHER, *["x" * 50_000] * 80)
    log = SqliteLog(Path(embedded.removeprefix("embedded:")), retention_bytes=1 << 20)
    while log.trim(time.time()):
        pass
    log.close()

    later = gateways(embedded)
    async with Talk.to(later.url) as talk:
        reply = await talk.subscribe(ROOM, since=first.position)
        assert (reply.recovered, reply.reason) == (False, "trimmed")
        await talk.publish(ROOM, "live")
        assert (await talk.publication()).data == "live"


async def test_a_recreated_log_is_not_continued(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        for number in range(10):
            await talk.publish(ROOM, number)
        pushes = await talk.publications(10)
    assert await asyncio.to_thread(node.terminate) == 0
    path = Path(embedded.removeprefix("embedded:"))
    for file in path.parent.glob(path.name + "*"):
        file.unlink()
    await asyncio.to_thread(node.start)
    async with Talk.to(node.url) as talk:
        # As many publications, and at the same places, as there were before.
        await talk.tell(ROOM, *[f"new {number}" for number in range(10)])
        for publication in (pushes[4], pushes[9]):
            reply = await talk.subscribe(ROOM, since=publication.position)
            assert (reply.recovered, reply.reason) == (False, "not_in_log")


async def test_a_log_that_is_replaced_under_a_node_ends_subscriptions(
    amqp: str, gateways: Gateways
) -> None:
    """The stream is deleted while a node reads it: clients are told, and continue with the next."""
    node = gateways(amqp)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        for number in range(5):
            await talk.publish(ROOM, number)
        pushes = await talk.publications(5)
        with pika.BlockingConnection(pika.URLParameters(amqp)) as connection:
            connection.channel().queue_delete("rooms.log")
        ended = [await talk.push(within=15), await talk.push()]  # one is for the automatic room
        told = {(p.room, p.code) for p in ended if isinstance(p, UnsubscribedPush)}
        assert told == {(ROOM, "log_reset"), ("system.notices", "log_reset")}
        await until(lambda: node.get("/readyz").status == 200, within=15)
    async with Talk.to(node.url) as talk:
        reply = await talk.subscribe(ROOM, since=pushes[-1].position)
        assert reply.recovered is False
        assert reply.publications == []
        await talk.publish(ROOM, "after")
        publication = await talk.publication()
        assert (publication.data, publication.previous) == ("after", None)


async def test_a_position_from_a_node_that_is_ahead_is_held(
    embedded: str, gateways: Gateways
) -> None:
    """Nothing is guessed and nothing is refused: the node reads up to the position first."""
    ahead, behind = pair(gateways, embedded)
    async with Talk.to(ahead.url) as here, Talk.to(behind.url) as there:
        await here.subscribe(ROOM)
        await here.publish(ROOM, 0)
        since = (await here.publication()).position
        behind.send(signal.SIGSTOP)
        try:
            for number in range(1, 50):
                await here.publish(ROOM, number)
            pushes = await here.publications(49)
            asking = asyncio.create_task(there.subscribe(ROOM, since=pushes[40].position))
            await asyncio.sleep(0.1)
        finally:
            behind.send(signal.SIGCONT)
        reply = await asking
        assert reply.recovered is True
        held = publications_of(reply)
        assert held + await there.publications(8 - len(held)) == pushes[41:]
        reply = await there.subscribe(ROOM, since=since)
        assert publications_of(reply) == pushes


async def test_a_position_that_never_comes_is_answered_in_time(
    embedded: str, gateways: Gateways
) -> None:
    node = gateways(embedded)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        await talk.publish(ROOM, 0)
        partition, offset, fingerprint = (await talk.publication()).position.split(".")
        beyond = f"{partition}.{int(offset) + 1000}.{fingerprint}"
        waiting = asyncio.create_task(talk.subscribe(ROOM, since=beyond, within=20))
        await asyncio.sleep(1)
        assert not waiting.done()  # it may yet come
        await talk.publish(OTHER, "nothing else has to wait")
        reply = await waiting
        # The log ends before it: another log, or one that lost its tail.
        assert (reply.recovered, reply.reason) == (False, "not_in_log")
        assert (await talk.ping()).sent == 1  # nothing else had to wait


async def test_own_publications_come_back(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        await talk.publish(ROOM, {"text": "hé 😀"}, key="k-1")
        publication = await talk.publication()
        assert publication.data == {"text": "hé 😀"}
        assert (publication.key, publication.kind, publication.room) == ("k-1", "message", ROOM)
        assert publication.time is not None


async def test_a_second_subscribe_restarts(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded)
    async with Talk.to(node.url) as talk:
        await talk.tell(ROOM, 0, 1, 2)
        await talk.subscribe(ROOM)
        again = await talk.subscribe(ROOM, history=2)
        assert data_of(publications_of(again)) == [1, 2]
        await talk.publish(ROOM, 3)
        publication = await talk.publication()
        assert (publication.data, publication.previous) == (3, again.head)
        await talk.silence()  # once, not once per subscribe
        assert (await talk.ping()).sent == 1


async def test_recovery_is_paged(embedded: str, gateways: Gateways) -> None:
    """Each page at most half the outbox, live only after the last, nothing twice."""
    outbox = 128 * 1024
    node = gateways(embedded, OUTBOX_BYTES=str(outbox))
    async with Talk.to(node.url) as publisher, Talk.to(node.url) as talk:
        since = (await talk.subscribe(ROOM)).position
        await talk.unsubscribe(ROOM)
        await publisher.tell(ROOM, *[f"{number} " + "x" * 8000 for number in range(100)])
        pages = []
        while True:
            reply = await talk.subscribe(ROOM, since=since)
            assert reply.recovered is True
            assert sum(len(bytes(raw)) for raw in reply.publications) <= outbox // 2
            pages.append(publications_of(reply))
            since = reply.position
            if not reply.more:
                break
            if len(pages) == 2:
                await publisher.tell(ROOM, "100 meanwhile")
        assert len(pages) > 10
        missed = [publication for page in pages for publication in page]
        assert [int(p.data.split()[0]) for p in missed] == list(range(101))
        assert [p.previous for p in missed] == [None, *[p.position for p in missed[:-1]]]
        assert reply.head == missed[-1].position
        await talk.silence()
        await publisher.publish(ROOM, "live")
        publication = await talk.publication()
        assert (publication.data, publication.previous) == ("live", reply.head)


async def test_history_on_subscribing_and_on_asking(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded, **SHORT)
    async with Talk.to(node.url) as talk:
        await talk.tell(ROOM, *range(15))
        for count, expected in (
            (0, []),
            (1, [14]),
            (4, [11, 12, 13, 14]),
            (10, list(range(5, 15))),
        ):
            reply = await talk.subscribe(ROOM, history=count)
            assert data_of(publications_of(reply)) == expected
            assert reply.recovered is None
            asked = await talk.history(ROOM, limit=count)
            assert data_of(publications_of(asked)) == expected
        assert data_of(publications_of(await talk.subscribe(ROOM, history=100))) == list(
            range(5, 15)
        )
        assert data_of(publications_of(await talk.history(OTHER))) == []


async def test_history_survives_the_node(broker: str, gateways: Gateways) -> None:
    node = gateways(broker)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        for number in range(10):
            await talk.publish(ROOM, number)
        pushes = await talk.publications(10)
    node.kill()
    await asyncio.to_thread(node.start)
    async with Talk.to(node.url) as talk:
        assert publications_of(await talk.subscribe(ROOM, history=10)) == pushes
        reply = await talk.subscribe(ROOM, since=pushes[3].position)
        assert reply.recovered is True
        assert publications_of(reply) == pushes[4:]


async def test_the_chain_of_previous_holds_in_every_room(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded)
    rooms = ["chat.a", "chat.b", "chat.c"]
    async with Talk.to(node.url) as talk, Talk.to(node.url) as publisher:
        await publisher.tell("chat.a", "before")
        heads = {room: (await talk.subscribe(room)).head for room in rooms}
        assert heads["chat.a"] is not None
        assert heads["chat.b"] is heads["chat.c"] is None
        for number in range(60):
            await publisher.publish(rooms[number * number % 3], number)
        for publication in await talk.publications(60):
            assert publication.previous == heads[publication.room]
            heads[publication.room] = publication.position


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_ping_counts_pushes_and_knows_the_end(
    embedded: str, gateways: Gateways, transport: Transport
) -> None:
    node = gateways(embedded)
    async with Talk.to(node.url) as publisher, Talk.to(node.url, transport) as talk:
        assert (await talk.ping()).sent == 0
        await talk.subscribe(ROOM)
        await talk.refused("room_invalid", "subscribe", room="not a room")
        assert (await talk.ping()).sent == 0  # replies are not counted
        for number in range(5):
            await publisher.publish(ROOM, number)
            await publisher.tell(OTHER, number)
        last = (await talk.publications(5))[-1]
        pong = await talk.ping()
        assert pong.sent == talk.received == 5
        reply = await talk.subscribe(ROOM, since=pong.position)
        assert (reply.recovered, reply.publications, reply.head) == (True, [], last.position)
        await publisher.subscribe(ROOM, history=5)
        reply = await talk.subscribe(ROOM, since=last.position, history=3)
        assert reply.recovered is True
        assert (await talk.ping()).sent == 5  # neither are pages


async def test_one_key_is_one_publication(broker: str, gateways: Gateways) -> None:
    """Of one principal, in one room, on whatever node and connection."""
    nodes = pair(gateways, broker)
    ann, bob = "a" * 32, "b" * 32
    async with (
        Talk.to(nodes[0].url) as reader,
        Talk.to(nodes[0].url, client=ann) as here,
        Talk.to(nodes[1].url, client=ann) as there,
        Talk.to(nodes[1].url, client=bob) as other,
    ):
        await reader.subscribe(ROOM)
        await reader.subscribe(OTHER)
        await here.publish(ROOM, 1, key="k")
        await here.publish(ROOM, "repeated", key="k")
        await there.publish(ROOM, "repeated elsewhere", key="k")
        await other.publish(ROOM, 2, key="k")  # nobody can suppress another's
        await here.publish(OTHER, 3, key="k")
        await here.publish(ROOM, 4, key="l")
        await here.publish(ROOM, 4)
        await here.publish(ROOM, 4)
        pushes = await reader.publications(6)
        assert data_of(pushes) == [1, 2, 3, 4, 4, 4]
        await reader.silence()
        in_room = [push for push in pushes if push.room == ROOM]
        await there.tell("chat.fence", "now this node has read all that too")
        assert publications_of(await there.history(ROOM)) == in_room
        assert [p.previous for p in in_room[1:]] == [p.position for p in in_room[:-1]]
    nodes[0].kill()
    await asyncio.to_thread(nodes[0].start)
    async with Talk.to(nodes[0].url, client=ann) as here:
        await here.subscribe(ROOM)
        await here.publish(ROOM, "repeated after a restart", key="k")
        await here.publish(ROOM, 5)
        assert data_of(await here.publications(1)) == [5]
        assert publications_of(await here.history(ROOM))[:-1] == in_room


async def test_keys_are_remembered_for_the_window(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded, DEDUP_WINDOW="10")
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        await talk.publish(ROOM, "first", key="k")
        for number in range(9):
            await talk.publish(OTHER, number)
        await talk.publish(ROOM, "within", key="k")
        for number in range(12):
            await talk.publish(OTHER, number)
        await talk.publish(ROOM, "beyond", key="k")
        assert data_of(await talk.publications(2)) == ["first", "beyond"]
        await talk.silence()

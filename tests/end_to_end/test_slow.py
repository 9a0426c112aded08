"""Clients that do not read: what they cost, how they are cut off, and how they come back."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from roomline.client import (
    Client,
    Connection,
    ConnectionClosed,
    Subscription,
    Transport,
    open_connection,
)

from tests.end_to_end.conftest import Gateways
from tests.support.gateway import Gateway
from tests.support.raw_websocket import RawWebSocket
from tests.support.until import until

pytestmark = pytest.mark.timeout(90)

ROOM = "chat.lobby"
COUNT = 400
SIZE = 50_000
OUTBOX = 1 << 20
SLOW = 5
MIB = 1 << 20
SETTINGS = {
    "OUTBOX_BYTES": str(OUTBOX),
    "NAMESPACES": f"chat:read=public,write=public,history={COUNT}",
}


class Fast:
    """A subscriber that reads all the time, and how late it got what others publish."""

    def __init__(self, room: Subscription) -> None:
        self.room = room
        self.received: list[int] = []
        self.latest = 0.0
        """In seconds after its publisher had it confirmed: before that the disk may take a while,
        whoever reads."""

    async def through_a_load(self, node: Gateway) -> None:
        """Read everything of 400 publications of 50 KB: 20 MB for every subscriber."""
        self.received = []
        confirmed: dict[int, float] = {}
        received: dict[int, float] = {}
        task = asyncio.create_task(self._load(node, confirmed))
        for _ in range(COUNT):
            number = (await anext(self.room)).data["n"]
            received[number] = time.monotonic()
            self.received.append(number)
        await task
        assert sorted(self.received) == list(range(COUNT))
        self.latest = max(received[number] - confirmed[number] for number in range(COUNT))

    async def _load(self, node: Gateway, confirmed: dict[int, float]) -> None:
        async with Client(node.url) as publisher:
            numbers = iter(range(COUNT))

            async def work() -> None:
                for number in numbers:
                    await publisher.publish(ROOM, {"n": number, "text": "x" * SIZE})
                    confirmed[number] = time.monotonic()

            await asyncio.gather(*[work() for _ in range(4)])


def connect(websocket: RawWebSocket) -> str:
    """Connect and subscribe without reading any further; the position."""
    websocket.send(
        {"id": 1, "type": "connect", "version": 1, "client": secrets.token_hex(16)},
        {"id": 2, "type": "subscribe", "room": ROOM},
    )
    for message in websocket.messages():
        if message["type"] == "subscribed":
            position: str = message["position"]
            return position
    raise AssertionError("not subscribed")


def read_to_the_end(websocket: RawWebSocket) -> list[dict[str, Any]]:
    return list(websocket.messages())


async def test_slow_websockets_cost_their_outbox_and_come_back(
    embedded: str, gateways: Gateways
) -> None:
    node = gateways(embedded, **SETTINGS)
    async with Client(node.url) as client:
        fast = Fast(await client.subscribe(ROOM))
        # Fill the history, and everything else that a load without slow clients costs.
        await fast.through_a_load(node)
        without, latest_without = node.resident_bytes(), fast.latest

        with ExitStack() as stack:
            slow = [stack.enter_context(RawWebSocket.to(node.url)) for _ in range(SLOW)]
            positions = [connect(websocket) for websocket in slow]
            peak = without
            loading = asyncio.create_task(fast.through_a_load(node))
            while not loading.done():
                peak = max(peak, node.resident_bytes())
                await asyncio.sleep(0.01)
            await loading

            # Unbounded, they would have cost 100 MB.
            assert peak - without < SLOW * OUTBOX + 16 * MIB
            await until(lambda: node.metric("roomline_disconnects_total", code="3002") == SLOW)
            # The others notice nothing: all of it came, in order, without a stall.
            assert client.connections == 1
            assert fast.latest < latest_without + 1.0

            # What reached them of it is a beginning of it, without a hole, and then the end.
            position, websocket = positions[0], slow[0]
            told = await asyncio.to_thread(read_to_the_end, websocket)
            received = [message for message in told if message["type"] == "publication"]
            assert 0 < len(received) < COUNT
            assert [m["previous"] for m in received[1:]] == [m["position"] for m in received[:-1]]
            assert [(m["code"], m["reason"]) for m in told if m["type"] == "c"] in (
                [],
                [(3002, "slow")],
            )
        await comes_back(node, received[-1]["position"], [m["data"]["n"] for m in received], fast)
        await comes_back(node, position, [], fast)


async def comes_back(node: Gateway, since: str, received: list[int], fast: Fast) -> None:
    """From `since` on, all that the fast one has and this one has not."""
    async with Client(node.url) as client:
        room = await client.subscribe(ROOM, since=since)
        missed = [(await anext(room)).data["n"] for _ in range(COUNT - len(received))]
        assert room.recovered is True
        assert received + missed == fast.received


@asynccontextmanager
async def away(url: str, transport: Transport) -> AsyncIterator[tuple[Connection, str]]:
    """A subscribed connection that nobody reads, and its position."""
    connection = await open_connection(url, transport)
    try:
        await connection.send_text(
            json.dumps({"id": 1, "type": "connect", "version": 1, "client": secrets.token_hex(16)}),
            json.dumps({"id": 2, "type": "subscribe", "room": ROOM}),
        )
        while (message := json.loads(await connection.receive()))["type"] != "subscribed":
            pass
        yield connection, message["position"]
    finally:
        await connection.close()


async def test_a_polling_client_that_stays_away(embedded: str, gateways: Gateways) -> None:
    """Its outbox is full long before it counts as gone: it is told so when it comes."""
    node = gateways(embedded, **SETTINGS, DISCONNECT_DELAY="30")
    async with Client(node.url) as client:
        fast = Fast(await client.subscribe(ROOM))
        await fast.through_a_load(node)
        without = node.resident_bytes()
        async with away(node.url, "xhr-polling") as (connection, since):
            await fast.through_a_load(node)
            assert node.metric("roomline_disconnects_total", code="3002") == 1
            assert node.resident_bytes() - without < OUTBOX + 16 * MIB
            texts = []
            with suppress(ConnectionClosed):
                while True:
                    texts.append(await connection.receive())
            assert connection.closed is not None
            assert (connection.closed.code, connection.closed.reason) == (3002, "slow")
            assert sum(map(len, texts)) <= OUTBOX + 2 * SIZE
    await comes_back(node, since, [], fast)


@pytest.mark.parametrize("transport", ["xhr-streaming", "eventsource"])
async def test_a_response_that_nobody_reads(
    embedded: str, gateways: Gateways, transport: Transport
) -> None:
    node = gateways(embedded, **SETTINGS)
    async with Client(node.url) as client, away(node.url, transport) as (_, since):
        fast = Fast(await client.subscribe(ROOM))
        await fast.through_a_load(node)
        await until(lambda: node.metric("roomline_disconnects_total", code="3002") == 1)
    await comes_back(node, since, [], fast)

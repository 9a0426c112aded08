"""Crowds from one address, against a real node: each cap holds, and others are served meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from roomline.client import CommandRefused

from tests.support.gateway import Gateway
from tests.support.talk import Talk
from tests.support.until import until
from tests.transport.clients import Refused, ask, connected, websocket

pytestmark = pytest.mark.timeout(60)

Start = Callable[..., Gateway]
ELSEWHERE = "127.0.0.9"
STREAM = "/roomline/rooms/chat.a/events"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    gateways: list[Gateway] = []

    def begin(**settings: str) -> Gateway:
        gateways.append(Gateway(f"embedded:{tmp_path}/rooms.sqlite3", **settings))
        gateways[-1].start()
        return gateways[-1]

    yield begin
    for gateway in gateways:
        gateway.close()


def port_of(gateway: Gateway) -> int:
    return int(gateway.url.rpartition("/")[0].rpartition(":")[2])


async def served(port: int, source: str | None = None) -> bool:
    """Whether a new client, from an address of its own, is answered."""
    try:
        answer = await ask(port, "POST", f"/roomline/000/{id(object())}/xhr", source=source)
    except (ConnectionError, asyncio.IncompleteReadError):
        return False
    return answer.status == 200


async def until_served(port: int) -> None:
    async with asyncio.timeout(15):
        while not await served(port):  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.05)


async def test_connections_that_say_nothing(start: Start) -> None:
    gateway = start(CONNECTIONS_PER_ADDRESS="20")
    port = port_of(gateway)
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(port)) for _ in range(20)]
        excess = await stack.enter_async_context(connected(port))
        assert await excess.closed(within=5)
        assert not await served(port)
        assert await served(port, ELSEWHERE), "others are served meanwhile"
        idle[0].writer.close()
        await until_served(port)
    assert gateway.metric("roomline_refused_total", reason="connections") >= 2


async def test_websockets_do_not_count_as_connections(start: Start) -> None:
    """They are sessions, which have a cap of their own."""
    gateway = start(CONNECTIONS_PER_ADDRESS="5", SESSIONS_PER_ADDRESS="12")
    port = port_of(gateway)
    async with AsyncExitStack() as stack:
        for number in range(12):
            path = f"/roomline/000/w{number}/websocket"
            await stack.enter_async_context(websocket(port, path))
        with pytest.raises(Refused) as refused:
            async with websocket(port, "/roomline/000/more/websocket"):
                pass
        assert refused.value.response.status == 503
        assert refused.value.response["Retry-After"]


async def test_a_proxy_that_is_trusted_brings_everybody(start: Start) -> None:
    gateway = start(CONNECTIONS_PER_ADDRESS="3", TRUSTED_PROXIES="127.0.0.1")
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(connected(port_of(gateway)))
        assert await served(port_of(gateway))


@pytest.mark.parametrize("transport", ["xhr", "websocket"])
async def test_sessions_that_come_and_go(start: Start, transport: str) -> None:
    gateway = start(NEW_SESSIONS_PER_SECOND="0.1", NEW_SESSIONS_BURST="10")
    port = port_of(gateway)
    statuses = []
    for number in range(15):
        path = f"/roomline/000/s{number}/{transport}"
        if transport == "xhr":
            statuses.append((await ask(port, "POST", path)).status)
            continue
        try:
            async with websocket(port, path):
                statuses.append(200)
        except Refused as refused:
            statuses.append(refused.response.status)
    assert statuses == [200] * 10 + [503] * 5
    assert await served(port, ELSEWHERE)
    assert gateway.metric("roomline_refused_total", reason="arrivals") == 5


async def test_event_streams_that_come_and_go(start: Start) -> None:
    """They cost what sessions cost, whether they are let in or not, and together with them."""
    gateway = start(NEW_SESSIONS_PER_SECOND="0.1", NEW_SESSIONS_BURST="10", HELD_RESPONSES="3")
    port = port_of(gateway)
    for number in range(4):
        assert (await ask(port, "POST", f"/roomline/000/s{number}/xhr")).status == 200
    assert (await ask(port, "HEAD", STREAM)).status == 200
    async with AsyncExitStack() as stack:
        for _ in range(3):
            client = await stack.enter_async_context(connected(port))
            assert (await client.request("GET", STREAM)).status == 200
        for _ in range(9):
            full = await ask(port, "GET", STREAM)
            assert (full.status, json.loads(full.body)["code"]) == (503, "limit_reached")
    await until(lambda: gateway.metric("roomline_held_responses") == 0)
    for path in ("/roomline/rooms/nowhere.a/events", "/roomline/rooms/user.ann/events"):
        assert (await ask(port, "GET", path)).status in (403, 404)
    refused = await ask(port, "GET", STREAM)
    assert (refused.status, refused["Retry-After"]) == (429, "1")
    body = json.loads(refused.body)
    assert (body["code"], body["temporary"]) == ("rate_limited", True)
    assert "from this address" in body["reason"]
    assert (await ask(port, "POST", "/roomline/000/late/xhr")).status == 503
    async with connected(port, source=ELSEWHERE) as client:
        assert (await client.request("GET", STREAM)).status == 200
    assert gateway.metric("roomline_refused_total", reason="arrivals") == 2


@asynccontextmanager
async def crowd(gateway: Gateway, size: int) -> AsyncIterator[list[Talk]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Talk.to(gateway.url)) for _ in range(size)]


async def outcomes(
    talks: list[Talk], each: int, act: Callable[[Talk, int], Awaitable[object]]
) -> tuple[list[str], set[str]]:
    """What the sessions are told to so many commands of each: ``done``, or the error's code; and
    the reasons."""
    told, reasons = [], set()
    for talk in talks:
        for number in range(each):
            try:
                await act(talk, number)
                told.append("done")
            except CommandRefused as refused:
                told.append(refused.code)
                reasons.add(refused.reason)
    return told, reasons


async def test_subscriptions_publications_and_commands_of_many_sessions(start: Start) -> None:
    """Each session keeps to its own limits; together they are too many."""
    gateway = start(
        COMMANDS_PER_SECOND="1",
        COMMANDS_BURST="40",
        PUBLICATIONS_PER_SECOND="0.1",
        PUBLICATIONS_BURST="4",
        SUBSCRIPTIONS="4",
        SESSIONS_WORTH_PER_ADDRESS="2",
    )
    async with crowd(gateway, 4) as talks:
        told, reasons = await outcomes(talks, 3, lambda t, n: t.subscribe(f"chat.room{n}"))
        # One each is system.notices, which nobody asks for.
        assert told == ["done"] * 4 + ["limit_reached"] * 8
        assert all("from this address" in reason for reason in reasons)
        told, _ = await outcomes(talks, 3, lambda t, n: t.publish("chat.room0", n))
        assert told == ["done"] * 8 + ["rate_limited"] * 4
        told, reasons = await outcomes(talks, 15, lambda t, _: t.ping())
        assert set(told) == {"done", "rate_limited"}
        assert 40 <= told.count("done") <= 60, "80 in all, of which some were used above"
        assert all("from this address" in reason for reason in reasons)
        # Who leaves makes room.
        await talks[0].close()
        async with asyncio.timeout(10):
            while True:
                told, _ = await outcomes(talks[3:], 1, lambda t, n: t.subscribe("chat.late"))
                if told == ["done"]:
                    break
                await asyncio.sleep(0.3)


@pytest.mark.parametrize("data", ["x" * 30_000, "щ" * 15_000, "\N{GRINNING FACE}" * 7_500])
async def test_bytes_of_one_session_and_of_many(start: Start, data: str) -> None:
    gateway = start(BYTES_PER_SECOND="1024", BYTES_BURST="65536", SESSIONS_WORTH_PER_ADDRESS="2")

    async def say(talk: Talk, number: int) -> None:
        await talk.publish("chat.lobby", data)

    async with crowd(gateway, 4) as talks:
        told, reasons = await outcomes(talks[:1], 3, say)
        assert told == ["done", "done", "rate_limited"]
        assert reasons == {"at most 1024 bytes a second"}
        told, reasons = await outcomes(talks[1:], 2, say)
        assert told == ["done"] * 2 + ["rate_limited"] * 4
        assert any("too much data from this address" in reason for reason in reasons)


async def test_whoever_never_connects_is_sent_away(start: Start) -> None:
    gateway = start(CONNECT_TIMEOUT="1", SESSIONS_PER_ADDRESS="5")
    port = port_of(gateway)
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(websocket(port, f"/roomline/000/q{number}/websocket"))
            for number in range(5)
        ]
        assert not await served(port)
        for socket in sockets:
            assert await socket.receive() == "o"
            frame = await socket.receive(within=5)
            assert isinstance(frame, str)
            assert json.loads(frame[1:])[0] == 3003
        await until_served(port)

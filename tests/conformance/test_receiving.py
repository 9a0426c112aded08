"""What every HTTP transport that receives must do, however it wraps frames."""

import asyncio
import json

import pytest
from roomline.transport import TRANSPORTS, TransportSettings
from roomline.transport.conformance import Running
from roomline.transport.session import Session

from tests.conformance.carriers import (
    CARRIERS,
    CLOSE,
    GO_AWAY,
    HTML,
    HTMLFILE,
    INTERRUPTED,
    JSONP,
    OPEN,
    PAGE,
    SECOND,
    XHR,
    XHR_STREAMING,
    Carrier,
    carriers,
    polls,
    receiving,
    send,
    session,
    streams,
)
from tests.transport.clients import Response, connected
from tests.transport.servers import Behaviour, serving, until

pytestmark = pytest.mark.timeout(20)

NOT_CACHED = "no-store, no-cache, no-transform, must-revalidate, max-age=0"


def check_headers(response: Response, content_type: str, origin: str | None) -> None:
    """What the headers of every answer of a session have in common."""
    assert response["Content-Type"] == content_type
    assert response["Cache-Control"] == NOT_CACHED
    assert response["X-Accel-Buffering"] == "no"
    assert response["Expires"] is response["Last-Modified"] is response["ETag"] is None
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Server"] is response["Set-Cookie"] is None
    assert (response["Vary"] or "").split(", ")[0] == "Origin"
    if origin is not None:
        assert response["Access-Control-Allow-Origin"] == origin
        assert response["Access-Control-Allow-Credentials"] == "true"


def served(running: Running, path: str) -> Session:
    """The session on the server's side."""
    session_id = path.rpartition("/")[2]
    [found] = filter(None, (each.registry.find(session_id) for each in running.endpoints))
    return found


def carried(running: Running, path: str) -> bool:
    """Whether a request carries the session."""
    return served(running, path).handler is not None


# Responses.


@carriers
async def test_headers(port: int, carrier: Carrier) -> None:
    for origin in ("test", "null"):
        async with receiving(port, session(), carrier, {"Origin": origin}) as frames:
            if not carrier.streams:
                await frames.ask({"Origin": origin})
            check_headers(frames.response, carrier.content_type, origin)
            chunked = frames.response["Transfer-Encoding"] == "chunked"
            measured = frames.response["Content-Length"] is not None
            assert (chunked, measured) == (carrier.streams, not carrier.streams)


@pytest.mark.parametrize("carrier", [each for each in CARRIERS if not each.scripted], ids=str)
async def test_without_an_origin(port: int, carrier: Carrier) -> None:
    async with receiving(port, session(), carrier) as frames:
        if not carrier.streams:
            await frames.ask()
        assert frames.response["Access-Control-Allow-Origin"] == "*"
        assert frames.response["Access-Control-Allow-Credentials"] is None


async def test_the_page_of_htmlfile_is_long_enough_to_be_shown(port: int) -> None:
    async with connected(port) as connection:
        await connection.request("GET", HTML.path(session()))
        page = (await connection.chunk()).decode()
    assert page.rstrip() == HTMLFILE.rstrip()
    assert len(page) > 1024
    assert page.endswith("\r\n\r\n")


@carriers
@pytest.mark.parametrize("kept", [True, False])
async def test_http_1_0(port: int, carrier: Carrier, kept: bool) -> None:
    """Its clients know no chunks: a stream ends with its connection, a poll says how long it is."""
    path = session(CLOSE)
    async with connected(port) as connection:
        response = await connection.request(
            carrier.method,
            carrier.path(path),
            headers={"Connection": "Keep-Alive"} if kept else {},
            version="1.0",
        )
        assert response.status == 200
        assert response["Transfer-Encoding"] is None
        if carrier.streams:
            assert response["Content-Length"] is response["Connection"] is None
            body = (await connection.body(response)).removeprefix(carrier.prelude.rstrip())
            assert body.lstrip() == carrier.wrap(OPEN) + carrier.wrap(GO_AWAY)
            assert await connection.closed()
        else:
            assert await connection.body(response) == carrier.wrap(OPEN)
            if kept:
                assert (response["Connection"] or "").lower() == "keep-alive"
                again = await connection.request(carrier.method, carrier.path(path), version="1.0")
                assert await connection.body(again) == carrier.wrap(GO_AWAY)
            assert await connection.closed()


@polls
@pytest.mark.parametrize(
    ("version", "headers"),
    [("1.0", {}), ("1.0", {"Connection": "close"}), ("1.1", {"Connection": "close"})],
)
async def test_a_connection_for_each_poll(
    port: int, carrier: Carrier, version: str, headers: dict[str, str]
) -> None:
    """As many proxies make it: the end of the connection is not the end of the session."""
    path = session()

    async def last() -> str:
        async with connected(port) as connection:
            response = await connection.request(
                carrier.method, carrier.path(path), headers=headers, version=version
            )
            frame = carrier.unwrap(await connection.body(response))
            assert await connection.closed()
            return frame

    assert await last() == OPEN
    for text in ("one", "two"):
        await send(port, path, text, by=carrier.sends_by)
        assert await last() == f'a["{text}"]'


@carriers
async def test_connections_are_kept(port: int, carrier: Carrier) -> None:
    path = session(CLOSE)
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        assert await frames.next() == GO_AWAY
        assert await frames.ended()
        for _ in range(2):
            response = await frames.connection.request("GET", "/echo")
            assert await frames.connection.body(response) == b"Welcome to SockJS!\n"


# Frames.


@carriers
async def test_there_and_back(running: Running, carrier: Carrier) -> None:
    port, path = running.port, session()
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        assert served(running, path).transport == carrier.transport
        await send(port, path, "x", by=carrier.sends_by)
        assert await frames.next() == 'a["x"]'
        await send(port, path, by=carrier.sends_by)
        await send(port, path, "y", "z", by=carrier.sends_by)
        assert await frames.messages(2) == ["y", "z"]
        await send(port, path, "  \0\n\r ", "", "\\\"'", by=carrier.sends_by)
        assert await frames.messages(3) == ["  \0\n\r ", "", "\\\"'"]


@polls
async def test_what_was_sent_between_polls_comes_at_once(
    running: Running, carrier: Carrier
) -> None:
    port, path = running.port, session()
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        await send(port, path, "a", "b", by=carrier.sends_by)
        await send(port, path, "c", by=carrier.sends_by)
        assert await frames.next() == 'a["a","b","c"]'
        waiting = asyncio.create_task(frames.next())
        await until(lambda: carried(running, path))
        await send(port, path, "d", "e", by=carrier.sends_by)
        assert await waiting == 'a["d"]'
        assert await frames.next() == 'a["e"]'


@carriers
async def test_the_server_part_means_nothing(port: int, carrier: Carrier) -> None:
    path = session()
    other = path.replace("/000/", "/999/")
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        assert (await send(port, other, "x", by=carrier.sends_by)).status in (200, 204)
        assert await frames.next() == 'a["x"]'
        if not carrier.streams:
            await send(port, path, "y", by=carrier.sends_by)
            async with receiving(port, other, carrier) as elsewhere:
                assert await elsewhere.next() == 'a["y"]'


@carriers
async def test_a_closed_session_says_so_again_and_again(port: int, carrier: Carrier) -> None:
    path = session(CLOSE)
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        assert await frames.next() == GO_AWAY
        assert await frames.ended()
    for other in (carrier, *CARRIERS):
        async with receiving(port, path, other) as frames:
            assert await frames.next() == GO_AWAY
            assert await frames.ended()
    assert (await send(port, path, "late", by=carrier.sends_by)).status == 404


@carriers
async def test_one_request_receives(running: Running, carrier: Carrier) -> None:
    port, path = running.port, session()
    async with receiving(port, path, carrier) as first:
        assert await first.next() == OPEN
        waiting = asyncio.create_task(first.next())
        await until(lambda: carried(running, path))
        for other in CARRIERS:
            async with receiving(port, path, other) as second:
                frame = await second.next()
                assert frame == SECOND, other
                assert await second.ended()
        await send(port, path, "unharmed", by=carrier.sends_by)
        assert await waiting == 'a["unharmed"]'


@carriers
async def test_a_broken_request_ends_the_session(running: Running, carrier: Carrier) -> None:
    port, path = running.port, session()
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        waiting = asyncio.create_task(frames.next())
        await until(lambda: carried(running, path))
        frames.connection.abort()
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await waiting
    # The server hears of it a moment later; until then there is another request.
    frame = SECOND
    while frame == SECOND:
        async with receiving(port, path, XHR) as frames:
            frame = await frames.next()
    assert frame == INTERRUPTED
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == INTERRUPTED
        assert await frames.ended()


@carriers
async def test_another_transport_may_go_on(running: Running, carrier: Carrier) -> None:
    """The session keeps the name of that which opened it."""
    port, path = running.port, session()
    async with receiving(port, path, XHR) as frames:
        assert await frames.next() == OPEN
    await send(port, path, "x")
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == 'a["x"]'
        assert served(running, path).transport == "xhr-polling"


@pytest.mark.parametrize("carrier", [JSONP, HTML], ids=str)
async def test_heartbeats_in_scripts(carrier: Carrier) -> None:
    """As those of the other transports."""
    everybody = frozenset({"*"})
    async with serving(
        "ours",
        Behaviour(),
        transports=TRANSPORTS,
        allowed_origins=everybody,
        heartbeat_seconds=0.1,
    ) as server:
        path = server.session()
        async with receiving(server.port, path, carrier) as frames:
            assert await frames.next() == OPEN
            assert await frames.next() == "h"
            assert await frames.next() == "h"
            await send(server.port, path, "still there")
            while (frame := await frames.next()) == "h":
                pass
            assert frame == 'a["still there"]'


# Time, and how much a response carries: here 4096 bytes.


def test_unless_told_otherwise() -> None:
    """What the protocol proposes."""
    settings = TransportSettings()
    assert settings.heartbeat_seconds == 25
    assert settings.disconnect_delay == 5
    assert settings.response_limit == 128 * 1024


@carriers
async def test_a_session_that_nobody_asks_for_ends(carrier: Carrier) -> None:
    """And says so to whoever asks late, instead of beginning anew."""
    everybody = frozenset({"*"})
    async with serving(
        "ours",
        transports=TRANSPORTS,
        allowed_origins=everybody,
        response_limit=1,
        disconnect_delay=0.2,
    ) as server:
        path = server.session()
        async with receiving(server.port, path, carrier) as frames:
            assert await frames.next() == OPEN
            assert await frames.ended()
        await until(lambda: server.behaviour.left)
        assert (await send(server.port, path, "late", by=carrier.sends_by)).status == 404
        async with receiving(server.port, path, carrier) as frames:
            assert await frames.next() == GO_AWAY
            assert await frames.ended()
        assert len(server.behaviour.clients) == 1


@streams
async def test_a_stream_ends_when_it_has_carried_enough(port: int, carrier: Carrier) -> None:
    path = session()
    frame = f'a["{"x" * 128}"]'
    left = 4096 - len(carrier.wrap(OPEN))
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        while left > 0:
            await send(port, path, "x" * 128)
            assert await frames.next() == frame
            left -= len(carrier.wrap(frame))
        assert await frames.ended()
    await send(port, path, "more")
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == 'a["more"]'


@carriers
async def test_a_message_as_long_as_the_limit(port: int, carrier: Carrier) -> None:
    path = session()
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        await send(port, path, "x" * 4096, by=carrier.sends_by)
        assert await frames.next() == f'a["{"x" * 4096}"]'
        assert await frames.ended()
    await send(port, path, "more", by=carrier.sends_by)
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == 'a["more"]'


@polls
async def test_what_exceeds_the_limit_waits_for_the_next_poll(port: int, carrier: Carrier) -> None:
    path = session()
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        texts = ["a" * 2000, "b" * 2000, "c" * 2000, "d" * 2000]
        await send(port, path, *texts, by=carrier.sends_by)
        assert json.loads((await frames.next())[1:]) == texts[:2]
        assert json.loads((await frames.next())[1:]) == texts[2:]


# What the server closes.


async def test_a_stream_that_closes_makes_way(port: int) -> None:
    """A new request learns of the end, not of another connection, while the old one has not yet
    been read to its end."""
    path = session(CLOSE)
    async with (
        receiving(port, path, XHR_STREAMING, PAGE) as first,
        receiving(port, path, XHR_STREAMING, PAGE) as second,
    ):
        assert await second.next() == GO_AWAY
        assert await first.next() == OPEN
        assert await first.next() == GO_AWAY
        assert await first.ended()
        assert await second.ended()

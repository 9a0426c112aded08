"""What is wrong below SockJS: requests that two servers would read differently, headers and paths
that are abused, requests that never end, answers that somebody wants to write."""

import asyncio
import gzip
import itertools
import json
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.raw_http import BAD_REQUEST, answer, head, until_closed
from tests.support.tokens import API_TOKEN
from tests.transport.clients import ask, connected, websocket
from tests.transport.servers import serving

pytestmark = pytest.mark.timeout(60)

_ids = itertools.count()


@pytest.fixture(params=["public", "internal"])
def either(request: pytest.FixtureRequest, node: Gateway) -> int:
    """Each of the two ports."""
    name = "port" if request.param == "public" else "internal"
    port: int = request.getfixturevalue(name)
    return port


def session() -> str:
    return f"/roomline/000/http{next(_ids)}"


INFO = head("GET", "/roomline/info")

# Smuggling. The second request in a row stands where a lax reader would see one.

UNCLEAR = {
    "length and coding": (["Content-Length: 5", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    "coding and length": (["Transfer-Encoding: chunked", "Content-Length: 5"], b"0\r\n\r\n"),
    "two lengths": (["Content-Length: 0", "Content-Length: 5"], b""),
    "a list of lengths": (["Content-Length: 0, 5"], b""),
    "plus": (["Content-Length: +2"], b"[]"),
    "minus": (["Content-Length: -1"], b""),
    "hexadecimal": (["Content-Length: 0x2"], b"[]"),
    "underscore": (["Content-Length: 1_0"], b"[]"),
    "words": (["Content-Length: 2 2"], b"[]"),
    "other digits": (["Content-Length: \xb2"], b"[]"),
    "empty length": (["Content-Length:"], b""),
    "huge length": (["Content-Length: " + "9" * 40], b""),
    "gzip": (["Transfer-Encoding: gzip, chunked"], b"0\r\n\r\n"),
    "identity": (["Transfer-Encoding: identity"], b""),
    "chunked twice": (["Transfer-Encoding: chunked, chunked"], b"0\r\n\r\n"),
    "two codings": (["Transfer-Encoding: chunked"] * 2, b"0\r\n\r\n"),
    "almost chunked": (["Transfer-Encoding: xchunked"], b"0\r\n\r\n"),
    "vertical tab": (["Transfer-Encoding: \x0bchunked"], b"0\r\n\r\n"),
    "empty coding": (["Transfer-Encoding:"], b"0\r\n\r\n"),
    "space before the colon": (["Content-Length : 2"], b"[]"),
    "tab before the colon": (["Transfer-Encoding\t: chunked"], b"0\r\n\r\n"),
    "folded": (["X: a", " Content-Length: 5"], b""),
    "folded coding": (["Transfer-Encoding:", " chunked"], b"0\r\n\r\n"),
    "bare carriage return": (["X: a\rContent-Length: 5"], b""),
    "no colon": (["Content-Length"], b""),
    "zero byte": (["X: a\0b"], b""),
}
SIZES = {
    "plus": b"+2",
    "minus": b"-2",
    "hexadecimal": b"0x2",
    "underscore": b"0_2",
    "space behind": b"2 ",
    "space before": b" 2",
    "nothing": b"",
    "no digit": b"g",
    "extension": b"2;a=b",
    "long extension": b"2;" + b"a" * 100,
    "line feed": b"2\n",
    "too many digits": b"f" * 17,
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_a_request_whose_end_is_unclear(either: int, case: str) -> None:
    lines, body = UNCLEAR[case]
    said = until_closed(either, head("POST", f"{session()}/xhr", *lines) + body + INFO)
    assert said in (BAD_REQUEST, b""), "one answer at most, and the end"


@pytest.mark.parametrize("case", SIZES)
def test_a_chunk_whose_size_is_unclear(port: int, case: str) -> None:
    chunked = head("POST", f"{session()}/xhr_send", "Transfer-Encoding: chunked")
    said = until_closed(port, chunked + SIZES[case] + b"\r\n[]\r\n0\r\n\r\n" + INFO)
    assert said.count(b"HTTP/1.1 ") <= 1
    assert b"entropy" not in said, "what is behind it is no request"


@pytest.mark.parametrize("body", [b"2\r\n[]\r\n0\r\nX: y\r\n\r\n", b"2\r\n[]x\r\n0\r\n\r\n"])
def test_trailers_and_chunks_that_are_longer_than_they_say(port: int, body: bytes) -> None:
    chunked = head("POST", f"{session()}/xhr", "Transfer-Encoding: chunked")
    said = until_closed(port, chunked + body + INFO)
    assert b"entropy" not in said


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (["Content-Length: 2", "Content-Length: 2"], b"[]"),
        (["Content-Length: 02"], b"[]"),
        (["Transfer-Encoding: Chunked"], b"02\r\n[]\r\n0\r\n\r\n"),
        # A line may end with a line feed alone (RFC 9112, 2.2): it ends there for us, too.
        (["X: a\nContent-Length: 2"], b"[]"),
        # No framing header, though WSGI would take it for one.
        (["Content_Length: 5", "Content-Length: 0"], b""),
    ],
)
def test_what_has_one_meaning_has_it(port: int, lines: list[str], body: bytes) -> None:
    """The next request begins exactly behind it."""
    last = head("GET", "/roomline/info", "Connection: close")
    said = until_closed(port, head("POST", f"{session()}/xhr", *lines) + body + last)
    assert said.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"\r\n\r\no\n" in said
    assert b"entropy" in said


# Headers and paths.


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /roomline/info HTTP/1.1\r\n\r\n",
        b"GET /roomline/info HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /roomline/info HTTP/1.1\r\nHost: a/b@c\r\n\r\n",
        b"GET /roomline/info HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /roomline/info\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET  /roomline/info HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /roomline/info x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /roomline/\0info HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_no_request(either: int, request_bytes: bytes) -> None:
    assert until_closed(either, request_bytes + INFO) in (BAD_REQUEST, b"")


@pytest.mark.parametrize(
    "request_bytes",
    [
        head("GET", "/" + "a" * 20_000),
        head("GET", "/roomline/info", "X: " + "a" * 20_000),
        head("GET", "/roomline/info", *[f"X{number}: y" for number in range(5_000)]),
        b"A" * 40_000,
    ],
    ids=["path", "header", "headers", "no line"],
)
def test_heads_beyond_16_kib_are_not_read(node: Gateway, either: int, request_bytes: bytes) -> None:
    before = node.resident_bytes()
    for _ in range(20):
        assert until_closed(either, request_bytes) == b""
    assert node.resident_bytes() < before + (8 << 20)


PATHS = [
    "/roomline/../etc/passwd",
    "/roomline/%2e%2e/metrics",
    "/roomline/..%2fmetrics",
    "/../../../../etc/passwd",
    "/roomline//info",
    "//roomline/info",
    "/roomline/./info",
    "/roomline/%69nfo",
    "/roomline/info%00",
    "/roomline/info%0d%0aX-Own:%20y",
    "/roomline/info;x",
    "/roomline/info#x",
    "/ROOMLINE/info",
    "/roomline/\xc0\xafinfo",
    "/roomline/%c0%afinfo",
    "/roomline/sockjs-1.6.1.min.js/../../../settings.py",
    "/roomline/iframe-<script>.html",
    "/roomline/000/a%2fb/xhr",
    "/roomline/000/../xhr",
    "http://127.0.0.1/roomline/info",
    "http://evil.example/metrics",
    "roomline/info",
    "*",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_paths_are_what_is_written_or_nothing(either: int, method: str, path: str) -> None:
    said = answer(either, head(method, path, "Content-Length: 0"))
    assert said is not None
    assert said.status == 404
    assert "x-own" not in said.headers
    assert b"script" not in said.body


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "TRACK", "get", "PROPFIND"])
@pytest.mark.parametrize(
    "path",
    [
        *("/roomline", "/roomline/info", "/roomline/rooms/chat.a/events", "/roomline/000/a/xhr"),
        *("/roomline/000/a/websocket", "/nowhere", "/metrics", "/api/rooms/chat.a/publications"),
    ],
)
def test_methods_that_nobody_has(either: int, method: str, path: str) -> None:
    """And least of all one that says what it was told."""
    said = answer(either, head(method, path, "Cookie: secret=word", "Authorization: word"))
    assert said is not None
    assert said.status in (401, 404, 405)
    assert b"word" not in said.body
    assert "word" not in str(said.headers)


async def test_pipelined_requests_are_answered_in_their_order(node: Gateway, port: int) -> None:
    before = node.resident_bytes()
    async with connected(port) as connection:
        names = [session() for _ in range(500)]
        polls = b"".join(
            head("POST", f"{name}/xhr", "Content-Length: 0") + head("GET", f"/nowhere{name}")
            for name in names
        )
        connection.writer.write(polls)
        for _ in names:
            first = await connection.head()
            assert await connection.body(first) == b"o\n"
            second = await connection.head()
            assert second.status == 404
            await connection.body(second)
    assert node.resident_bytes() < before + (32 << 20)


# Requests that never end. Those of websockets: tests/transport/test_rfc6455.py.


async def drip(port: int, start: bytes, rest: bytes, *, within: float) -> bool:
    """Whether the server ends a connection that sends `rest` byte by byte, again and again."""
    async with connected(port) as connection:

        async def more() -> None:
            for number in itertools.count():
                connection.writer.write(rest[number % len(rest) :][:1])
                await asyncio.sleep(0.02)

        connection.writer.write(start)
        dripping = asyncio.create_task(more())
        try:
            return await connection.closed(within=within)
        finally:
            dripping.cancel()


async def test_headers_that_drip() -> None:
    """It is the whole head that has its time, not each byte."""
    async with serving("ours", header_seconds=0.3) as server:
        start = b"GET /echo/info HTTP/1.1\r\nHost: x\r\n"
        assert await drip(server.port, start, b"X: y\r\n", within=10)
        assert (await ask(server.port, "GET", "/echo/info")).status == 200


async def test_connections_that_say_nothing_are_ended() -> None:
    async with serving("ours", header_seconds=0.3) as server, connected(server.port) as connection:
        response = await connection.request("GET", "/echo/info")
        await connection.body(response)
        assert await connection.closed(within=10), "after a request as well"


@pytest.mark.parametrize("line", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
async def test_bodies_that_drip(line: str) -> None:
    async with serving("ours", body_seconds=0.3) as server:
        path = server.session()
        assert (await ask(server.port, "POST", f"{path}/xhr")).body == b"o\n"
        start = head("POST", f"{path}/xhr_send", line)
        assert await drip(server.port, start, b"1\r\nx\r\n", within=10)


# What is echoed.

SPLIT = "x%0d%0aX-Own:%20y"
PAGE = "Origin: https://page.example"


@pytest.mark.parametrize(
    ("method", "path", "lines"),
    [
        ("GET", f"/roomline/rooms/chat.{SPLIT}/events", []),
        ("GET", f"/roomline/rooms/chat.a/events?since={SPLIT}", []),
        ("GET", "/roomline/rooms/chat.a/events", ["Last-Event-ID: a\x85X-Own: y"]),
        ("GET", "/roomline/000/split1/jsonp?c=" + SPLIT, [PAGE]),
        ("GET", "/roomline/000/split2/htmlfile?c=" + SPLIT, [PAGE]),
        ("GET", "/roomline/000/split3/jsonp?c=a&callback=" + SPLIT, []),
        ("OPTIONS", "/roomline/info", [PAGE, "Access-Control-Request-Headers: a\x85X-Own: y"]),
        ("OPTIONS", "/roomline/info", [PAGE, "Access-Control-Request-Headers: <b>"]),
        ("GET", "/roomline/info", ["Origin: https://page.example\x85X-Own: y"]),
        ("POST", "/roomline/000/split4/xhr", ["Cookie: JSESSIONID=a%0d%0aX-Own:y"]),
        ("GET", f"/roomline/info?{SPLIT}", []),
        ("GET", f"/{SPLIT}", []),
    ],
)
def test_nobody_writes_headers_of_an_answer(
    port: int, method: str, path: str, lines: list[str]
) -> None:
    said = answer(port, head(method, path, *lines))
    assert said is not None
    assert "x-own" not in said.headers
    assert "X-Own" not in str(said.headers)
    assert "<b>" not in str(said.headers)
    assert b"\r\nX-Own" not in said.body


# Decompression.


async def test_no_compression_is_agreed_to(port: int) -> None:
    offered = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    async with websocket(port, f"{session()}/websocket", offered) as client:
        assert await client.receive() == "o"
        client.connection.writer.write(b"\xc1\x80\0\0\0\0")  # a compressed frame, all the same
        closed: Any = await client.receive()
        assert closed.code == 1002
    async with connected(port) as connection:
        said = await connection.request("GET", f"{session()}/websocket", headers=_asking(offered))
        assert said.status == 101
        assert said["Sec-WebSocket-Extensions"] is None


def _asking(more: dict[str, str]) -> dict[str, str]:
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    } | more


async def test_compressed_bodies_are_what_they_are(node: Gateway, port: int, internal: int) -> None:
    bomb = gzip.compress(b'["' + b"x" * (64 << 20) + b'"]', 9)
    assert len(bomb) < 100_000
    packed = {"Content-Encoding": "gzip"}
    path = session()
    assert (await ask(port, "POST", f"{path}/xhr")).body == b"o\n"
    before = node.resident_bytes()
    said = await ask(port, "POST", f"{path}/xhr_send", bomb, packed)
    assert (said.status, said.body) == (500, b"Broken JSON encoding.")
    bearer = {"Authorization": f"Bearer {API_TOKEN}"}
    said = await ask(internal, "POST", "/api/rooms/chat.a/publications", bomb, packed | bearer)
    assert said.status == 400
    assert json.loads(said.body)["code"] == "bad_request"
    assert node.resident_bytes() < before + (16 << 20)


# What browsers are told to make of answers.


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/roomline"),
        ("GET", "/roomline/info"),
        ("GET", "/roomline/iframe.html"),
        ("GET", "/roomline/sockjs-1.6.1.min.js"),
        ("GET", "/roomline/rooms/chat.a/events"),
        ("GET", "/roomline/rooms/!/events"),
        ("POST", "/roomline/000/sniff1/xhr"),
        ("POST", "/roomline/000/sniff1/xhr_send"),
        ("POST", "/roomline/000/sniff2/xhr_streaming"),
        ("GET", "/roomline/000/sniff3/eventsource"),
        ("GET", "/roomline/000/sniff4/htmlfile?c=a"),
        ("GET", "/roomline/000/sniff5/jsonp?c=a"),
        ("GET", "/roomline/000/sniff6/jsonp?c=<"),
        ("POST", "/roomline/000/sniff1/jsonp_send"),
        ("GET", "/roomline/nowhere"),
        ("GET", "/nowhere"),
    ],
)
def test_no_answer_is_sniffed(port: int, method: str, path: str) -> None:
    said = answer(port, head(method, path, PAGE, "Content-Length: 0"))
    assert said is not None
    assert said.headers["x-content-type-options"] == "nosniff"
    assert "server" not in said.headers

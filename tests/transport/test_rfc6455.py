"""roomline.transport.rfc6455: both websocket endpoints keep to RFC 6455 where clients do not."""

import asyncio
import hashlib
import inspect
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from roomline.transport import rfc6455
from roomline.transport.rfc6455 import Connection
from tornado import websocket as tornado_websocket
from tornado.iostream import IOStream
from tornado.util import _websocket_mask

from tests.support.nginx import Nginx
from tests.support.websocket_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close,
    fragments,
    frame,
)
from tests.transport.clients import WebSocket, connected, handshake
from tests.transport.servers import PREFIX, Behaviour, Client, Server, serving, until

pytestmark = pytest.mark.timeout(30)

EXAMPLE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
EXAMPLE_ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Both are the RFC's own (section 1.3)."""


class Silent(Behaviour):
    def message(self, client: Client, text: str) -> None:
        pass


class Peer:
    """A client of either endpoint."""

    def __init__(self, server: Server, socket: WebSocket, *, raw: bool) -> None:
        self.server = server
        self._socket = socket
        self._raw = raw

    def payload(self, text: str) -> bytes:
        """What the endpoint takes for this message."""
        return (text if self._raw else json.dumps(text, ensure_ascii=False)).encode()

    def write(self, *frames: bytes) -> None:
        self._socket.connection.writer.write(b"".join(frames))

    async def sent(self) -> None:
        """Return when the server has taken most of what was written."""
        await self._socket.connection.writer.drain()

    def hang_up(self) -> None:
        """Close at once."""
        self._socket.connection.hang_up()

    async def next(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        async with asyncio.timeout(10):
            return await self._socket.frame()

    async def rest(self) -> bytes:
        """What comes until the connection has ended in order: a reset raises."""
        async with asyncio.timeout(10):
            return await self._socket.connection.reader.read()

    async def received(self, *texts: str) -> None:
        """Return when the application has received these; it must be these alone."""
        received = self.server.behaviour.received
        await until(lambda: len(received) >= len(texts))
        assert received == list(texts)

    @property
    def stream(self) -> IOStream:
        """The server's side of the connection."""
        [client] = self.server.behaviour.clients
        stream: IOStream = client.link.handler.ws_connection.stream  # type: ignore[attr-defined]
        return stream


@asynccontextmanager
async def peer(
    raw: bool, behaviour: Behaviour | None = None, **options: Any
) -> AsyncIterator[Peer]:
    """A client whose websocket is open."""
    async with (
        serving("ours", behaviour or Silent(), raw_websocket=True, **options) as server,
        connected(server.port, receive_buffer=4096) as connection,
    ):
        response = await connection.request("GET", path_of(server, raw), headers=handshake())
        assert response.status == 101
        opened = Peer(server, WebSocket(connection), raw=raw)
        if not raw:
            assert await opened.next() == (TEXT, b"o")
        yield opened


def path_of(server: Server, raw: bool) -> str:
    return f"{PREFIX}/websocket" if raw else f"{server.session()}/websocket"


@pytest.fixture(params=["framed", "raw"])
def raw(request: pytest.FixtureRequest) -> bool:
    """Which endpoint."""
    return bool(request.param == "raw")


# The handshake (section 4.2).


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZQ=="}, 400),  # too few bytes
        ({"Sec-WebSocket-Key": EXAMPLE_KEY[:-2]}, 400),  # not padded
        ({"Sec-WebSocket-Key": "*" * 24}, 400),
        ({"Upgrade": "h2c"}, 400),
        ({"Connection": "keep-alive"}, 400),
        ({"Sec-WebSocket-Version": "14"}, 426),
        ({"Sec-WebSocket-Version": ""}, 426),
    ],
)
async def test_a_handshake_that_is_none(raw: bool, headers: dict[str, str], status: int) -> None:
    async with serving("ours", raw_websocket=True) as server, connected(server.port) as connection:
        path = path_of(server, raw)
        response = await connection.request("GET", path, headers=handshake() | headers)
        assert response.status == status
        assert response["Sec-WebSocket-Version"] == ("13" if status == 426 else None)


async def test_what_a_handshake_agrees_to(raw: bool) -> None:
    headers = handshake() | {
        "Sec-WebSocket-Key": EXAMPLE_KEY,
        "Sec-WebSocket-Protocol": "chat, superchat",
        "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits, x-other",
    }
    async with serving("ours", raw_websocket=True) as server, connected(server.port) as connection:
        response = await connection.request("GET", path_of(server, raw), headers=headers)
        assert response.status == 101
        assert response["Sec-WebSocket-Accept"] == EXAMPLE_ACCEPT
        assert response["Sec-WebSocket-Protocol"] is None
        assert response["Sec-WebSocket-Extensions"] is None


# Messages (sections 5.4 to 5.6, 8.1).

TEXTS = ["", "x", "déjà vu, 你好, 😀", "x" * 125, "x" * 126, "é" * 30_000]


def whole(payload: bytes) -> list[bytes]:
    return [frame(payload)]


def halves(payload: bytes) -> list[bytes]:
    half = len(payload) // 2
    return fragments(payload[:half], payload[half:])


def single_bytes(payload: bytes) -> list[bytes]:
    return fragments(*(bytes([byte]) for byte in payload[:500]), payload[500:])


def with_empty_ones(payload: bytes) -> list[bytes]:
    return fragments(b"", payload[:3], b"", payload[3:], b"")


def with_pings_between(payload: bytes) -> list[bytes]:
    first, last = halves(payload)
    return [first, frame(b"between", PING), frame(b"unasked", PONG), last]


def in_two_bytes(payload: bytes) -> list[bytes]:
    return [frame(payload, length_bytes=2)]


def in_eight_bytes(payload: bytes) -> list[bytes]:
    return [frame(payload, length_bytes=8)]


def not_really_masked(payload: bytes) -> list[bytes]:
    return [frame(payload, mask=bytes(4))]


@pytest.mark.parametrize(
    "split",
    [
        whole, halves, single_bytes, with_empty_ones, with_pings_between, in_two_bytes,
        in_eight_bytes, not_really_masked,
    ],
)  # fmt: skip
async def test_messages_arrive(raw: bool, split: Callable[[bytes], list[bytes]]) -> None:
    texts = [text for text in TEXTS if split is not in_two_bytes or len(text) < 30_000]
    async with peer(raw) as client:
        for text in texts:
            client.write(*split(client.payload(text)))
        await client.received(*texts)
        if split is with_pings_between:
            for _ in texts:
                assert await client.next() == (PONG, b"between")


async def test_whatever_the_network_makes_of_it_messages_arrive(raw: bool) -> None:
    """Random texts in random fragments that arrive in random pieces."""
    chance = random.Random(6455)
    texts = ["".join(chance.choices("aé你😀\0\n", k=chance.randrange(40))) for _ in range(60)]
    async with peer(raw) as client:
        sent = b""
        for text in texts:
            payload = client.payload(text)
            cuts = sorted(chance.choices(range(len(payload) + 1), k=chance.randrange(4)))
            places = zip([0, *cuts], [*cuts, len(payload)], strict=True)
            sent += b"".join(fragments(*(payload[start:end] for start, end in places)))
        while sent:
            size = chance.randrange(1, 40)
            client.write(sent[:size])
            sent = sent[size:]
            await asyncio.sleep(0)
        await client.received(*texts)


@pytest.mark.parametrize("payload", [b"", b"ping", b"\xff\x00", b"x" * 125])
async def test_pings_are_answered(raw: bool, payload: bytes) -> None:
    async with peer(raw) as client:
        client.write(frame(payload, PING))
        assert await client.next() == (PONG, payload)
        client.write(frame(payload, PONG), frame(client.payload("still here")))
        await client.received("still here")


# What breaks the protocol fails the connection (section 7.1.7), with a code that says how.

PROTOCOL_ERROR, INVALID_DATA = 1002, 1007
UPGRADE = """
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
"""
BEGINNING = frame(b"x", final=False)

VIOLATIONS: dict[str, tuple[int, bytes]] = {
    "an unmasked text": (PROTOCOL_ERROR, frame(b"x", mask=None)),
    "an unmasked ping": (PROTOCOL_ERROR, frame(b"x", PING, mask=None)),
    "an unmasked close": (PROTOCOL_ERROR, frame(b"\x03\xe8", CLOSE, mask=None)),
    **{f"reserved bits {n:03b}": (PROTOCOL_ERROR, frame(b"x", reserved=n)) for n in range(1, 8)},
    "reserved bits of a ping": (PROTOCOL_ERROR, frame(b"x", PING, reserved=4)),
    "reserved bits of a fragment": (
        PROTOCOL_ERROR,
        BEGINNING + frame(b"x", CONTINUATION, reserved=4),
    ),
    **{f"opcode {n}": (PROTOCOL_ERROR, frame(b"x", n)) for n in (*range(3, 8), *range(11, 16))},
    "a beginning with opcode 3": (PROTOCOL_ERROR, frame(b"x", 3, final=False)),
    "a ping in fragments": (PROTOCOL_ERROR, frame(b"x", PING, final=False)),
    "a pong in fragments": (PROTOCOL_ERROR, frame(b"x", PONG, final=False)),
    "a close in fragments": (PROTOCOL_ERROR, frame(b"\x03\xe8", CLOSE, final=False)),
    "a long ping": (PROTOCOL_ERROR, frame(b"x" * 126, PING)),
    "a long close": (PROTOCOL_ERROR, close(1000, b"x" * 124)),
    "an end without a beginning": (PROTOCOL_ERROR, frame(b"x", CONTINUATION)),
    "a middle without a beginning": (PROTOCOL_ERROR, frame(b"x", CONTINUATION, final=False)),
    "an end after the end": (
        PROTOCOL_ERROR,
        frame(b"", final=False) + frame(b"", CONTINUATION) + frame(b"", CONTINUATION),
    ),
    "a text within a message": (PROTOCOL_ERROR, BEGINNING + frame(b"x")),
    "a binary message within a message": (PROTOCOL_ERROR, BEGINNING + frame(b"x", BINARY)),
    "a beginning within a message": (PROTOCOL_ERROR, BEGINNING + BEGINNING),
    "half a close code": (PROTOCOL_ERROR, frame(b"\x03", CLOSE)),
    **{
        f"close code {code}": (PROTOCOL_ERROR, close(code))
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    },
    "a reason that is no text": (INVALID_DATA, close(1000, b"\xce\xba\xff")),
    "a reason that breaks off": (INVALID_DATA, close(1000, b"\xce")),
    "no text": (INVALID_DATA, frame(b"\xff")),
    "text that breaks off": (INVALID_DATA, frame("x你".encode()[:-1])),
    "half a surrogate pair": (INVALID_DATA, frame(b"\xed\xa0\x80")),
    "a character that is too long": (INVALID_DATA, frame(b"\xc0\xaf")),
    "a character beyond the last": (INVALID_DATA, frame(b"\xf4\x90\x80\x80")),
    "no text in fragments": (INVALID_DATA, b"".join(fragments(b"x\xce", b"\xffx"))),
    "text that breaks off in fragments": (INVALID_DATA, b"".join(fragments(b"x", b"x\xce"))),
    "no text in a first fragment": (INVALID_DATA, frame(b"x\xff", final=False)),
    "no text in an unfinished frame": (INVALID_DATA, frame(b"x\xf4\x90", size=1000)),
}


@pytest.mark.parametrize("name", VIOLATIONS)
async def test_what_breaks_the_protocol(raw: bool, name: str) -> None:
    code, sent = VIOLATIONS[name]
    async with peer(raw) as client:
        behaviour = client.server.behaviour
        client.write(sent)
        opcode, payload = await client.next()
        assert (opcode, int.from_bytes(payload[:2])) == (CLOSE, code)
        assert payload[2:].decode().isascii()
        # Nobody listens any more, and what comes does no harm.
        client.write(frame(b"late", PING), frame(client.payload("late")), b"\xff" * 10_000)
        assert await client.rest() == b""
        await until(lambda: len(behaviour.left) == 1)
        assert behaviour.refused == [code]
        assert not any(behaviour.received)
        assert client.server.router.sessions == 0
    await until(lambda: not client.server.http._connections)


async def test_others_do_not_notice(raw: bool) -> None:
    async with peer(raw) as client:
        path = path_of(client.server, raw)
        async with connected(client.server.port) as other:
            await other.request("GET", path, headers=handshake())
            await until(lambda: len(client.server.behaviour.clients) == 2)
            other.writer.write(frame(b"x", 3))
            await until(lambda: len(client.server.behaviour.left) == 1)
        client.write(frame(client.payload("x")))
        await client.received("x")


@pytest.mark.slow
async def test_a_failed_client_that_stays_is_cut() -> None:
    """By Tornado's clock for closing handshakes, which runs for five seconds."""
    async with peer(False) as client:
        await until(lambda: client.server.behaviour.clients)
        stream = client.stream
        client.write(frame(b"x", 3))
        assert (await client.next())[0] == CLOSE
        await until(lambda: client.server.router.sessions == 0)
        assert not stream.closed()
        await until(stream.closed, within=15)


async def test_a_failed_client_that_is_gone_at_once_is_no_error(
    raw: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What ends our side a moment later finds no socket any more."""
    async with peer(raw) as client:
        await until(lambda: client.server.behaviour.clients)
        stream = client.stream
        # What it reads last is the end: it fails the connection and sees it closed in one turn.
        client.write(frame(b"x", 3))
        client.hang_up()
        await until(stream.closed)
        await until(lambda: client.server.router.sessions == 0)
    assert not [each for each in caplog.records if each.exc_info], caplog.text


@pytest.mark.slow
async def test_the_code_reaches_who_is_behind_a_proxy(tmp_path: Path) -> None:
    """Though the proxy closes both sides as soon as ours has ended."""
    async with serving("ours", Silent()) as server:
        nginx = await asyncio.to_thread(Nginx, tmp_path / "nginx", server.port, UPGRADE)
        try:
            async with connected(nginx.port) as connection:
                path = path_of(server, raw=False)
                response = await connection.request("GET", path, headers=handshake())
                assert response.status == 101
                client = Peer(server, WebSocket(connection), raw=False)
                assert await client.next() == (TEXT, b"o")
                client.write(frame(b"x", 3), b"\xff" * 100_000)
                opcode, payload = await client.next()
                assert (opcode, int.from_bytes(payload[:2])) == (CLOSE, PROTOCOL_ERROR)
        finally:
            await asyncio.to_thread(nginx.close)


# Closing (sections 5.5.1, 7.1).


@pytest.mark.parametrize(
    "code", [None, 1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
)
async def test_a_close_is_answered(raw: bool, code: int | None) -> None:
    async with peer(raw) as client:
        client.write(close(code, b"" if code is None else "schön".encode()))
        # What comes after a close is not looked at.
        client.write(frame(client.payload("late")), frame(b"late", PING))
        opcode, payload = await client.next()
        assert (opcode, payload) == (CLOSE, b"" if code is None else code.to_bytes(2))
        await until(lambda: len(client.server.behaviour.left) == 1)
        assert client.server.behaviour.received == client.server.behaviour.refused == []


async def test_a_close_within_a_message(raw: bool) -> None:
    async with peer(raw) as client:
        client.write(BEGINNING, close(1000))
        assert await client.next() == (CLOSE, b"\x03\xe8")
        assert await client.rest() == b""
        await until(lambda: len(client.server.behaviour.left) == 1)


async def test_after_the_servers_close_nothing_is_taken(raw: bool) -> None:
    async with peer(raw) as client:
        await until(lambda: client.server.behaviour.clients)
        client.server.behaviour.clients[0].close(3500, "as you wish")
        if not raw:
            assert await client.next() == (TEXT, b'c[3500,"as you wish"]')
        assert await client.next() == (CLOSE, (3500).to_bytes(2) + b"as you wish")
        client.write(
            frame(client.payload("late")),
            BEGINNING,
            frame(b"late", PING),
            frame(b"x" * 1_000_000, CONTINUATION),
            close(3500),
        )
        assert await client.rest() == b""
        assert client.server.behaviour.received == client.server.behaviour.refused == []


# What is no message here (sections 5.6, 7.4.1).


@pytest.mark.parametrize(
    "sent", [frame(b"x", BINARY), b"".join(fragments(b"", b"", opcode=BINARY))]
)
async def test_binary_messages_end_the_session(raw: bool, sent: bytes) -> None:
    async with peer(raw) as client:
        client.write(sent)
        assert await client.next() == (CLOSE, (3500).to_bytes(2) + b"bad protocol")
        client.write(close(3500))
        assert await client.rest() == b""
        assert client.server.behaviour.refused == [3500]
        assert client.server.behaviour.received == []


@pytest.mark.parametrize("sent", ["{}", "1", "[1]", "[", "[[]]", "null"])
async def test_text_that_is_no_message_ends_a_framed_session(sent: str) -> None:
    async with peer(False) as client:
        client.write(frame(sent.encode()))
        assert await client.next() == (CLOSE, (3500).to_bytes(2) + b"bad protocol")


async def test_empty_text_is_nothing_when_framed_and_a_message_when_raw(raw: bool) -> None:
    async with peer(raw) as client:
        client.write(frame(b""), frame(client.payload("x")))
        await client.received(*(["", "x"] if raw else ["x"]))


# Sizes.

TOO_LONG: dict[str, bytes] = {
    "at once": frame(b"x" * 1001),
    "before it comes": frame(b"", size=1001),
    "the longest there can be": frame(b"", size=2**63 - 1),
    "in fragments": frame(b"x" * 900, final=False) + frame(b"x" * 200, CONTINUATION),
    "in many fragments": frame(b"", final=False) + 1001 * frame(b"x", CONTINUATION, final=False),
    "binary": frame(b"x" * 1001, BINARY),
}


@pytest.mark.parametrize("name", TOO_LONG)
async def test_what_is_too_long(raw: bool, name: str) -> None:
    async with peer(raw, body_bytes=1000) as client:
        client.write(TOO_LONG[name])
        if not raw:
            assert await client.next() == (TEXT, b'c[3501,"message too long"]')
        assert await client.next() == (CLOSE, (3501).to_bytes(2) + b"message too long")
        if "comes" not in name and "longest" not in name:
            client.write(close(3501))
            assert await client.rest() == b""
        assert client.server.behaviour.refused == [3501]
        assert client.server.behaviour.received == []


async def test_what_just_fits(raw: bool) -> None:
    async with peer(raw, body_bytes=1000) as client:
        text = "x" * (1000 - len(client.payload("")))
        client.write(frame(client.payload(text)), *halves(client.payload(text)))
        await client.received(text, text)


# Slow clients.


async def test_pongs_for_a_client_that_does_not_read_do_not_pile_up(
    raw: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rfc6455, "FRAMES_PER_SECOND", 10**9)
    async with peer(raw) as client:
        await until(lambda: client.server.behaviour.clients)
        stream = client.stream
        pings = frame(b"x" * 125, PING) * 1000
        for _ in range(60):
            client.write(pings)
            await client.sent()
        client.write(frame(client.payload("all of them")))
        await client.received("all of them")
        assert len(stream._write_buffer) < 100_000


async def test_a_client_that_drips_a_message_is_gone_after_two_heartbeats(raw: bool) -> None:
    async with peer(raw, heartbeat_seconds=0.3) as client:
        client.write(frame(b"", size=10_000))

        async def drip() -> None:
            while True:
                client.write(b"x")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        try:
            await until(lambda: len(client.server.behaviour.left) == 1, within=10)
        finally:
            dripping.cancel()
        assert client.server.router.sessions == 0


async def test_nothing_between_fragments_keeps_a_message_alive_that_does_not_end(raw: bool) -> None:
    async with peer(raw, heartbeat_seconds=0.3) as client:
        client.write(frame(b'["', final=False))

        async def go_on() -> None:
            while True:
                client.write(frame(b"", PONG) + frame(b"", PING))
                await asyncio.sleep(0.02)

        going_on = asyncio.create_task(go_on())
        try:
            await until(lambda: len(client.server.behaviour.left) == 1, within=10)
        finally:
            going_on.cancel()


@pytest.mark.parametrize(
    "flood",
    [frame(b"", PING), frame(b"")],
    ids=["pings", "nothing"],
)
async def test_frames_are_read_at_a_pace_that_leaves_time_for_others(
    raw: bool, flood: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they carry. What comes faster waits where it comes from."""
    monkeypatch.setattr(rfc6455, "FRAMES_PER_SECOND", 20)
    monkeypatch.setattr(rfc6455, "FRAMES_BURST", 50)
    read = []
    read_frame = rfc6455.Connection._read_frame

    async def counted(connection: rfc6455.Connection) -> None:
        read.append(time.monotonic())
        await read_frame(connection)

    monkeypatch.setattr(rfc6455.Connection, "_read_frame", counted)
    async with peer(raw) as client:
        client.write(flood * 500)
        await asyncio.sleep(2)
        assert 50 <= len(read) <= 120
        assert client.server.behaviour.left == []


async def test_pongs_alone_keep_a_client(raw: bool) -> None:
    async with peer(raw, heartbeat_seconds=0.2) as client:
        for _ in range(50):
            client.write(frame(b"", PONG))
            await asyncio.sleep(0.03)
        assert client.server.behaviour.left == []


async def test_a_client_that_never_answers_a_close_is_cut(raw: bool) -> None:
    async with peer(raw, close_seconds=0.3) as client:
        await until(lambda: client.server.behaviour.clients)
        stream = client.stream
        client.server.behaviour.clients[0].close()
        await until(stream.closed)


# What is used of Tornado's insides. A release that changes one of these is to be read again:
# compare roomline/transport/rfc6455.py with it, run this file and the fuzzing client, then pin.

ATTRIBUTES = {
    "_compression_options", "_compressor", "_decompressor", "_fragmented_message_buffer",
    "_fragmented_message_opcode", "_frame_compressed", "_frame_length", "_frame_mask",
    "_frame_opcode", "_final_frame", "_masked_frame", "_message_bytes_in", "_message_bytes_out",
    "_pending_pong", "_ping_coroutine", "_pong_future", "_received_pong", "_waiting",
    "_wire_bytes_in", "_wire_bytes_out", "client_terminated", "close_code", "close_reason",
    "handler", "mask_outgoing", "params", "server_terminated", "stream",
}  # fmt: skip

SOURCES = {
    "__init__": "dc0bff21bca1ea02",
    "_abort": "bbcd7cdfc85a2074",
    "_accept_connection": "3f09d0144297ce29",
    "_handle_message": "61f43d09e004be77",
    "_handle_websocket_headers": "7ba15136bfb4937a",
    "_on_pong_sent": "292d2a803df83afb",
    "_read_bytes": "e70fe5d156b7ab8b",
    "_receive_frame": "1f0ef857d4df556b",
    "_receive_frame_loop": "f97f48daf51558f4",
    "_run_callback": "f0c78d1733303688",
    "_send_pong": "0e1d0eb043a7b939",
    "_write_frame": "5972981bcbf6a255",
    "accept_connection": "6af6098c462d0da7",
    "close": "fed589693237a1cf",
    "write_ping": "c0da14d533aa4c95",
}
"""The first digits of the SHA-256 of each method's text."""


async def test_a_connection_has_the_attributes_that_we_know() -> None:
    async with peer(True) as client:
        await until(lambda: client.server.behaviour.clients)
        [known] = client.server.behaviour.clients
        connection = known.link.handler.ws_connection  # type: ignore[attr-defined]
        assert type(connection) is Connection
        ours = {"_opcode", "_message", "_text", "_deaf", "_failed", "_allowance", "_allowed_at"}
        theirs = set(vars(connection)) - ours
        assert theirs == ATTRIBUTES | {"_selected_subprotocol"}


@pytest.mark.parametrize("name", SOURCES)
def test_what_we_override_or_call_is_as_we_read_it(name: str) -> None:
    source = inspect.getsource(getattr(tornado_websocket.WebSocketProtocol13, name))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == SOURCES[name], source


def test_masks() -> None:
    assert _websocket_mask(b"\x01\x02\x03\x04", b"\x00\x00\x00\x00\x00") == b"\x01\x02\x03\x04\x01"
    assert isinstance(_websocket_mask(b"\x01\x02\x03\x04", b"x"), bytes)

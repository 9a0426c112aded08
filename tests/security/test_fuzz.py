"""Whatever comes in, at each door of a real node: a documented answer or a documented disconnect,
nothing of its inside in what it says, and the next client is served.

The codec, which has no door of its own, is fuzzed in tests/core/test_codec.py.
"""

import base64
import itertools
import json
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from roomline.core.codes import Disconnect
from roomline.http.errors import ApiError

from tests.support.gateway import Gateway
from tests.support.raw_http import SECONDS, Said, answer, head, parse
from tests.support.tokens import API_TOKEN, connection_token
from tests.support.websocket_frames import close, frame

pytestmark = pytest.mark.timeout(120)

GROWTH = 32 << 20
"""What a process may take for caches that fill once."""

bounded = settings(
    max_examples=300,
    derandomize=True,
    database=None,
)

_ids = itertools.count()


@pytest.fixture(autouse=True)
def flat(node: Gateway, port: int) -> Iterator[None]:
    """The process's memory is what it was."""
    served(port)
    before = node.resident_bytes()
    yield
    served(port)
    assert node.resident_bytes() < before + GROWTH


def session() -> str:
    """The path of a session that nobody has used."""
    return f"/roomline/000/fuzz{next(_ids)}"


def served(port: int) -> None:
    said = answer(port, head("POST", f"{session()}/xhr", "Content-Length: 0"))
    assert said is not None
    assert (said.status, said.body) == (200, b"o\n")


def says_nothing_of_itself(text: bytes) -> None:
    for word in (b"Traceback", b'File "', b"tornado", b"Tornado", b"site-packages", b"roomline/"):
        assert word not in text, text


# HTTP.

HEADERS = {
    *("access-control-allow-credentials", "access-control-allow-headers"),
    *("access-control-allow-methods", "access-control-allow-origin", "access-control-max-age"),
    *("allow", "cache-control", "connection", "content-length", "content-security-policy"),
    *("content-type", "date", "etag", "expires", "retry-after", "roomline-position"),
    *("transfer-encoding", "vary", "www-authenticate", "x-accel-buffering"),
    *("x-content-type-options", "x-frame-options", "sec-websocket-version"),
}
"""All that an answer ever has."""

STATUSES = {200, 204, 304, 400, 401, 403, 404, 405, 413, 426, 500, 503}
OF_500 = {
    b"Broken JSON encoding.",
    b"Payload expected.",
    b'"callback" parameter required',
    b'invalid "callback" parameter',
}
"""What SockJS answers with that status, and nothing else is."""

INTERNAL_STATUSES = {200, 201, 304} | {error.status for error in ApiError} - {500}

methods = st.sampled_from(
    ["GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "X"]
)
visible = st.characters(min_codepoint=33, max_codepoint=255, blacklist_characters="\x7f")
values = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=60)
words = st.text(visible, max_size=40)
ends = st.sampled_from(
    [
        *[
            "xhr",
            "xhr_send",
            "xhr_streaming",
            "eventsource",
            "htmlfile",
            "jsonp",
            "jsonp_send",
            "websocket",
        ],
        *("XHR", "xhr/", "xhr%00", ""),
    ]
)
queries = st.one_of(
    st.just(""),
    st.just("?c=_jp.a"),
    st.builds("?c={}".format, words),
    st.builds("?since={}&c={}".format, words, words),
)
names = st.sampled_from(
    [
        *("Origin", "Referer", "Accept-Encoding", "Content-Type", "Cookie", "Upgrade"),
        *("Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Extensions"),
        *("X-Forwarded-For", "X-Forwarded-Proto", "Authorization", "Last-Event-ID", "Expect"),
        *("Roomline-Room-Token", "Access-Control-Request-Headers", "If-None-Match"),
        *("Content-Encoding", "Range"),
    ]
)
header_lines = st.one_of(
    st.builds("{}: {}".format, names, words),
    st.builds("{}: {}".format, names, values),
    st.just("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"),
    st.just("Origin: https://page.example"),
    words,
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode()),
    st.integers(1, 5_000).map(lambda depth: b"[" * depth),
    st.binary(max_size=60).map(lambda text: b"d=" + text),
)


class Framed(NamedTuple):
    """A body, and the header that says how long it is, which may lie."""

    line: str
    body: bytes


def counted(body: bytes) -> Framed:
    return Framed(f"Content-Length: {len(body)}", body)


def chunked(body: bytes) -> Framed:
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    return Framed("Transfer-Encoding: chunked", chunk + b"0\r\n\r\n")


framed = st.one_of(
    bodies.map(counted),
    bodies.map(chunked),
    st.builds(lambda size: Framed(f"Content-Length: -{size}", b""), words),
    st.just(Framed(f"Content-Length: {1 << 40}", b"")),
    st.builds(lambda coding: Framed(f"Transfer-Encoding: x{coding}", b""), words),
    st.builds(lambda size: Framed("Transfer-Encoding: chunked", size + b";\r\n\r\n"), bodies),
)


def checked(said: Said | None, statuses: set[int]) -> None:
    if said is None:
        return  # ended without an answer: what was sent could not be read as a request
    assert said.status in statuses, said
    assert said.headers.keys() <= HEADERS, said
    says_nothing_of_itself(said.body)
    if said.status == 500:
        assert said.body in OF_500, said
        assert said.headers["content-type"].startswith("text/plain")


@st.composite
def public_paths(draw: st.DrawFn) -> str:
    """Below the prefix and elsewhere; the session's id is put in where it says ``ID``."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return "/" + draw(words)
    if kind == 1:
        return f"/roomline/{draw(words)}{draw(queries)}"
    if kind == 2:
        return f"/roomline/rooms/{draw(words)}/events{draw(queries)}"
    if kind == 3:
        page = draw(st.sampled_from(["", "/", "/info", "/iframe.html", "/iframe-1.html", "/x"]))
        return f"/roomline{page}{draw(queries)}"
    return f"ID/{draw(ends)}{draw(queries)}"


@bounded
@given(methods, public_paths(), st.lists(header_lines, max_size=4), framed)
def test_the_public_port(port: int, method: str, path: str, lines: list[str], body: Framed) -> None:
    path = path.replace("ID", session(), 1) if path.startswith("ID") else path
    said = answer(port, head(method, path, *lines, body.line) + body.body)
    checked(said, STATUSES | {101})


@bounded
@given(
    methods,
    st.one_of(
        st.sampled_from(["/healthz", "/readyz", "/metrics", "/api/rooms/chat.fuzz/publications"]),
        st.builds("/api/rooms/{}/publications?limit={}".format, words, words),
        st.builds("/{}".format, words),
    ),
    st.sampled_from([API_TOKEN, "", "x" * 5000, "é"]),
    st.lists(header_lines, max_size=3),
    framed,
)
def test_the_internal_port(
    internal: int, method: str, path: str, token: str, lines: list[str], body: Framed
) -> None:
    bearer = f"Authorization: Bearer {token}"
    said = answer(internal, head(method, path, bearer, *lines, body.line) + body.body)
    if said is not None and said.status >= 400 and said.body:
        assert json.loads(said.body).keys() == {"code", "reason", "temporary"}
    checked(said, INTERNAL_STATUSES)


@bounded
@given(st.binary(max_size=400))
def test_bytes_that_are_no_request(port: int, data: bytes) -> None:
    said = answer(port, data + b"\r\n\r\n" * 2)
    checked(said, {400, 404, 405})


# Websocket frames.

CLOSES = {1000, 1002, 1003, 1007, 1009} | {each.code for each in Disconnect}
"""What the node says when it ends a websocket. A client's own code is given back to it."""


class WebSocket:
    """Bytes after a handshake."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        key = base64.b64encode(bytes(16)).decode()
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
        self._socket.sendall(
            head("GET", f"{session()}/websocket", upgrade, f"Sec-WebSocket-Key: {key}")
        )
        self._buffer = b""
        while (said := parse(self._buffer)) is None:
            self._buffer += self._socket.recv(65_536)
        assert said.status == 101
        self._buffer = said.body

    def connect(self) -> None:
        """Make it a session with a user."""
        token = connection_token()
        said = {"id": 1, "type": "connect", "version": 1, "token": token}
        self._socket.sendall(frame(command(said)))
        while (answered := self._frame()[1])[:1] != b"a":
            pass
        assert json.loads(json.loads(answered[1:])[0])["type"] == "connected"

    def end(self, data: bytes) -> tuple[list[bytes], bytes | None]:
        """Send this, and all text frames until the close frame or the end, and that frame."""
        texts = []
        with self._socket as client:
            try:
                client.sendall(data)
                while True:
                    opcode, payload = self._frame()
                    if opcode == 8:
                        return texts, payload
                    texts += [payload] if opcode == 1 else []
            except (ConnectionError, EOFError):
                return texts, None

    def _frame(self) -> tuple[int, bytes]:
        first, size = self._take(2)
        assert not first & 0x70
        assert size < 128, "servers do not mask"
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8))
        return first & 15, self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            more = self._socket.recv(65_536)
            if not more:
                raise EOFError
            self._buffer += more
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


def command(value: Any) -> bytes:
    return json.dumps([json.dumps(value)]).encode()


payloads = st.one_of(
    st.binary(max_size=200),
    bodies,
    st.just(command({"id": 1, "type": "connect", "version": 1, "client": "c" * 32})),
    st.builds(
        lambda kind, room, data: command({"id": 2, "type": kind, "room": room, "data": data}),
        st.sampled_from(["subscribe", "publish", "history", "ping", "x"]),
        st.text(max_size=20) | st.just("chat.fuzz"),
        st.text(max_size=20),
    ),
)
frames = st.lists(
    st.one_of(
        st.builds(
            frame,
            payloads,
            st.sampled_from([0, 1, 1, 1, 2, 3, 8, 9, 10, 15]),
            final=st.booleans() | st.just(True),
            reserved=st.sampled_from([0, 0, 0, 1, 4]),
            mask=st.sampled_from([b"\x00\x00\x00\x00", b"\x12\x34\xab\xcd"] * 3 + [None]),
        ),
        st.builds(lambda size: frame(b"", size=size), st.integers(1 << 20, (1 << 63) - 1)),
        st.builds(close, st.integers(0, 65_535), st.binary(max_size=100)),
    ),
    max_size=6,
)


@bounded
@given(frames)
def test_websocket_frames(port: int, sent: list[bytes]) -> None:
    texts, closed = WebSocket(port).end(b"".join(sent) + close(1000))
    for text in texts:
        says_nothing_of_itself(text)
        assert text[:1] in b"oahc", text
    if closed:
        [code] = struct.unpack("!H", closed[:2])
        assert code in CLOSES or any(each[:1] == b"\x88" for each in sent), code
        assert closed[2:].decode().isprintable()


@bounded
@given(st.binary(max_size=300))
def test_bytes_that_are_no_frames(port: int, data: bytes) -> None:
    texts, closed = WebSocket(port).end(data + close(1000) * 40 + b"\xff" * 66_000)
    says_nothing_of_itself(b"".join(texts) + (closed or b""))
    if closed:
        assert 1000 <= struct.unpack("!H", closed[:2])[0] <= 4999


# Commands of a session that is connected.

REPLIES = {"error", "subscribed", "published", "history", "pong", "publication", "connected"}


@bounded
@given(st.lists(payloads | st.binary(max_size=3000), max_size=5))
def test_what_a_connected_session_says(port: int, said: list[bytes]) -> None:
    websocket = WebSocket(port)
    websocket.connect()
    sent = [frame(json.dumps([text.decode("latin1")]).encode()) for text in said]
    texts, closed = websocket.end(b"".join(sent) + close(1000))
    for text in texts:
        says_nothing_of_itself(text)
        for answered in json.loads(text[1:]) if text[:1] == b"a" else []:
            assert json.loads(answered)["type"] in REPLIES
    assert closed is None or struct.unpack("!H", closed[:2])[0] in CLOSES

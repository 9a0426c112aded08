"""What the SockJS protocol asks of the endpoints that are enabled."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import pytest

from tests.transport.clients import (
    Closed,
    Refused,
    ask,
    connected,
    handshake,
    poll,
    post,
    streaming,
    websocket,
)
from tests.transport.servers import PREFIX, Behaviour, Client, Server, serving, until

pytestmark = pytest.mark.timeout(20)

NOT_CACHED = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
PAGE = {"Origin": "https://page.example"}
GO_AWAY = 'c[3000,"Go away!"]'
SECOND = 'c[2010,"Another connection still open"]'
INTERRUPTED = 'c[1002,"Connection interrupted"]'


class EchoOrClose(Behaviour):
    """An echo; but closes on ``close`` and does not answer to ``silence``."""

    def message(self, client: Client, text: str) -> None:
        if text == "close":
            client.close()
        elif text != "silence":
            client.send(text)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    origins = frozenset({PAGE["Origin"], "null"})
    async with serving(
        "ours",
        EchoOrClose(),
        allowed_origins=origins,
        response_limit=4096,
        raw_websocket=True,
        jsessionid=False,
    ) as server:
        yield server


# Pages.


@pytest.mark.parametrize("path", ["", "/"])
async def test_the_greeting(server: Server, path: str) -> None:
    response = await ask(server.port, "GET", PREFIX + path)
    assert response.status == 200
    assert response["Content-Type"] == "text/plain; charset=UTF-8"
    assert response.body == b"Welcome to SockJS!\n"
    assert response["Set-Cookie"] is None


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        *("/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/"),
        *("//xhr", "/a./a/xhr", "/a/a./xhr", "/./../xhr", "///xhr", "/a.b/c/xhr", "/a/b/c/xhr"),
        *("/iframe", "/iframe.htm", "/IFRAME.HTML", "/iframe.HTML", "/iframe-/.html"),
        *("/iframeXhtml", "/sockjs-1x6x1.min.js", "/000/abc/xhr/", "/000/abc/nothing"),
        *("/000/abc/jsonp", "/000/abc/jsonp_send", "/000/abc/htmlfile", "/chunking_test"),
    ],
)
async def test_nothing_else_is_found(server: Server, method: str, path: str) -> None:
    response = await ask(server.port, method, PREFIX + path)
    assert response.status == 404
    assert response.body == b""
    assert response["Content-Type"] is None


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "", "GET, HEAD"),
        ("POST", "/info", "OPTIONS, GET"),
        ("POST", "/iframe.html", "GET, HEAD"),
        ("GET", "/000/abc/xhr", "OPTIONS, POST"),
        ("PUT", "/000/abc/xhr_send", "OPTIONS, POST"),
        ("GET", "/000/abc/xhr_streaming", "OPTIONS, POST"),
        ("POST", "/000/abc/eventsource", "OPTIONS, GET"),
        ("POST", "/000/abc/websocket", "GET"),
    ],
)
async def test_other_methods_are_refused(
    server: Server, method: str, path: str, allowed: str
) -> None:
    response = await ask(server.port, method, PREFIX + path)
    assert response.status == 405
    assert response.body == b""
    assert response["Content-Type"] is None
    assert response["Allow"] == allowed


@pytest.mark.parametrize("name", ["", "-a", "-", "-0.1.2", "-0.1.2abc-dirty.2144"])
async def test_the_iframe_page(server: Server, name: str) -> None:
    path = f"{PREFIX}/iframe{name}.html"
    response = await ask(server.port, "GET", f"{path}?t=123")
    assert response.status == 200
    assert response["Content-Type"] == "text/html; charset=UTF-8"
    assert response["Cache-Control"] == "public, max-age=31536000"
    assert parsedate_to_datetime(response["Expires"] or "")
    assert response["Last-Modified"] is None
    script = re.search(rb'<script src="([^"]+)"></script>', response.body)
    assert script
    # It runs in the endpoint's own origin for the page around, so pages are limited here too.
    ancestors = f"frame-ancestors 'self' {PAGE['Origin']}"
    assert response["Content-Security-Policy"] == ancestors
    client = await ask(server.port, "GET", script[1].decode())
    assert client.status == 200
    assert client["Content-Type"] == "application/javascript; charset=UTF-8"
    assert client.body.startswith(b"/* sockjs-client v1.6.1 ")
    etag = response["ETag"] or ""
    assert re.fullmatch(r'"[0-9a-f]{40,}"', etag)
    again = await ask(server.port, "GET", path, headers={"If-None-Match": etag})
    assert (again.status, again.body, again["Content-Type"]) == (304, b"", None)


async def test_info(server: Server) -> None:
    response = await ask(server.port, "GET", f"{PREFIX}/info", headers=PAGE)
    assert response.status == 200
    assert response["Content-Type"] == "application/json; charset=UTF-8"
    assert response["Cache-Control"] == NOT_CACHED
    assert response["Expires"] is response["Last-Modified"] is None
    info = json.loads(response.body)
    entropy = info.pop("entropy")
    assert 0 <= entropy < 2**32
    assert info == {"websocket": True, "cookie_needed": False, "origins": ["*:*"]}
    other = json.loads((await ask(server.port, "GET", f"{PREFIX}/info")).body)
    assert other["entropy"] != entropy


# Origins.


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/info", "OPTIONS, GET"),
        ("/000/abc/xhr", "OPTIONS, POST"),
        ("/000/abc/xhr_send", "OPTIONS, POST"),
        ("/000/abc/xhr_streaming", "OPTIONS, POST"),
        ("/000/abc/eventsource", "OPTIONS, GET"),
    ],
)
async def test_preflight(server: Server, path: str, methods: str) -> None:
    for origin in (PAGE["Origin"], "null"):
        asked = {"Origin": origin, "Access-Control-Request-Headers": "a, b, c"}
        response = await ask(server.port, "OPTIONS", PREFIX + path, headers=asked)
        assert response.status == 204
        assert response.body == b""
        assert response["Access-Control-Allow-Origin"] == origin
        assert response["Access-Control-Allow-Credentials"] == "true"
        assert response["Access-Control-Allow-Methods"] == methods
        assert response["Access-Control-Allow-Headers"] == "a, b, c"
        assert int(response["Access-Control-Max-Age"] or "") > 1_000_000
        assert response["Cache-Control"] == "public, max-age=31536000"
        assert parsedate_to_datetime(response["Expires"] or "")
        assert response["Vary"] == "Origin"
    for headers in ({}, {"Access-Control-Request-Headers": ""}):
        response = await ask(server.port, "OPTIONS", PREFIX + path, headers=PAGE | headers)
        assert response["Access-Control-Allow-Headers"] is None


async def test_its_own_origin_is_always_allowed(server: Server) -> None:
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    response = await ask(server.port, "GET", f"{PREFIX}/info", headers=own)
    assert response.status == 200
    for other in (f"https://127.0.0.1:{server.port}", "http://127.0.0.1", "http://127.0.0.1:1"):
        response = await ask(server.port, "GET", f"{PREFIX}/info", headers={"Origin": other})
        assert response.status == 403
    async with websocket(server.port, f"{server.session()}/websocket", own) as client:
        assert await client.receive() == "o"


async def test_without_an_origin_nothing_is_said_about_origins(server: Server) -> None:
    response = await ask(server.port, "GET", f"{PREFIX}/info")
    assert response.status == 200
    assert response["Access-Control-Allow-Origin"] is None
    assert response["Vary"] == "Origin"


async def test_a_star_gives_no_credentials() -> None:
    async with serving("ours", allowed_origins=frozenset({"*", "https://known"})) as server:
        path = f"{PREFIX}/info"
        for origin in ("https://anybody", None):
            headers = {} if origin is None else {"Origin": origin}
            response = await ask(server.port, "GET", path, headers=headers)
            assert response["Access-Control-Allow-Origin"] == "*"
            assert response["Access-Control-Allow-Credentials"] is None
        response = await ask(server.port, "GET", path, headers={"Origin": "https://known"})
        assert response["Access-Control-Allow-Origin"] == "https://known"
        assert response["Access-Control-Allow-Credentials"] == "true"
        async with websocket(
            server.port, f"{server.session()}/websocket", {"Origin": "https://anybody"}
        ) as client:
            assert await client.receive() == "o"


@pytest.mark.parametrize("version", ["7", "8"])
async def test_early_websockets_name_the_origin_differently(server: Server, version: str) -> None:
    path = f"{server.session()}/websocket"
    headers = {"Sec-WebSocket-Version": version}
    async with websocket(server.port, path, headers) as client:
        assert await client.receive() == "o"
    with pytest.raises(Refused) as refused:
        async with websocket(server.port, path, headers | {"Sec-WebSocket-Origin": "http://x"}):
            pass
    assert refused.value.response.status == 403


# Websocket.


async def test_websocket(server: Server) -> None:
    path = f"{server.session()}/websocket"
    async with websocket(server.port, path) as one, websocket(server.port, path) as two:
        assert await one.receive() == await two.receive() == "o"
        one.send("")
        one.send("[]")
        one.send('["a"]')
        assert await one.receive() == 'a["a"]'
        two.send('"b"')
        assert await two.receive() == 'a["b"]'
        two.send('["x", ', final=False)
        two.send('"y"]', opcode=0)
        assert await two.receive() == 'a["x"]'
        assert await two.receive() == 'a["y"]'
        one.send('["close"]')
        assert await one.receive() == GO_AWAY
        assert await one.receive() == Closed(3000, "Go away!")
        two.send('["still"]')
        assert await two.receive() == 'a["still"]'
    await until(lambda: len(server.behaviour.left) == 2)


@pytest.mark.parametrize("frame", ['["a', "nonsense", "{}", "1", '[["nested"]]', "[" * 9999])
async def test_a_malformed_frame_ends_a_websocket(server: Server, frame: str) -> None:
    async with websocket(server.port, f"{server.session()}/websocket") as client:
        assert await client.receive() == "o"
        client.send(frame)
        assert await client.receive() == Closed(3500, "bad protocol")
    assert server.behaviour.refused == [3500]
    await until(lambda: len(server.behaviour.left) == 1)


async def test_a_binary_frame_ends_a_websocket(server: Server) -> None:
    async with websocket(server.port, f"{server.session()}/websocket") as client:
        assert await client.receive() == "o"
        client.send('["a"]', opcode=2)
        assert await client.receive() == Closed(3500, "bad protocol")


@pytest.mark.parametrize("headers", [{}, {"Upgrade": "websocket", "Connection": "close"}])
async def test_a_websocket_needs_a_handshake(server: Server, headers: dict[str, str]) -> None:
    response = await ask(server.port, "GET", f"{PREFIX}/0/0/websocket", headers=headers)
    assert response.status == 400


async def test_compression_is_not_agreed_to(server: Server) -> None:
    async with connected(server.port) as connection:
        headers = handshake() | {"Sec-WebSocket-Extensions": "permessage-deflate"}
        path = f"{server.session()}/websocket"
        response = await connection.request("GET", path, headers=headers)
        assert response.status == 101
        assert response["Sec-WebSocket-Extensions"] is None


async def test_raw_websocket(server: Server) -> None:
    async with websocket(server.port, f"{PREFIX}/websocket") as client:
        client.send("Hello world!\uffff")
        assert await client.receive() == "Hello world!\uffff"
        client.send("")
        client.send("close")
        assert await client.receive() == Closed(3000, "Go away!")


# Polling.


async def test_polling(server: Server) -> None:
    session = server.session()
    response = await ask(server.port, "POST", f"{session}/xhr", headers=PAGE)
    assert response.body == b"o\n"
    assert response["Content-Type"] == "application/javascript; charset=UTF-8"
    assert response["Cache-Control"] == NOT_CACHED
    assert response["X-Accel-Buffering"] == "no"
    assert response["Access-Control-Allow-Origin"] == PAGE["Origin"]
    assert response["Access-Control-Allow-Credentials"] == "true"
    response = await ask(server.port, "POST", f"{session}/xhr_send", '["x"]', headers=PAGE)
    assert (response.status, response.body) == (204, b"")
    assert response["Content-Type"] == "text/plain; charset=UTF-8"
    assert response["Cache-Control"] == NOT_CACHED
    assert response["Access-Control-Allow-Origin"] == PAGE["Origin"]
    # The server part of the path is for load balancers and means nothing.
    assert await poll(server.port, session.replace("/000/", "/999/")) == 'a["x"]'
    waiting = asyncio.create_task(poll(server.port, session))
    await asyncio.sleep(0.05)
    assert await post(server.port, session) == 204
    assert await post(server.port, session, "y", "z") == 204
    assert await waiting == 'a["y"]'
    assert await poll(server.port, session) == 'a["z"]'
    assert await post(server.port, session, "close") == 204
    assert await poll(server.port, session) == GO_AWAY
    assert await poll(server.port, session) == GO_AWAY
    assert await post(server.port, session, "late") == 404
    await until(lambda: len(server.behaviour.left) == 1)


async def test_sending_to_nobody(server: Server) -> None:
    response = await ask(server.port, "POST", f"{server.session()}/xhr_send", '["x"]')
    assert (response.status, response.body) == (404, b"")


@pytest.mark.parametrize(
    ("body", "answer"),
    [(b"", b"Payload expected."), (b'["x', b"Broken JSON encoding."), (b"\xff", b"Broken JSON")],
)
async def test_a_malformed_body(server: Server, body: bytes, answer: bytes) -> None:
    session = server.session()
    assert await poll(server.port, session) == "o"
    response = await ask(server.port, "POST", f"{session}/xhr_send", body)
    assert response.status == 500
    assert response.body.startswith(answer)
    assert await post(server.port, session, "a") == 204
    assert await poll(server.port, session) == 'a["a"]'


async def test_the_content_type_of_what_is_sent_does_not_matter(server: Server) -> None:
    session = server.session()
    assert await poll(server.port, session) == "o"
    types = ["text/plain", "T", "application/xml", "", "application/x-www-form-urlencoded"]
    types.append("multipart/form-data; boundary=x")
    for content_type in types:
        response = await ask(
            server.port, "POST", f"{session}/xhr_send", '["a"]', {"Content-Type": content_type}
        )
        assert response.status == 204
    assert json.loads((await poll(server.port, session))[1:]) == ["a"] * len(types)


async def test_only_one_request_receives(server: Server) -> None:
    session = server.session()
    assert await poll(server.port, session) == "o"
    async with connected(server.port) as connection:
        first = asyncio.create_task(connection.request("POST", f"{session}/xhr"))
        await asyncio.sleep(0.05)
        assert await poll(server.port, session) == SECOND
        async with streaming(server.port, session) as stream:
            assert await stream.frame() == SECOND
            assert await stream.frame() is None
        # The first is none the worse for it.
        assert await post(server.port, session, "a") == 204
        assert await connection.body(await first) == b'a["a"]\n'


async def test_an_interrupted_poll_ends_the_session(server: Server) -> None:
    session = server.session()
    assert await poll(server.port, session) == "o"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await poll(server.port, session)
    await until(lambda: len(server.behaviour.left) == 1)
    assert await poll(server.port, session) == INTERRUPTED


# Streaming.

both = pytest.mark.parametrize("name", ["xhr_streaming", "eventsource"])


@both
async def test_streaming(server: Server, name: str) -> None:
    session = server.session()
    async with streaming(server.port, session, name) as stream:
        expected = {
            "xhr_streaming": "application/javascript; charset=UTF-8",
            "eventsource": "text/event-stream",
        }
        assert stream.response["Content-Type"] == expected[name]
        assert stream.response["Cache-Control"] == NOT_CACHED
        assert stream.response["X-Accel-Buffering"] == "no"
        assert stream.response["Transfer-Encoding"] == "chunked"
        assert await stream.frame() == "o"
        assert await post(server.port, session, "x") == 204
        assert await stream.frame() == 'a["x"]'
        assert await post(server.port, session, "  \0\n\r ") == 204
        assert await stream.frame() == r'a["  \u0000\n\r "]'
        async with streaming(server.port, session, name) as second:
            assert await second.frame() == SECOND
            assert await second.frame() is None
        assert await post(server.port, session, "close") == 204
        assert await stream.frame() == GO_AWAY
        assert await stream.frame() is None
        # The connection itself is still good.
        response = await stream.connection.request("GET", f"{PREFIX}/info")
        assert response.status == 200
    assert await poll(server.port, session) == GO_AWAY


@both
async def test_an_interrupted_stream_ends_the_session(server: Server, name: str) -> None:
    session = server.session()
    async with streaming(server.port, session, name) as stream:
        assert await stream.frame() == "o"
    await until(lambda: len(server.behaviour.left) == 1)
    async with streaming(server.port, session, name) as stream:
        assert await stream.frame() == INTERRUPTED
        assert await stream.frame() is None


@both
async def test_streams_end_after_the_response_limit(server: Server, name: str) -> None:
    session = server.session()
    async with streaming(server.port, session, name) as stream:
        assert await stream.frame() == "o"
        text = "x" * 128
        size = {
            "xhr_streaming": len(f'a["{text}"]\n'),
            "eventsource": len(f'data: a["{text}"]\r\n\r\n'),
        }
        count = 0
        while count * size[name] < 4096 - 20:
            assert await post(server.port, session, text) == 204
            assert await stream.frame() == f'a["{text}"]'
            count += 1
        assert await stream.frame() is None
    # The session goes on with the next request.
    async with streaming(server.port, session, name) as stream:
        assert await post(server.port, session, "more") == 204
        assert await stream.frame() == 'a["more"]'


@both
async def test_streams_to_http_1_0(server: Server, name: str) -> None:
    session = server.session()
    async with connected(server.port) as connection:
        response = await connection.request(
            "GET" if name == "eventsource" else "POST",
            f"{session}/{name}",
            headers={"Connection": "keep-alive"},
            version="1.0",
        )
        assert response["Connection"] is None
        assert await post(server.port, session, "a") == 204
        assert await post(server.port, session, "close") == 204
        body = (await connection.body(response)).decode()
        frames = ["o", 'a["a"]', GO_AWAY]
        if name == "eventsource":
            assert body == "\r\n" + "".join(f"data: {frame}\r\n\r\n" for frame in frames)
        else:
            assert body == "h" * 2048 + "\n" + "".join(f"{frame}\n" for frame in frames)


async def test_a_session_may_change_between_polling_and_streaming(server: Server) -> None:
    session = server.session()
    assert await poll(server.port, session) == "o"
    assert await post(server.port, session, "a") == 204
    async with streaming(server.port, session, "eventsource") as stream:
        assert await stream.frame() == 'a["a"]'
    [served] = server.behaviour.clients
    assert served.link.transport == "xhr-polling"  # type: ignore[attr-defined]


# Characters.


async def test_characters_that_browsers_mangle_are_escaped(server: Server) -> None:
    mangled = "[\0-\x1f\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff\ud800-\udfff]"
    # From the end, so that no two halves of surrogate pairs make a whole.
    text = "".join(re.findall(mangled, "".join(map(chr, range(0xFFFF, -1, -1)))))
    session = server.session()
    assert await poll(server.port, session) == "o"
    assert await post(server.port, session, text) == 204
    answer = await poll(server.port, session)
    assert answer.isascii()
    assert answer.isprintable()
    assert json.loads(answer[1:]) == [text]
    assert answer[3:].startswith(r"\uffff\ufffe\ufffd")


async def test_other_characters_travel_as_they_are(server: Server) -> None:
    text = 'déjà vu, 你好, 😀, "quoted" \\ </script>'
    async with websocket(server.port, f"{server.session()}/websocket") as client:
        assert await client.receive() == "o"
        client.send(json.dumps([text]))
        frame = await client.receive()
        assert isinstance(frame, str)
        assert "你好, 😀" in frame
        assert json.loads(frame[1:]) == [text]


# The cookie for load balancers, when it is asked for.


@pytest.mark.parametrize(
    ("sent", "value"), [(None, "dummy"), ("abcdef", "abcdef"), ("<script>", "dummy")]
)
async def test_the_session_cookie(sent: str | None, value: str) -> None:
    async with serving("ours", jsessionid=True) as server:
        headers = {} if sent is None else {"Cookie": f"JSESSIONID={sent}"}
        response = await ask(server.port, "POST", f"{server.session()}/xhr", headers=headers)
        assert response["Set-Cookie"] == f"JSESSIONID={value}; Path=/; HttpOnly; SameSite=Lax"
        info = await ask(server.port, "GET", f"{PREFIX}/info")
        assert info["Set-Cookie"] is None
        assert json.loads(info.body)["cookie_needed"] is True


# Switches.


@pytest.mark.parametrize(
    ("transport", "method", "name"),
    [
        ("xhr-polling", "POST", "xhr"),
        ("xhr-streaming", "POST", "xhr_streaming"),
        ("eventsource", "GET", "eventsource"),
    ],
)
async def test_transports_can_be_switched(transport: str, method: str, name: str) -> None:
    async with serving("ours", transports=frozenset({"websocket", transport})) as server:
        for other in ("xhr", "xhr_streaming", "eventsource"):
            async with connected(server.port) as connection:
                verb = "GET" if other == "eventsource" else "POST"
                response = await connection.request(verb, f"{server.session()}/{other}")
                assert response.status == (200 if other == name else 404)
    async with serving("ours", transports=frozenset({"websocket"})) as server:
        response = await ask(server.port, "POST", f"{server.session()}/xhr_send")
        assert response.status == 404
        assert json.loads((await ask(server.port, "GET", f"{PREFIX}/info")).body)["websocket"]
    async with serving("ours", transports=frozenset({transport})) as server:
        path = f"{server.session()}/websocket"
        response = await ask(server.port, "GET", path, headers=handshake())
        assert response.status == 404
        info = json.loads((await ask(server.port, "GET", f"{PREFIX}/info")).body)
        assert info["websocket"] is False

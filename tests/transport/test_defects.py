"""What is wrong in unmodified sockjs-tornado and must not be here.

Every test runs on both and states what each does, so that it proves the defect and its absence.
"""

import asyncio
import gc
import json
import struct
import time
import weakref
from typing import Any
from uuid import uuid4

import pytest
from tornado.websocket import WebSocketClosedError

from tests.transport.clients import (
    Closed,
    Connection,
    Refused,
    ask,
    connected,
    handshake,
    poll,
    post,
    streaming,
    websocket,
)
from tests.transport.servers import PREFIX, Behaviour, Client, Kind, serving, until

pytestmark = pytest.mark.timeout(20)

both = pytest.mark.parametrize("kind", ["ours", "unmodified"])
streams = pytest.mark.parametrize("name", ["xhr_streaming", "eventsource"])

EVIL = {"Origin": "https://evil.example"}
GO_AWAY = 'c[3000,"Go away!"]'


# Function.


@both
async def test_a_dead_websocket_does_not_end_a_broadcast(kind: Kind) -> None:
    async with (
        serving(kind) as server,
        websocket(server.port, f"{server.session()}/websocket") as dead,
    ):
        assert await dead.receive() == "o"
        async with websocket(server.port, f"{server.session()}/websocket") as alive:
            assert await alive.receive() == "o"
            clients = server.behaviour.clients
            dead.connection.hang_up()
            # No turn of the loop in which the server could notice: the first write is answered
            # with a reset, the second closes the stream, the third finds it closed.
            for text in ("first", "second", "third"):
                time.sleep(0.02)  # noqa: ASYNC251
                if kind == "ours":
                    for client in clients:
                        client.send(text)
                elif text != "third":
                    server.router.broadcast(clients, text)
                else:
                    with pytest.raises(WebSocketClosedError):
                        server.router.broadcast(clients, text)
            assert await alive.receive() == 'a["first"]'
            assert await alive.receive() == 'a["second"]'
            if kind == "ours":
                assert await alive.receive() == 'a["third"]'
                await until(lambda: server.behaviour.left == clients[:1])
            else:
                with pytest.raises(TimeoutError):
                    await alive.receive(within=0.2)


@both
@streams
async def test_streams_have_heartbeats(kind: Kind, name: str) -> None:
    async with (
        serving(kind, heartbeat_seconds=0.1) as server,
        streaming(server.port, server.session(), name) as stream,
    ):
        assert await stream.frame() == "o"
        if kind == "ours":
            assert await stream.frame(within=1) == "h"
            assert await stream.frame(within=1) == "h"
        else:
            with pytest.raises(TimeoutError):
                await stream.frame(within=0.5)


class Farewell(Behaviour):
    def message(self, client: Client, text: str) -> None:
        client.send("farewell")
        client.close()


@both
async def test_send_and_close_reach_a_polling_client(kind: Kind) -> None:
    async with serving(kind, Farewell()) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        waiting = asyncio.create_task(poll(server.port, session))
        await asyncio.sleep(0.05)
        if kind == "ours":
            assert await post(server.port, session, "x") == 204
            assert await waiting == 'a["farewell"]'
            assert await poll(server.port, session) == GO_AWAY
            assert await poll(server.port, session) == GO_AWAY
        else:
            assert await post(server.port, session, "x") == 500
            assert await waiting == 'a["farewell"]'


class CloseAtOnce(Behaviour):
    def opened(self, client: Client) -> None:
        client.close()


@both
async def test_closing_at_once_reaches_a_polling_client(kind: Kind) -> None:
    async with serving(kind, CloseAtOnce()) as server:
        session = server.session()
        async with connected(server.port) as connection:
            response = await connection.request("POST", f"{session}/xhr")
            assert await connection.body(response) == b"o\n"
            # The unmodified package writes a second frame into that answer, fails, and hangs up.
            assert await connection.closed(within=0.2) == (kind == "unmodified")
        if kind == "ours":
            assert await poll(server.port, session) == GO_AWAY
        else:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await poll(server.port, session)


class Broken(Behaviour):
    def opened(self, client: Client) -> None:
        raise RuntimeError("an application with a fault")


@both
@streams
async def test_a_session_that_cannot_open_does_not_stay(kind: Kind, name: str) -> None:
    async with serving(kind, Broken(), disconnect_delay=0.1) as server:
        session = server.session()
        async with streaming(server.port, session, name) as stream:
            assert await stream.frame() == "o"
            if kind == "ours":
                assert await stream.frame() == 'c[1011,"internal error"]'
                assert await stream.frame() is None
                assert server.router.sessions == 0
        if kind == "unmodified":
            await asyncio.sleep(0.5)  # five times its life
            [left] = server.router._sessions._items.values()
            assert not left.is_closed


class Reject(Behaviour):
    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind

    def opened(self, client: Client) -> Any:
        if self.kind == "ours":
            client.close(3500, "not you")
        return False  # what the unmodified package documents


@both
async def test_an_application_can_turn_a_client_away(kind: Kind) -> None:
    behaviour = Reject(kind)
    async with (
        serving(kind, behaviour) as server,
        websocket(server.port, f"{server.session()}/websocket") as client,
    ):
        assert await client.receive() == "o"
        if kind == "ours":
            assert await client.receive() == 'c[3500,"not you"]'
            assert await client.receive() == Closed(3500, "not you")
        else:
            client.send('["hello"]')
            assert await client.receive() == 'a["hello"]'


@both
@pytest.mark.parametrize("transport", ["websocket", "xhr-polling"])
async def test_an_ended_session_is_not_kept_alive_by_its_timers(kind: Kind, transport: str) -> None:
    async with serving(kind, tombstone_seconds=0.2, disconnect_delay=0.2) as server:
        session = server.session()
        if transport == "websocket":
            async with websocket(server.port, f"{session}/websocket") as client:
                assert await client.receive() == "o"
        else:
            assert await poll(server.port, session) == "o"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await poll(server.port, session)
        [served] = server.behaviour.clients
        kept = weakref.ref(served.link if kind == "ours" else served.session)
        await until(lambda: server.behaviour.left)
        server.behaviour.clients.clear()
        server.behaviour.left.clear()
        del served
        await asyncio.sleep(0.6)  # well past all delays but that of heartbeats
        gc.collect()
        assert (kept() is None) == (kind == "ours")
        if kind == "ours":
            assert len(server.router.wheel) == 0


class CloseOnMessage(Behaviour):
    def message(self, client: Client, text: str) -> None:
        client.close()


@both
async def test_connections_are_counted_down_again(kind: Kind) -> None:
    async with serving(kind, CloseOnMessage()) as server:
        async with websocket(server.port, f"{server.session()}/websocket") as client:
            assert await client.receive() == "o"
            if kind == "ours":
                assert server.router.sessions == 1
            client.send('["x"]')
            assert await client.receive() == GO_AWAY
            assert isinstance(await client.receive(), Closed)
        await asyncio.sleep(0.05)
        if kind == "ours":
            assert server.router.sessions == 0
        else:
            assert server.router.stats.conn_active == 1


@both
async def test_a_late_poll_learns_that_its_session_is_over(kind: Kind) -> None:
    async with serving(kind, disconnect_delay=0.1) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        await until(lambda: server.behaviour.left)
        await asyncio.sleep(0.1)
        assert await poll(server.port, session) == (GO_AWAY if kind == "ours" else "o")
        assert len(server.behaviour.clients) == (1 if kind == "ours" else 2)


@both
@streams
async def test_streams_to_http_1_0_end(kind: Kind, name: str) -> None:
    async with serving(kind, CloseAtOnce()) as server, connected(server.port) as connection:
        response = await connection.request(
            "GET" if name == "eventsource" else "POST",
            f"{server.session()}/{name}",
            headers={"Connection": "Keep-Alive"},
            version="1.0",
        )
        assert response["Transfer-Encoding"] is None
        assert response["Content-Length"] is None
        assert await connection.closed(within=0.5) == (kind == "ours")


@both
async def test_close_reasons_are_escaped(kind: Kind) -> None:
    reason = 'so "it" ends \\ \u2028\n'

    class Behaves(Behaviour):
        def message(self, client: Client, text: str) -> None:
            client.close(3000, reason)

    async with (
        serving(kind, Behaves()) as server,
        websocket(server.port, f"{server.session()}/websocket") as client,
    ):
        assert await client.receive() == "o"
        client.send('["x"]')
        frame = await client.receive()
        assert isinstance(frame, str)
        if kind == "ours":
            assert json.loads(frame[1:]) == [3000, reason]
            assert "\u2028" not in frame
        else:
            with pytest.raises(json.JSONDecodeError):
                json.loads(frame[1:])


@both
async def test_expires_is_a_date_of_http(kind: Kind) -> None:
    async with serving(kind) as server:
        response = await ask(server.port, "GET", f"{PREFIX}/iframe.html")
        assert (response["Expires"] or "").endswith(" GMT") == (kind == "ours")


# Security.

GUARDED = [
    ("GET", "/info"),
    ("OPTIONS", "/info"),
    ("POST", "/000/{}/xhr"),
    ("OPTIONS", "/000/{}/xhr"),
    ("POST", "/000/{}/xhr_send"),
    ("OPTIONS", "/000/{}/xhr_send"),
    ("POST", "/000/{}/xhr_streaming"),
    ("GET", "/000/{}/eventsource"),
]


@both
@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_foreign_pages_are_turned_away(kind: Kind, method: str, path: str) -> None:
    async with serving(kind) as server, connected(server.port) as connection:
        response = await connection.request(
            method, PREFIX + path.format(uuid4()), b"[]" if "send" in path else b"", EVIL
        )
        if kind == "ours":
            assert response.status == 403
            assert await connection.body(response) == b""
            assert response["Access-Control-Allow-Origin"] is None
            assert response["Access-Control-Allow-Credentials"] is None
            assert response["Vary"] == "Origin"
            assert server.behaviour.clients == []
        else:
            assert response.status != 403
            assert response["Access-Control-Allow-Origin"] == EVIL["Origin"]
            assert response["Access-Control-Allow-Credentials"] == "true"


@both
async def test_foreign_pages_cannot_open_a_websocket(kind: Kind) -> None:
    async with serving(kind) as server:
        path = f"{server.session()}/websocket"
        if kind == "ours":
            with pytest.raises(Refused) as refused:
                async with websocket(server.port, path, EVIL):
                    pass
            assert refused.value.response.status == 403
            assert refused.value.response.body == b""
        else:
            async with websocket(server.port, path, EVIL) as client:
                assert await client.receive() == "o"


@both
async def test_origins_are_compared_whole(kind: Kind) -> None:
    listed = "https://example.org"
    options: dict[str, Any] = (
        {"allowed_origins": frozenset({listed})}
        if kind == "ours"
        else {"upstream": {"websocket_allow_origin": listed}}
    )
    async with serving(kind, **options) as server:
        path = f"{server.session()}/websocket"
        async with websocket(server.port, path, {"Origin": listed}) as client:
            assert await client.receive() == "o"
        for part in ("http://ample.or", "http://example.org", "https://s"):
            if kind == "ours":
                with pytest.raises(Refused):
                    async with websocket(server.port, path, {"Origin": part}):
                        pass
            else:
                async with websocket(server.port, path, {"Origin": part}) as client:
                    assert await client.receive() == "o"


@both
async def test_no_raw_endpoint_unless_enabled(kind: Kind) -> None:
    options = {"transports": frozenset({"xhr-polling"})}
    async with serving(kind, **options) as server:
        response = await ask(server.port, "GET", f"{PREFIX}/000/abc/websocket", headers=handshake())
        assert response.status == 404
        if kind == "ours":
            response = await ask(server.port, "GET", f"{PREFIX}/websocket", headers=handshake())
            assert response.status == 404
        else:
            async with websocket(server.port, f"{PREFIX}/websocket") as client:
                client.send("hello")
                assert await client.receive() == "hello"


@both
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("long session", f"/000/{'a' * 65}/xhr"),
        ("long server", f"/{'0' * 65}/abc/xhr"),
        ("odd session", "/000/a%00b/xhr"),
    ],
)
async def test_session_ids_have_a_form(kind: Kind, name: str, path: str) -> None:
    async with serving(kind) as server:
        response = await ask(server.port, "POST", PREFIX + path)
        assert response.status == (404 if kind == "ours" else 200)


@both
async def test_there_is_a_limit_to_sessions(kind: Kind) -> None:
    async with serving(kind, sessions=3) as server:
        statuses = [
            (await ask(server.port, "POST", f"{server.session()}/xhr")).status for _ in range(5)
        ]
        if kind == "ours":
            assert statuses == [200, 200, 200, 503, 503]
            response = await ask(server.port, "POST", f"{server.session()}/xhr_streaming")
            assert response.status == 503
            assert response["Retry-After"] == "5"
            with pytest.raises(Refused) as refused:
                async with websocket(server.port, f"{server.session()}/websocket"):
                    pass
            assert refused.value.response.status == 503
        else:
            assert statuses == [200] * 5


@both
async def test_no_cookie_by_default(kind: Kind) -> None:
    async with serving(kind) as server:
        response = await ask(
            server.port, "POST", f"{server.session()}/xhr", headers={"Cookie": "JSESSIONID=theirs"}
        )
        info = json.loads((await ask(server.port, "GET", f"{PREFIX}/info")).body)
        if kind == "ours":
            assert response["Set-Cookie"] is None
            assert info["cookie_needed"] is False
        else:
            assert response["Set-Cookie"] == "JSESSIONID=theirs; Path=/"
            assert info["cookie_needed"] is True


@both
async def test_the_iframe_page_loads_no_third_party_script(kind: Kind) -> None:
    async with serving(kind) as server:
        page = (await ask(server.port, "GET", f"{PREFIX}/iframe.html")).body
        assert (b'<script src="/' in page) == (kind == "ours")
        assert (b'<script src="https://cdn' in page) == (kind == "unmodified")


@both
async def test_clients_may_change_their_address(kind: Kind) -> None:
    async with serving(kind) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        assert await post(server.port, session, "x") == 204
        answer = await poll(server.port, session, source="127.0.0.2")
        assert (answer == 'a["x"]') == (kind == "ours")
        assert ("from different IP" in answer) == (kind == "unmodified")


# Limits.


class Flood(Behaviour):
    """Sends 16 MB to whoever says so."""

    def message(self, client: Client, text: str) -> None:
        for _ in range(160):
            client.send("x" * 100_000)


@both
async def test_a_websocket_that_does_not_read_costs_little(kind: Kind) -> None:
    async with (
        serving(kind, Flood(), outbox=300_000, close_seconds=0.2) as server,
        websocket(server.port, f"{server.session()}/websocket", receive_buffer=4096) as client,
    ):
        assert await client.receive() == "o"
        client.connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send('["go"]')
        await until(lambda: server.behaviour.received)
        [served] = server.behaviour.clients
        if kind == "ours":
            assert served.slow
            assert served.outbox.items == []
            queued = len(served.link.handler._writer._stream._write_buffer)
            assert queued < 200_000
            # It does not even hang on closing.
            await until(lambda: server.router.sessions == 0, within=2)
            assert server.behaviour.left == [served]
        else:
            queued = len(served.session.handler.ws_connection.stream._write_buffer)
            assert queued > 5_000_000


@both
async def test_a_client_that_does_not_poll_costs_little(kind: Kind) -> None:
    async with serving(kind, Flood(), outbox=300_000) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        assert await post(server.port, session, "go") == 204
        [served] = server.behaviour.clients
        if kind == "ours":
            assert served.slow
            assert await poll(server.port, session) == 'c[3002,"slow"]'
        else:
            assert len(served.session.send_queue) > 16_000_000


@both
async def test_a_long_body_is_refused(kind: Kind) -> None:
    async with serving(kind) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        body = json.dumps(["x" * 3_000_000])
        response = await ask(server.port, "POST", f"{session}/xhr_send", body)
        if kind == "ours":
            assert response.status == 413
            assert server.behaviour.received == []
            assert server.behaviour.refused == [3501]
            assert await poll(server.port, session) == 'c[3501,"message too long"]'
        else:
            assert response.status == 204
            assert len(server.behaviour.received[0]) == 3_000_000  # type: ignore[arg-type]


@both
@pytest.mark.parametrize(
    ("body", "delivered"),
    [('"abc"', ["a", "b", "c"]), ('[1, null, ["x"]]', [1, None, ["x"]]), ('{"a": 1}', ["a"])],
)
async def test_a_body_is_an_array_of_texts(kind: Kind, body: str, delivered: list[object]) -> None:
    class Silent(Behaviour):
        def message(self, client: Client, text: str) -> None:
            pass

    async with serving(kind, Silent()) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        response = await ask(server.port, "POST", f"{session}/xhr_send", body)
        if kind == "ours":
            assert (response.status, response.body) == (500, b"Payload expected.")
            assert server.behaviour.received == []
            assert await post(server.port, session, "still there") == 204
            assert server.behaviour.received == ["still there"]
        else:
            assert response.status == 204
            assert server.behaviour.received == delivered


@both
async def test_a_websocket_frame_holds_texts(kind: Kind) -> None:
    async with (
        serving(kind) as server,
        websocket(server.port, f"{server.session()}/websocket") as client,
    ):
        assert await client.receive() == "o"
        client.send("[1]")
        if kind == "ours":
            assert await client.receive() == Closed(3500, "bad protocol")
            assert server.behaviour.received == []
            assert server.behaviour.refused == [3500]
        else:
            assert await client.receive() == "a[1]"


@both
async def test_entropy_has_32_bits(kind: Kind) -> None:
    async with serving(kind) as server:
        values = [
            json.loads((await ask(server.port, "GET", f"{PREFIX}/info")).body)["entropy"]
            for _ in range(20)
        ]
        assert (max(values) < 2**32) == (kind == "ours")
        assert len(set(values)) == 20


@both
async def test_a_client_learns_that_its_message_is_too_long(kind: Kind) -> None:
    async with serving(kind) as server:
        if kind == "unmodified":
            server.http.request_callback.settings["websocket_max_message_size"] = 524_288
        connection = await Connection.open(server.port)
        await connection.request("GET", f"{server.session()}/websocket", headers=handshake())
        # The head of a frame of 1 MB, and as much of it as the server takes.
        connection.writer.write(struct.pack("!BBQ4s", 0x81, 0xFF, 1 << 20, b"mask"))
        connection.writer.write(b"x" * (1 << 20))
        told = b""
        try:
            while b"message too" not in told:
                async with asyncio.timeout(2):
                    received = await connection.reader.read(1000)
                if not received:
                    break
                told += received
        except ConnectionError:
            pass
        connection.writer.close()
        assert (b'c[3501,"message too long"]' in told) == (kind == "ours")

"""Limits on what a stranger sends."""

import asyncio
import json
import struct

import pytest

from tests.transport.clients import Closed, Refused, ask, connected, poll, websocket
from tests.transport.servers import Behaviour, Client, serving, until

pytestmark = pytest.mark.timeout(20)

TOO_LONG = 'c[3501,"message too long"]'
FLOOD = 'c[3502,"flood"]'


class Silent(Behaviour):
    def message(self, client: Client, text: str) -> None:
        pass


@pytest.mark.parametrize(
    ("text", "fits"), [("x" * 100, True), ("x" * 101, False), ("é" * 50, True), ("é" * 51, False)]
)
async def test_a_message_has_at_most_so_many_bytes(text: str, fits: bool) -> None:
    behaviour = Silent()
    async with serving("ours", behaviour, message_bytes=100) as server:
        async with websocket(server.port, f"{server.session()}/websocket") as client:
            assert await client.receive() == "o"
            client.send(json.dumps([text]))
            client.send('["next"]')
            if fits:
                await until(lambda: behaviour.received == [text, "next"])
            else:
                assert await client.receive() == TOO_LONG
                assert await client.receive() == Closed(3501, "message too long")
                assert behaviour.received == []
                assert behaviour.refused == [3501]
        session = server.session()
        assert await poll(server.port, session) == "o"
        response = await ask(server.port, "POST", f"{session}/xhr_send", json.dumps([text]))
        assert response.status == (204 if fits else 413)
        if not fits:
            assert await poll(server.port, session) == TOO_LONG


async def test_a_frame_that_is_too_long_in_parts() -> None:
    behaviour = Silent()
    async with (
        serving("ours", behaviour, body_bytes=1000) as server,
        websocket(server.port, f"{server.session()}/websocket") as client,
    ):
        assert await client.receive() == "o"
        client.send('["' + "x" * 600, final=False)
        client.send("x" * 600, opcode=0, final=False)
        assert await client.receive() == TOO_LONG
        assert await client.receive() == Closed(3501, "message too long")
        assert behaviour.refused == [3501]
        await until(lambda: len(behaviour.left) == 1)


async def test_a_client_may_finish_what_is_too_long_and_leave_in_order() -> None:
    async with (
        serving("ours", Silent(), body_bytes=1000) as server,
        websocket(server.port, f"{server.session()}/websocket") as client,
    ):
        assert await client.receive() == "o"
        client.connection.writer.write(struct.pack("!BBQ4s", 0x81, 0xFF, 500_000, b"mask"))
        assert await client.receive() == TOO_LONG
        for _ in range(50):
            client.connection.writer.write(b"x" * 10_000)
            await client.connection.writer.drain()
        assert await client.receive() == Closed(3501, "message too long")
        assert await client.connection.reader.read() == b"", "no reset while it may be reading"
        await until(lambda: server.router.sessions == 0)


async def test_a_client_that_goes_on_sending_too_much_is_cut() -> None:
    async with (
        serving("ours", Silent(), body_bytes=1000, close_seconds=0.3) as server,
        websocket(server.port, f"{server.session()}/websocket") as client,
    ):
        assert await client.receive() == "o"
        client.send("x" * 5_000_000)
        assert await client.receive() == TOO_LONG

        async def go_on() -> None:
            while True:
                client.connection.writer.write(b"x" * 100_000)
                await client.connection.writer.drain()

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(go_on(), 2)
        await until(lambda: server.router.sessions == 0)


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
async def test_a_body_that_is_too_long_is_not_read(framing: str) -> None:
    behaviour = Silent()
    async with serving("ours", behaviour, body_bytes=1000) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        async with connected(server.port) as connection:
            if framing == "chunked":
                head = f"POST {session}/xhr_send HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
                body = b"400\r\n" + b"x" * 1024 + b"\r\n"
                connection.writer.write(f"{head}\r\n\r\n".encode() + body)
                response = await connection.head()
            else:
                response = await connection.request("POST", f"{session}/xhr_send", length=1_000_000)
            assert response.status == 413
            assert await connection.closed()
        assert await poll(server.port, session) == TOO_LONG
        assert behaviour.refused == [3501]


async def test_a_body_that_never_comes_is_not_waited_for() -> None:
    async with serving("ours", Silent(), body_seconds=0.1) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        for path in (f"{session}/xhr_send", f"{server.session()}/xhr"):
            async with connected(server.port) as connection:
                with pytest.raises(asyncio.IncompleteReadError):
                    await connection.request("POST", path, b"[", length=100)
        assert server.router.sessions == 1


async def test_bodies_that_nobody_wants_are_not_kept() -> None:
    async with serving("ours", Silent()) as server:
        response = await ask(server.port, "POST", f"{server.session()}/xhr", b"x" * 500_000)
        assert response.body == b"o\n"


async def test_a_post_has_at_most_so_many_messages() -> None:
    behaviour = Silent()
    async with serving("ours", behaviour, messages_per_body=3) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        path = f"{session}/xhr_send"
        assert (await ask(server.port, "POST", path, '["a","b","c"]')).status == 204
        assert (await ask(server.port, "POST", path, '["a","b","c","d"]')).status == 413
        assert behaviour.received == ["a", "b", "c"]
        assert behaviour.refused == [3502]
        assert await poll(server.port, session) == FLOOD


async def test_an_address_has_at_most_so_many_sessions() -> None:
    behaviour = Silent()
    async with serving("ours", behaviour, sessions_per_address=2, disconnect_delay=0.2) as server:
        async with websocket(server.port, f"{server.session()}/websocket") as client:
            assert await client.receive() == "o"
            assert await poll(server.port, server.session()) == "o"
            response = await ask(server.port, "POST", f"{server.session()}/xhr")
            assert (response.status, response.body) == (503, b"")
            with pytest.raises(Refused) as refused:
                async with websocket(server.port, f"{server.session()}/websocket"):
                    pass
            assert refused.value.response.status == 503
            assert await poll(server.port, server.session(), source="127.0.0.2") == "o"
        await until(lambda: server.router.sessions == 0)
        assert await poll(server.port, server.session()) == "o"


async def test_a_session_id_is_taken_once_whatever_the_server_part() -> None:
    async with serving("ours", Silent(), sessions=1) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        response = await ask(server.port, "POST", f"{server.session()}/xhr_streaming")
        assert response.status == 503
        waiting = asyncio.create_task(poll(server.port, session.replace("/000/", "/001/")))
        await asyncio.sleep(0.05)
        server.behaviour.clients[0].send("a")
        assert await waiting == 'a["a"]'

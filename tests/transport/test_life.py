"""The life of a session: heartbeats, signs of life, closing, expiry, and how a peer learns."""

import asyncio
import json
import logging
import socket
import struct
from typing import Any

import pytest
from roomline.core.outbox import Encoded

from tests.transport.clients import (
    Closed,
    WebSocket,
    ask,
    connected,
    poll,
    post,
    streaming,
    websocket,
)
from tests.transport.servers import Behaviour, Client, OurClient, serving, until

pytestmark = pytest.mark.timeout(20)

GO_AWAY = 'c[3000,"Go away!"]'
BIG = "x" * 100_000


class Silent(Behaviour):
    def message(self, client: Client, text: str) -> None:
        pass


def only(behaviour: Behaviour) -> OurClient:
    [client] = behaviour.clients
    assert isinstance(client, OurClient)
    return client


# Heartbeats.


async def test_websockets_have_heartbeats_and_pings() -> None:
    async with (
        serving(heartbeat_seconds=0.1) as server,
        websocket(server.port, f"{server.session()}/websocket") as client,
    ):
        frames = [await asyncio.wait_for(client.frame(), 1) for _ in range(3)]
        assert frames == [(1, b"o"), (1, b"h"), (9, b"")]


async def test_raw_websockets_have_pings_only() -> None:
    async with (
        serving(heartbeat_seconds=0.1, raw_websocket=True) as server,
        websocket(server.port, "/echo/websocket") as client,
    ):
        assert await asyncio.wait_for(client.frame(), 1) == (9, b"")


async def test_a_waiting_poll_is_answered_with_a_heartbeat() -> None:
    async with serving(heartbeat_seconds=0.1) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        assert await poll(server.port, session) == "h"
        assert await post(server.port, session, "a") == 204
        assert await poll(server.port, session) == 'a["a"]'


async def test_heartbeats_of_many_sessions_need_one_timer() -> None:
    async with serving(heartbeat_seconds=5) as server:
        loop: Any = asyncio.get_running_loop()
        waiting = []
        for _ in range(20):
            session = server.session()
            assert await poll(server.port, session) == "o"
            waiting.append(asyncio.create_task(poll(server.port, session)))
        await until(lambda: len(server.router.wheel) == 20)
        await asyncio.sleep(0.05)
        ours = [timer for timer in loop._scheduled if "Wheel" in repr(timer)]
        assert len(ours) == 1
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


# An answer that breaks off.


@pytest.mark.parametrize("transport", ["xhr", "xhr_streaming"])
async def test_an_answer_that_is_cut_off_is_not_taken_for_delivered(transport: str) -> None:
    behaviour = Silent()
    async with serving("ours", behaviour, outbox=40_000_000, response_limit=40_000_000) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        for _ in range(100):
            only(behaviour).send(BIG)
        async with connected(server.port, receive_buffer=4096) as client:
            await client.request("POST", f"{session}/{transport}")
        await until(lambda: behaviour.left)
        assert await poll(server.port, session) == 'c[1002,"Connection interrupted"]'


# Signs of life.


async def test_a_websocket_that_answers_no_pings_is_ended() -> None:
    behaviour = Silent()
    async with (
        serving("ours", behaviour, heartbeat_seconds=0.1) as server,
        websocket(server.port, f"{server.session()}/websocket") as mute,
        websocket(server.port, f"{server.session()}/websocket") as alive,
    ):
        mute.answers_pings = False

        async def receive(client: WebSocket) -> list[str | Closed]:
            return [await client.receive() for _ in range(6 if client is alive else 4)]

        of_mute, of_alive = await asyncio.gather(receive(mute), receive(alive))
        assert of_mute == ["o", "h", "h", Closed(None)]
        assert of_alive == ["o", *["h"] * 5]
        assert len(behaviour.left) == 1


async def test_a_websocket_that_is_never_read_is_ended() -> None:
    behaviour = Silent()
    async with (
        serving("ours", behaviour, heartbeat_seconds=0.15, outbox=40_000_000) as server,
        websocket(server.port, f"{server.session()}/websocket", receive_buffer=4096) as client,
    ):
        client.connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: behaviour.clients)
        for _ in range(300):
            only(behaviour).send(BIG)
        assert only(behaviour).outbox.items, "the rest waits in the outbox"
        await until(lambda: behaviour.left, within=2)
        assert server.router.sessions == 0


@pytest.mark.parametrize("name", ["xhr_streaming", "eventsource"])
@pytest.mark.parametrize("kernel_helps", [True, False])
async def test_a_stream_that_is_never_read_is_ended(
    name: str, kernel_helps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernel_helps:
        monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)
    behaviour = Silent()
    options = {"heartbeat_seconds": 0.15, "outbox": 40_000_000, "response_limit": 40_000_000}
    async with (
        serving("ours", behaviour, **options) as server,  # type: ignore[arg-type]
        streaming(server.port, server.session(), name, receive_buffer=4096) as stream,
    ):
        stream.connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(300):
            only(behaviour).send(BIG)
        await until(lambda: behaviour.left, within=2)
        assert server.router.sessions == 0


async def test_a_poll_that_is_never_read_is_ended() -> None:
    behaviour = Silent()
    options = {"heartbeat_seconds": 0.15, "outbox": 40_000_000, "response_limit": 40_000_000}
    async with serving("ours", behaviour, **options) as server:  # type: ignore[arg-type]
        session = server.session()
        assert await poll(server.port, session) == "o"
        for _ in range(200):
            only(behaviour).send(BIG)
        async with connected(server.port, receive_buffer=4096) as connection:
            await connection.request("POST", f"{session}/xhr")
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: behaviour.left, within=2)
        assert server.router.sessions == 0


# Slow clients.


async def test_what_waits_for_a_slow_websocket_follows_when_it_reads() -> None:
    behaviour = Silent()
    async with (
        serving("ours", behaviour, outbox=40_000_000) as server,
        websocket(server.port, f"{server.session()}/websocket", receive_buffer=4096) as client,
    ):
        assert await client.receive() == "o"
        texts = [f"{number:06}" + BIG for number in range(120)]
        served = only(behaviour)
        for text in texts:
            served.send(text)
        assert served.outbox.items
        session = served.link
        queued = len(session.handler._writer._stream._write_buffer)  # type: ignore[attr-defined]
        assert queued < 2 * len(BIG), "what the client does not take stays in the outbox"
        received: list[str] = []
        while len(received) < len(texts):
            frame = await client.receive()
            assert isinstance(frame, str)
            received += json.loads(frame[1:])
        assert received == texts


async def test_a_slow_client_that_reads_again_learns_why_it_was_closed() -> None:
    behaviour = Silent()
    async with (
        serving("ours", behaviour, outbox=300_000) as server,
        websocket(server.port, f"{server.session()}/websocket", receive_buffer=4096) as client,
    ):
        assert await client.receive() == "o"
        served = only(behaviour)
        while not served.slow:
            served.send(BIG)
        assert len(behaviour.left) == 0, "the peer learns it later, not amid its own sending"
        frame = await client.receive()
        while isinstance(frame, str) and frame.startswith("a"):
            frame = await client.receive()
        assert frame == 'c[3002,"slow"]'
        assert await client.receive() == Closed(3002, "slow")
        await until(lambda: server.router.sessions == 0)
        assert behaviour.left == [served]


async def test_closing_does_not_wait_for_a_client_that_does_not_answer() -> None:
    behaviour = Silent()
    async with (
        serving("ours", behaviour, close_seconds=0.2) as server,
        websocket(server.port, f"{server.session()}/websocket") as client,
    ):
        assert await client.receive() == "o"
        only(behaviour).close(3001, "draining")
        assert await client.frame() == (1, b'c[3001,"draining"]')
        assert (await client.frame())[0] == 8
        assert await client.connection.closed(within=1)
        await until(lambda: server.router.sessions == 0)


# Closing.


@pytest.mark.parametrize("name", ["xhr_streaming", "eventsource"])
async def test_what_waits_is_written_before_a_stream_is_closed(name: str) -> None:
    behaviour = Silent()
    async with (
        serving("ours", behaviour) as server,
        streaming(server.port, server.session(), name) as stream,
    ):
        assert await stream.frame() == "o"
        client = only(behaviour)
        client.outbox.put(Encoded("last"))
        client.close(3500, "over")
        client.close(3001, "only the first counts")
        client.send("too late")
        assert await stream.frame() == 'a["last"]'
        assert await stream.frame() == 'c[3500,"over"]'
        assert await stream.frame() is None
        assert behaviour.left == [client]


async def test_what_waits_is_polled_before_a_session_is_closed() -> None:
    behaviour = Silent()
    async with serving("ours", behaviour) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        client = only(behaviour)
        client.outbox.put(Encoded("last"))
        client.close(3500, "over")
        client.outbox.put(Encoded("too late"))
        client.link.flush()
        await until(lambda: behaviour.left == [client])
        assert await post(server.port, session, "x") == 404
        assert await poll(server.port, session) == 'a["last"]'
        assert await poll(server.port, session) == 'c[3500,"over"]'
        assert server.router.sessions == 0


async def test_what_is_left_of_a_closed_session_is_not_kept_for_ever() -> None:
    behaviour = Silent()
    async with serving("ours", behaviour, disconnect_delay=0.1) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        only(behaviour).outbox.put(Encoded("last"))
        only(behaviour).close(3500, "over")
        assert server.router.sessions == 1
        await until(lambda: server.router.sessions == 0)
        assert await poll(server.port, session) == 'c[3500,"over"]'


class Meddler(Behaviour):
    """Calls its link in every order before the link knows its peer."""

    def opened(self, client: Client) -> None:
        assert isinstance(client, OurClient)
        client.send("welcome")
        client.link.flush()
        client.close(3500, "but no")
        client.link.flush()


async def test_a_client_may_be_greeted_and_turned_away_while_it_opens() -> None:
    behaviour = Meddler()
    async with serving("ours", behaviour) as server:
        async with websocket(server.port, f"{server.session()}/websocket") as client:
            received = [await client.receive() for _ in range(4)]
            assert received == ["o", 'a["welcome"]', 'c[3500,"but no"]', Closed(3500, "but no")]
        session = server.session()
        polled = [await poll(server.port, session) for _ in range(4)]
        assert polled == ["o", 'a["welcome"]', *['c[3500,"but no"]'] * 2]
        async with streaming(server.port, server.session()) as stream:
            frames = [await stream.frame() for _ in range(4)]
            assert frames == ["o", 'a["welcome"]', 'c[3500,"but no"]', None]
        await until(lambda: server.router.sessions == 0)
        assert sorted(map(id, behaviour.left)) == sorted(map(id, behaviour.clients))


class Faulty(Behaviour):
    def message(self, client: Client, text: str) -> None:
        raise RuntimeError("an application with a fault")


async def test_a_fault_of_the_application_ends_the_session(
    caplog: pytest.LogCaptureFixture,
) -> None:
    behaviour = Faulty()
    async with serving("ours", behaviour) as server:
        async with websocket(server.port, f"{server.session()}/websocket") as client:
            assert await client.receive() == "o"
            client.send('["a", "b"]')
            assert await client.receive() == 'c[1011,"internal error"]'
        assert behaviour.received == ["a"]
        await until(lambda: len(behaviour.left) == 1)
        [record] = [r for r in caplog.records if r.name.startswith("roomline")]
        assert record.levelno == logging.ERROR
        assert record.exc_info


# Expiry.


async def test_a_session_nobody_polls_expires() -> None:
    behaviour = Silent()
    async with serving("ours", behaviour, disconnect_delay=0.2, tombstone_seconds=0.3) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        only(behaviour).send("unread")
        assert server.router.sessions == 1
        await until(lambda: server.router.sessions == 0 and behaviour.left)
        assert await poll(server.port, session) == GO_AWAY
        assert await post(server.port, session, "x") == 404
        # A tombstone does not stand for ever; then the id is as good as any other.
        await until(lambda: len(server.router.wheel) == 0)
        assert await poll(server.port, session) == "o"
        assert len(behaviour.left) == 1


async def test_a_session_somebody_polls_does_not_expire() -> None:
    async with serving(disconnect_delay=0.2) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        waiting = asyncio.create_task(poll(server.port, session))
        await asyncio.sleep(0.5)
        assert await post(server.port, session, "still") == 204
        assert await waiting == 'a["still"]'


async def test_tombstones_are_as_many_as_sessions_may_be() -> None:
    behaviour = Silent()
    async with serving("ours", behaviour, sessions=3) as server:
        sessions = [server.session() for _ in range(5)]
        for session in sessions:
            assert await poll(server.port, session) == "o"
            behaviour.clients[-1].close(3500, "over")
        answers = [await poll(server.port, session) for session in reversed(sessions)]
        assert answers == [*['c[3500,"over"]'] * 3, "o", "o"]
        assert len(server.router.wheel) <= 6


# Whatever happens, the peer leaves once.


@pytest.mark.parametrize("way", ["client closes", "client resets", "both", "application"])
async def test_a_peer_leaves_once(way: str) -> None:
    behaviour = Silent()
    async with serving("ours", behaviour) as server:
        async with websocket(server.port, f"{server.session()}/websocket") as client:
            assert await client.receive() == "o"
            served = only(behaviour)
            if way in ("application", "both"):
                served.close()
            if way == "client resets":
                client.connection.abort()
            else:
                client.send("", opcode=8)
                await client.connection.closed()
        await until(lambda: server.router.sessions == 0)
        served.link.flush()
        served.close(3500, "again")
        await asyncio.sleep(0.05)
        assert behaviour.left == [served]


class Vanishing:
    """A client that can break its connection without a turn of the event loop."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def ask(self, path: str, body: bytes = b"", length: int = 0) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        self.socket.sendall(head.encode() + body)


async def test_what_a_broken_poll_cannot_take_ends_the_session() -> None:
    behaviour = Silent()
    async with serving("ours", behaviour) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        client = Vanishing(server.port)
        client.ask(f"{session}/xhr")
        await asyncio.sleep(0.05)
        client.socket.close()
        only(behaviour).send("lost")  # before the server can notice
        await until(lambda: behaviour.left)
        assert await poll(server.port, session) == 'c[1002,"Connection interrupted"]'


@pytest.mark.parametrize(("version", "headers"), [("1.1", {"Connection": "close"}), ("1.0", {})])
async def test_a_poll_that_is_the_last_on_its_connection_does_not_end_the_session(
    version: str, headers: dict[str, str]
) -> None:
    """As every poll is behind proxies that make a connection for each."""
    behaviour = Silent()
    async with serving("ours", behaviour) as server:
        path = f"{server.session()}/xhr"

        async def last() -> bytes:
            async with connected(server.port) as connection:
                response = await connection.request("POST", path, b"", headers, version)
                return await connection.body(response)

        assert await last() == b"o\n"
        for text in ("one", "two"):
            waiting = asyncio.create_task(last())
            await asyncio.sleep(0.05)
            only(behaviour).send(text)
            assert await waiting == f'a["{text}"]\n'.encode()
        assert behaviour.left == []


@pytest.mark.parametrize("name", ["xhr", "xhr_streaming"])
async def test_a_client_that_is_gone_before_it_is_answered_opens_nothing_that_stays(
    name: str,
) -> None:
    behaviour = Silent()
    async with serving("ours", behaviour) as server:
        client = Vanishing(server.port)
        client.ask(f"{server.session()}/{name}", b"1", length=2)
        await asyncio.sleep(0.05)
        client.socket.sendall(b"2")
        client.socket.close()
        await asyncio.sleep(0.1)
        assert server.router.sessions == 0
        assert len(behaviour.left) == len(behaviour.clients)
        if name == "xhr":
            assert behaviour.clients == []


async def test_a_poll_of_a_client_that_has_gone_does_not_keep_its_session() -> None:
    """Request and end of the connection are read at once: there is nobody to tell of the end."""
    behaviour = Silent()
    async with serving("ours", behaviour, disconnect_delay=0.2) as server:
        for _ in range(10):
            session = server.session()
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                assert await poll(server.port, session) == "o"  # client is accepted meanwhile
                head = f"POST {session}/xhr HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
                client.sendall(head.encode())
        await until(lambda: len(behaviour.left) == 10, within=5)


async def test_a_client_that_leaves_amid_its_body_leaves_nothing_behind() -> None:
    async with serving("ours", Silent()) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        await asyncio.sleep(0.05)
        before = len(asyncio.all_tasks())
        for path in (f"{session}/xhr_send", f"{server.session()}/xhr"):
            client = Vanishing(server.port)
            client.ask(path, b"1", length=2)
            await asyncio.sleep(0.05)
            assert len(asyncio.all_tasks()) > before
            client.socket.close()
        await until(lambda: len(asyncio.all_tasks()) <= before, within=1)


async def test_a_handshake_that_fails_opens_no_session() -> None:
    behaviour = Silent()
    async with serving("ours", behaviour) as server:
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        response = await ask(server.port, "GET", f"{server.session()}/websocket", headers=headers)
        assert response.status == 426
        assert server.router.sessions == 0
        assert behaviour.clients == []

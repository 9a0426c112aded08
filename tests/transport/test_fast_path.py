"""A message is encoded and framed once, however many receive it, and written without ado."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from roomline.core.outbox import Encoded
from roomline.transport import framing

from tests.transport.clients import connected, poll, streaming, websocket
from tests.transport.servers import Behaviour, OurClient, serving

pytestmark = pytest.mark.timeout(20)

CLIENTS = 5


class Counted:
    """Counts the calls of a function and what it returned."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self.calls = 0

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        return self._function(*args)


async def test_one_message_is_framed_once_for_all_websockets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = Counted(framing.websocket_frame)
    async with serving() as server, AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(websocket(server.port, f"{server.session()}/websocket"))
            for _ in range(CLIENTS)
        ]
        assert [await client.receive() for client in sockets] == ["o"] * CLIENTS
        monkeypatch.setattr(framing, "websocket_frame", frame)
        message = Encoded("once")
        for client in server.behaviour.clients:
            assert isinstance(client, OurClient)
            client.send_encoded(message)
        assert [await client.receive() for client in sockets] == ['a["once"]'] * CLIENTS
        assert frame.calls == 1
        assert message.quoted == '"once"'
        assert message.frame == b'\x81\x09a["once"]'


async def test_messages_of_one_turn_leave_in_one_frame_built_once() -> None:
    async with serving() as server, AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(websocket(server.port, f"{server.session()}/websocket"))
            for _ in range(CLIENTS)
        ]
        assert [await client.receive() for client in sockets] == ["o"] * CLIENTS
        joined = server.router.joined_frames
        build = joined._build = Counted(joined._build)
        for number in range(3):
            messages = [Encoded(f"{number}.{part}") for part in range(3)]
            for client in server.behaviour.clients:
                assert isinstance(client, OurClient)
                client.send_encoded(*messages)
            assert len(joined) == 1
            expected = f'a["{number}.0","{number}.1","{number}.2"]'
            assert [await client.receive() for client in sockets] == [expected] * CLIENTS
            assert len(joined) == 0, "nothing is kept when the turn is over"
        assert build.calls == 3


@pytest.mark.parametrize("name", ["xhr_streaming", "eventsource"])
async def test_streams_share_their_chunks(name: str) -> None:
    async with serving() as server, AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(streaming(server.port, server.session(), name))
            for _ in range(CLIENTS)
        ]
        assert [await stream.frame() for stream in streams] == ["o"] * CLIENTS
        [joined] = server.router._joined_pieces.values()
        build = joined._build = Counted(joined._build)
        messages = [Encoded("one"), Encoded("two")]
        for client in server.behaviour.clients:
            assert isinstance(client, OurClient)
            client.send_encoded(*messages)
        assert [await stream.frame() for stream in streams] == ['a["one","two"]'] * CLIENTS
        assert build.calls == 1


@pytest.mark.parametrize("transport", ["websocket", "xhr_streaming"])
async def test_a_recipient_costs_no_task_timer_or_future(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as server, AsyncExitStack() as stack:
        for _ in range(CLIENTS):
            if transport == "websocket":
                path = f"{server.session()}/websocket"
                await stack.enter_async_context(websocket(server.port, path))
            else:
                await stack.enter_async_context(streaming(server.port, server.session()))
        await asyncio.sleep(0.05)
        loop = asyncio.get_running_loop()
        counted = {
            name: Counted(getattr(loop, name))
            for name in ("create_task", "create_future", "call_later", "call_at")
        }
        from tornado import iostream

        future = Counted(iostream.Future)
        message = Encoded("cheap")
        with monkeypatch.context() as patch:
            for name, counter in counted.items():
                patch.setattr(loop, name, counter)
            patch.setattr(iostream, "Future", future)
            soon = Counted(loop.call_soon)
            patch.setattr(loop, "call_soon", soon)
            assert len(server.behaviour.clients) == CLIENTS
            for client in server.behaviour.clients:
                assert isinstance(client, OurClient)
                client.send_encoded(message)
        assert {name: counter.calls for name, counter in counted.items()} == dict.fromkeys(
            counted, 0
        )
        assert future.calls == 0
        assert soon.calls <= 1, "one for all may clear what they share"


async def test_different_messages_of_one_turn_are_not_all_kept() -> None:
    async with serving() as server:
        joined = server.router.joined_frames
        for number in range(1000):
            joined([Encoded(str(number)), Encoded("x")])
        assert len(joined) <= 128


async def test_an_outbox_larger_than_a_frame_leaves_in_parts() -> None:
    behaviour = Behaviour()
    async with (
        serving("ours", behaviour, outbox=1 << 20) as server,
        websocket(server.port, f"{server.session()}/websocket") as client,
    ):
        assert await client.receive() == "o"
        [served] = behaviour.clients
        assert isinstance(served, OurClient)
        texts = [f"{number:03}" + "x" * 1000 for number in range(500)]
        served.send_encoded(*map(Encoded, texts))
        received: list[str] = []
        sizes = []
        while len(received) < len(texts):
            frame = await client.receive()
            assert isinstance(frame, str)
            sizes.append(len(frame))
            received += json.loads(frame[1:])
        assert received == texts
        assert max(sizes) <= 66_000


async def test_a_poll_is_answered_with_at_most_the_response_limit() -> None:
    async with serving(response_limit=4096) as server:
        session = server.session()
        assert await poll(server.port, session) == "o"
        [served] = server.behaviour.clients
        assert isinstance(served, OurClient)
        texts = [f"{number:03}" + "x" * 500 for number in range(20)] + ["y" * 10_000, "z"]
        served.send_encoded(*map(Encoded, texts))
        received: list[str] = []
        while len(received) < len(texts):
            answer = await poll(server.port, session)
            messages = json.loads(answer[1:])
            assert len(answer) < 4096 or messages == ["y" * 10_000]
            received += messages
        assert received == texts


async def test_a_stream_does_not_overshoot_its_limit_but_by_one_message() -> None:
    async with serving(response_limit=4096) as server:
        session = server.session()
        async with streaming(server.port, session) as stream:
            assert await stream.frame() == "o"
            [served] = server.behaviour.clients
            assert isinstance(served, OurClient)
            texts = [f"{number:03}" + "x" * 500 for number in range(20)]
            served.send_encoded(*map(Encoded, texts))
            received: list[str] = []
            size = 0
            while frame := await stream.frame():
                size += len(frame)
                received += json.loads(frame[1:])
            assert size < 4096 + 510
        async with connected(server.port) as connection:
            while len(received) < len(texts):
                response = await connection.request("POST", f"{session}/xhr")
                received += json.loads((await connection.body(response))[1:])
        assert received == texts

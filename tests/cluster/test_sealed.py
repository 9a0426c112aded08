"""roomline.cluster.sealed: who may connect, and that nothing on the way can be changed."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from roomline.cluster.sealed import NotProven, SealedStream, sealed
from tornado.iostream import StreamClosedError

pytestmark = pytest.mark.timeout(30)

KEY = b"k" * 32
Change = Callable[[bytes], bytes]


class Wire:
    """Two sockets, and a man in the middle who sees all and may change it."""

    def __init__(self) -> None:
        self.to_server: Change = bytes
        self.to_client: Change = bytes
        self.seen = b""

    @asynccontextmanager
    async def up(self) -> AsyncIterator[tuple[socket.socket, socket.socket]]:
        client, near = socket.socketpair()
        far, server = socket.socketpair()
        near_reader, near_writer = await asyncio.open_connection(sock=near)
        far_reader, far_writer = await asyncio.open_connection(sock=far)

        async def pump(reader: Any, writer: Any, change: Callable[[], Change]) -> None:
            while data := await reader.read(65_536):
                self.seen += data
                writer.write(change()(data))
                await writer.drain()
            writer.close()

        pumps = [
            asyncio.create_task(pump(near_reader, far_writer, lambda: self.to_server)),
            asyncio.create_task(pump(far_reader, near_writer, lambda: self.to_client)),
        ]
        for each in (client, server):
            each.setblocking(False)
        try:
            yield client, server
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            near_writer.close()
            far_writer.close()


async def begin(
    client: socket.socket, server: socket.socket, keys: tuple[bytes, bytes] = (KEY, KEY)
) -> tuple[SealedStream, SealedStream]:
    serving = SealedStream(server)
    answering = asyncio.ensure_future(serving.begin_as_server(keys[1]))
    try:
        asking = await sealed(client, keys[0])
        await answering
    except BaseException:
        serving.close()
        await asyncio.gather(answering, return_exceptions=True)
        raise
    return asking, serving


@asynccontextmanager
async def pair(wire: Wire | None = None) -> AsyncIterator[tuple[SealedStream, SealedStream]]:
    async with (wire or Wire()).up() as (client, server):
        streams = await begin(client, server)
        try:
            yield streams
        finally:
            for stream in streams:
                stream.close()


async def within(awaitable: Awaitable[Any], seconds: float = 10) -> Any:
    return await asyncio.wait_for(awaitable, seconds)


async def test_what_is_written_arrives_in_both_directions() -> None:
    async with pair() as (one, other):
        for writer, reader in ((one, other), (other, one)):
            for text in (b"short", b"x", bytes(range(256)) * 1000):
                await within(writer.write(text))
                assert await within(reader.read_bytes(len(text))) == text


async def test_more_than_sockets_hold_arrives_whole() -> None:
    data = secrets.token_bytes(3_000_000)
    async with pair() as (one, other):
        writing = one.write(data)
        assert not writing.done()
        assert await within(other.read_bytes(len(data))) == data
        await within(writing)


async def test_what_is_written_at_once_is_not_taken_for_the_handshake() -> None:
    """The client's first records may come together with its proof."""
    async with Wire().up() as (client, server):
        serving = SealedStream(server)
        answering = asyncio.ensure_future(serving.begin_as_server(KEY))
        asking = await within(sealed(client, KEY))
        await asking.write(b"at once" * 1000)
        await within(answering)
        assert await within(serving.read_bytes(7000)) == b"at once" * 1000
        asking.close()
        serving.close()


async def test_the_end_of_one_side_is_seen_at_the_other() -> None:
    async with pair() as (one, other):
        await one.write(b"last words")
        one.close()
        assert await within(other.read_until_close()) == b"last words"


async def test_the_key_is_not_on_the_wire() -> None:
    wire = Wire()
    async with pair(wire) as (one, other):
        await one.write(b"hello")
        assert await within(other.read_bytes(5)) == b"hello"
    assert b"hello" in wire.seen  # it is not encrypted, and the page says so
    assert KEY[:8] not in wire.seen


@pytest.mark.parametrize("keys", [(KEY, b"x" * 32), (b"x" * 32, KEY), (b"", KEY), (KEY, b"")])
async def test_who_does_not_know_the_key_does_not_come_in(keys: tuple[bytes, bytes]) -> None:
    async with Wire().up() as (client, server):
        with pytest.raises((NotProven, ConnectionResetError)):
            await within(begin(client, server, keys))


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 100, b"roomline cluster 2\n" + b"n" * 32]
)
async def test_what_is_no_node_is_turned_away(said: bytes) -> None:
    async with Wire().up() as (client, server):
        serving = SealedStream(server)
        await asyncio.get_running_loop().sock_sendall(client, said)
        with pytest.raises(NotProven, match="not a node's greeting"):
            await within(serving.begin_as_server(KEY))
        serving.close()
        client.close()


async def test_a_proof_is_of_no_use_twice() -> None:
    """Who has listened to a handshake cannot be that client again."""
    wire = Wire()
    said: list[bytes] = []

    def listen(data: bytes) -> bytes:
        said.append(data)
        return data

    wire.to_server = listen
    async with pair(wire) as (one, other):
        await one.write(b"POST")
        await within(other.read_bytes(4))
    async with Wire().up() as (client, server):
        serving = SealedStream(server)
        await asyncio.get_running_loop().sock_sendall(client, b"".join(said))
        with pytest.raises(NotProven, match="does not know the cluster's key"):
            await within(serving.begin_as_server(KEY))
        serving.close()
        client.close()


async def test_a_servers_own_proof_does_not_prove_a_client() -> None:
    """Who sends back what it was sent proves nothing."""
    async with Wire().up() as (client, server):
        loop = asyncio.get_running_loop()
        serving = SealedStream(server)
        answering = asyncio.ensure_future(serving.begin_as_server(KEY))
        await loop.sock_sendall(client, b"roomline cluster 1\n" + b"n" * 32)
        answer = b""
        while len(answer) < 64:
            answer += await within(loop.sock_recv(client, 64))
        await loop.sock_sendall(client, answer[32:])
        with pytest.raises(NotProven):
            await within(answering)
        serving.close()
        client.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:2] + bytes([data[2] ^ 1]) + data[3:],
        lambda data: bytes([data[0], data[1] - 1]) + data[2:-1] + data[:30],
        lambda data: data + data,
        lambda data: data[23:],
    ],
    ids=["a byte", "a tag", "a length", "a record again", "a record left out"],
)
@pytest.mark.parametrize("direction", ["to_server", "to_client"])
async def test_nothing_can_be_changed_on_the_way(change: Change, direction: str) -> None:
    wire = Wire()
    async with pair(wire) as (one, other):
        writer, reader = (one, other) if direction == "to_server" else (other, one)
        setattr(wire, direction, change)
        await writer.write(b"first")
        await writer.write(b"second")
        await asyncio.sleep(0)
        expected = b"firstsecond"
        with pytest.raises(StreamClosedError):
            await within(reader.read_bytes(len(expected) + 1))

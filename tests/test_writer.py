"""Writing past Tornado's queue."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from roomline.writer import Writer, chunk
from tornado.iostream import IOStream

from tests.transport.servers import until

pytestmark = pytest.mark.timeout(10)


@dataclass
class Pair:
    """A writer and the socket at the other end."""

    stream: IOStream
    writer: Writer
    other: socket.socket
    drained: list[None] = field(default_factory=list)

    async def read(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        received = b""
        while len(received) < size:
            received += await asyncio.wait_for(loop.sock_recv(self.other, 1 << 20), 2)
        return received


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    one, other = socket.socketpair()
    other.setblocking(False)
    stream = IOStream(one)
    drained: list[None] = []
    yield Pair(stream, Writer(stream, lambda: drained.append(None)), other, drained)
    stream.close()
    other.close()


async def test_what_fits_goes_straight_to_the_socket(pair: Pair) -> None:
    pair.writer.write(b"hello")
    assert not pair.stream.writing()
    assert not pair.stream._write_futures
    assert pair.other.recv(10) == b"hello"
    assert not pair.writer.blocked


async def test_what_does_not_fit_follows_in_order(pair: Pair) -> None:
    first = bytes(range(256)) * 10_000
    pair.writer.write(first)
    assert pair.writer.blocked
    pair.writer.write(b"second")
    pair.writer.write(b"third")
    received = await pair.read(len(first) + 11)
    assert received == first + b"secondthird"
    await until(lambda: pair.drained)
    assert len(pair.drained) == 1
    assert not pair.writer.blocked


async def test_what_waits_is_not_copied(pair: Pair) -> None:
    data = b"x" * 5_000_000
    pair.writer.write(data)
    _, view = pair.stream._write_buffer._buffers[0]
    assert isinstance(view, memoryview)
    assert view.obj is data


async def test_a_dead_connection_is_closed_without_an_error(pair: Pair) -> None:
    pair.other.close()
    pair.writer.write(b"hello")
    pair.writer.write(b"again")
    assert pair.stream.closed()
    pair.writer.write(b"and again")
    assert not pair.writer.blocked
    pair.writer.abort()


async def test_a_connection_that_dies_while_it_is_blocked_is_not_drained(pair: Pair) -> None:
    pair.writer.write(b"x" * 5_000_000)
    assert pair.writer.blocked
    pair.other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.other.close()
    await until(pair.stream.closed)
    await asyncio.sleep(0.02)
    assert pair.drained == []


async def test_a_stream_that_was_closed_before(pair: Pair) -> None:
    pair.stream.close()
    writer = Writer(pair.stream, pair.drained.clear)
    writer.write(b"hello")
    assert not writer.blocked


def test_chunks() -> None:
    assert chunk(b"x" * 20) == b"14\r\n" + b"x" * 20 + b"\r\n"

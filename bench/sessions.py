"""SockJS sessions over each transport, as cheap as a client can have them: frames as they come."""

import json
import re
from abc import ABC, abstractmethod
from asyncio import StreamReader, StreamWriter, open_connection
from collections.abc import AsyncIterator

from bench.websocket import frame, upgrade

# A masked pong without content.
_PONG = b"\x8a\x80\x00\x00\x00\x00"
_PING, _TEXT = 9, 1


class Ended(Exception):
    """The server has ended a connection that was to stay, or has answered something else."""


class Session(ABC):
    """One session. `frames` opens it."""

    transport: str

    def __init__(self, port: int, path: str, source: str) -> None:
        """`path` is the session's; connections come from the address `source`."""
        self.port = port
        self.path = path
        self._source = source
        self._writers: list[StreamWriter] = []

    @abstractmethod
    def frames(self) -> AsyncIterator[str]:
        """SockJS frames; raises `Ended` or `OSError` when no more can come."""

    async def send(self, text: str) -> None:
        """Send one message."""
        reader, writer = await self._connection()
        writer.write(self._request("POST", "xhr_send", json.dumps([text]), close=True))
        status = await reader.readline()
        writer.close()
        if b" 204 " not in status:
            raise Ended(f"{self.transport}: a message was answered with {status!r}")

    def abort(self) -> None:
        """Leave without a word."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connection(self) -> tuple[StreamReader, StreamWriter]:
        return await open_connection("127.0.0.1", self.port, local_addr=(self._source, 0))

    async def _receiving(self) -> tuple[StreamReader, StreamWriter]:
        reader, writer = await self._connection()
        self._writers.append(writer)
        return reader, writer

    def _request(self, method: str, name: str, body: str = "", *, close: bool = False) -> bytes:
        return (
            f"{method} {self.path}/{name} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Connection: {'close' if close else 'keep-alive'}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class WebSocket(Session):
    """websocket"""

    transport = "websocket"
    _writer: StreamWriter

    async def frames(self) -> AsyncIterator[str]:
        reader, self._writer = await self._receiving()
        self._writer.write(upgrade(f"{self.path}/websocket", self.port))
        head = await _read(reader, b"\r\n\r\n")
        if b" 101 " not in head:
            raise Ended(f"websocket: {head!r}")
        while True:
            first, size = await reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await reader.readexactly(2))
            elif size == 127:
                size = int.from_bytes(await reader.readexactly(8))
            payload = await reader.readexactly(size)
            opcode = first & 0x0F
            if opcode == _PING:
                self._writer.write(_PONG)
            elif opcode == _TEXT:
                yield payload.decode()
            else:
                raise Ended(f"websocket: a frame with opcode {opcode}: {payload!r}")

    async def send(self, text: str) -> None:
        self._writer.write(frame(json.dumps([text]).encode(), masked=True))


class Streaming(Session):
    """One response after the other, each with many frames."""

    method: str
    name: str

    async def frames(self) -> AsyncIterator[str]:
        while True:
            reader, writer = await self._receiving()
            writer.write(self._request(self.method, self.name, close=True))
            await _read(reader, b"\r\n\r\n")
            async for line in _lines(reader):
                frame = self.frame_of(line)
                if frame:
                    yield frame
            self._writers.remove(writer)
            writer.close()

    @abstractmethod
    def frame_of(self, line: str) -> str:
        """The frame in a line of the response; empty: there is none."""


class XhrStreaming(Streaming):
    """xhr-streaming"""

    transport = "xhr-streaming"
    method, name = "POST", "xhr_streaming"

    def frame_of(self, line: str) -> str:
        return "" if line.startswith("hhh") else line  # the prelude


class EventSource(Streaming):
    """eventsource"""

    transport = "eventsource"
    method, name = "GET", "eventsource"

    def frame_of(self, line: str) -> str:
        return line[6:] if line.startswith("data: ") else ""


class XhrPolling(Session):
    """xhr-polling"""

    transport = "xhr-polling"

    async def frames(self) -> AsyncIterator[str]:
        reader, writer = await self._receiving()
        writer.write(self._request("POST", "xhr"))
        while True:
            head = await _read(reader, b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            if length is None:
                raise Ended(f"xhr-polling: {head!r}")
            frame = (await reader.readexactly(int(length[1]))).decode().rstrip("\n")
            # As a browser does: it asks again before it looks at what has come.
            writer.write(self._request("POST", "xhr"))
            yield frame


MIX: tuple[type[Session], ...] = (WebSocket, XhrStreaming, WebSocket, EventSource, XhrPolling)
"""What a crowd uses, in turns."""


async def _read(reader: StreamReader, end: bytes) -> bytes:
    return await reader.readuntil(end)


async def _lines(reader: StreamReader) -> AsyncIterator[str]:
    """The lines of a chunked body, to its end."""
    rest = b""
    while size := int(await reader.readline(), 16):
        *lines, rest = (rest + await reader.readexactly(size)).split(b"\n")
        await reader.readexactly(2)
        for line in lines:
            yield line.decode().rstrip("\r")

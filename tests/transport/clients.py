"""Clients over plain sockets, which see every byte that a transport sends."""

import asyncio
import base64
import json
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.websocket_frames import frame

TIMEOUT = 15.0


@dataclass
class Response:
    """The head of an HTTP response, and its body if it has been read."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    def __getitem__(self, name: str) -> str | None:
        return self.headers.get(name.lower())


class Connection:
    """One TCP connection, for requests that are read bit by bit."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(
        cls,
        port: int,
        *,
        source: str | None = None,
        receive_buffer: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> "Connection":
        client = socket.socket()
        client.setblocking(False)
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            client.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        # A small limit makes the reader stop reading when nobody takes what it has.
        name = None if tls is None else "localhost"
        return cls(
            *await asyncio.open_connection(
                sock=client, limit=1 << 16, ssl=tls, server_hostname=name
            )
        )

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        version: str = "1.1",
        length: int | None = None,
    ) -> Response:
        """Send a request; the head of its response. `length`: what the request claims."""
        lines = [f"{method} {path} HTTP/{version}"]
        fields = {"Host": "{}:{}".format(*self.writer.get_extra_info("peername")[:2])}
        if method == "POST":
            fields["Content-Length"] = str(len(body) if length is None else length)
        fields |= headers or {}
        lines += [f"{name}: {value}" for name, value in fields.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        return await self.head()

    async def head(self) -> Response:
        """The next response's head."""
        async with asyncio.timeout(TIMEOUT):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.rstrip().split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        return Response(
            int(status.split()[1]), {pair[0].lower(): pair[-1].rstrip(":") for pair in pairs}
        )

    async def chunk(self, *, within: float = TIMEOUT) -> bytes:
        """The next chunk of a chunked response; nothing at its end."""
        async with asyncio.timeout(within):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def body(self, response: Response) -> bytes:
        """The rest of a response, however it is delimited."""
        if response.status in (204, 304):
            return b""
        if response["Transfer-Encoding"] == "chunked":
            parts = []
            while part := await self.chunk():
                parts.append(part)
            return b"".join(parts)
        async with asyncio.timeout(TIMEOUT):
            if response["Content-Length"] is not None:
                return await self.reader.readexactly(int(response["Content-Length"]))
            return await self.reader.read()

    async def closed(self, *, within: float = TIMEOUT) -> bool:
        """Whether the server ends the connection, reading what comes before."""
        try:
            async with asyncio.timeout(within):
                while await self.reader.read(1 << 16):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def hang_up(self) -> None:
        """Close at once, without a turn of the event loop: whatever comes is answered with a
        reset."""
        self.writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """End with a reset, as a client that crashes does."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


@asynccontextmanager
async def connected(port: int, **options: Any) -> AsyncIterator[Connection]:
    """A connection that is closed in the end."""
    connection = await Connection.open(port, **options)
    try:
        yield connection
    finally:
        connection.writer.close()


async def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | str = b"",
    headers: dict[str, str] | None = None,
    **options: Any,
) -> Response:
    """A whole response, on a connection of its own."""
    body = body.encode() if isinstance(body, str) else body
    async with connected(port, **options) as connection:
        response = await connection.request(method, path, body, headers)
        response.body = b"" if method == "HEAD" else await connection.body(response)
        return response


async def poll(port: int, session: str, **options: Any) -> str:
    """What one xhr-polling request answers, without its newline."""
    response = await ask(port, "POST", f"{session}/xhr", **options)
    assert response.status == 200, response
    assert response.body.endswith(b"\n")
    return response.body[:-1].decode()


async def post(port: int, session: str, *messages: Any) -> int:
    """Send messages by xhr_send; the status."""
    response = await ask(port, "POST", f"{session}/xhr_send", json.dumps(messages))
    return response.status


class Stream:
    """A streaming response: xhr_streaming or eventsource."""

    def __init__(self, connection: Connection, response: Response, name: str) -> None:
        self.connection = connection
        self.response = response
        self._name = name

    async def frame(self, *, within: float = TIMEOUT) -> str | None:
        """The next SockJS frame; None at the end of the response."""
        chunk = (await self.connection.chunk(within=within)).decode()
        if not chunk:
            return None
        if self._name == "eventsource":
            assert chunk.startswith("data: ")
            assert chunk.endswith("\r\n\r\n")
            return chunk[6:-4]
        assert chunk.endswith("\n")
        return chunk[:-1]


PRELUDES = {"xhr_streaming": b"h" * 2048 + b"\n", "eventsource": b"\r\n"}


@asynccontextmanager
async def streaming(
    port: int,
    session: str,
    name: str = "xhr_streaming",
    headers: dict[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Stream]:
    """A streaming response whose prelude has been read."""
    async with connected(port, **options) as connection:
        method = "GET" if name == "eventsource" else "POST"
        response = await connection.request(method, f"{session}/{name}", headers=headers)
        assert response.status == 200, response
        assert await connection.chunk() == PRELUDES[name]
        yield Stream(connection, response, name)


@dataclass
class Closed:
    """A websocket's end: code and reason of the close frame, None if there was none."""

    code: int | None
    reason: str = ""


class Refused(Exception):
    """A websocket handshake was answered with another status."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"handshake answered {response.status}")
        self.response = response


class WebSocket:
    """A websocket that answers pings only while somebody receives."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.answers_pings = True

    def send(self, text: str, opcode: int = 1, *, final: bool = True) -> None:
        self.send_bytes(text.encode(), opcode, final=final)

    def send_bytes(self, payload: bytes, opcode: int, *, final: bool = True) -> None:
        sent = frame(payload, opcode, final=final, mask=os.urandom(4))
        self.connection.writer.write(sent)

    async def receive(self, *, within: float = TIMEOUT) -> str | Closed:
        """The next text, or how the connection ended."""
        async with asyncio.timeout(within):
            while True:
                try:
                    opcode, payload = await self.frame()
                except (asyncio.IncompleteReadError, ConnectionError):
                    return Closed(None)
                if opcode == 1:
                    return payload.decode()
                if opcode == 8:
                    self.send_bytes(payload, 8)
                    code = struct.unpack("!H", payload[:2])[0] if payload else None
                    return Closed(code, payload[2:].decode())
                if opcode == 9 and self.answers_pings:
                    self.send_bytes(payload, 10)

    async def frame(self) -> tuple[int, bytes]:
        """The next frame as it is."""
        reader = self.connection.reader
        first, size = await reader.readexactly(2)
        assert first & 0x70 == 0
        assert size < 128, "servers do not mask"
        if size == 126:
            size = struct.unpack("!H", await reader.readexactly(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", await reader.readexactly(8))[0]
        return first & 0x0F, await reader.readexactly(size)


def handshake(version: str = "13") -> dict[str, str]:
    """The headers that ask for a websocket."""
    return {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": version,
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }


@asynccontextmanager
async def websocket(
    port: int, path: str, headers: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[WebSocket]:
    """A websocket; raises `Refused`."""
    async with connected(port, **options) as connection:
        response = await connection.request("GET", path, headers=handshake() | (headers or {}))
        if response.status != 101:
            response.body = await connection.body(response)
            raise Refused(response)
        yield WebSocket(connection)

"""One keep-alive HTTP/1.1 connection that carries one request at a time.

Tornado's `AsyncHTTPClient` can neither abandon a request that waits nor slow a response down; a
long-polling client needs both, so this stands on Tornado's connection class instead.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpclient import TCPClient

_WAITING_CHUNKS = 8  # of at most 64 KiB: then the server is no longer read


class LaneError(Exception):
    """The request could not be carried out, or its response broke off."""


class Response(NamedTuple):
    """A whole response."""

    status: int
    headers: HTTPHeaders
    body: bytes


class Streamed:
    """A response whose body is read while it comes."""

    def __init__(self, answer: "_Answer") -> None:
        self._answer = answer
        self.status = answer.status
        self.headers = answer.headers

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body in pieces; raises `LaneError` if it breaks off."""
        while chunk := await self._answer.chunks.get():
            yield chunk
        if not self._answer.complete:
            raise LaneError("the connection was lost in the middle of a response")


class Lane:
    """Requests to one server, one after another, over one connection that is opened on demand."""

    def __init__(
        self, url: str, headers: Mapping[str, str], ssl_context: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = (
            (ssl_context or ssl.create_default_context()) if parts.scheme == "https" else None
        )
        self._headers = {"Host": parts.netloc, **headers}
        self._stream: IOStream | None = None
        self._turn = asyncio.Lock()

    async def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "text/plain"
    ) -> Response:
        """Carry out one request and return the whole response; raises `LaneError`."""
        async with self.stream(method, path, body, content_type) as response:
            chunks = [chunk async for chunk in response.chunks()]
        return Response(response.status, response.headers, b"".join(chunks))

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, body: bytes = b"", content_type: str = "text/plain"
    ) -> AsyncIterator[Streamed]:
        """Carry out one request; the block reads its response. Raises `LaneError`.

        Leaving the block before the body has ended closes the connection.
        """
        async with self._turn:
            stream = await self._connected()
            answer = _Answer()
            reading = asyncio.create_task(
                self._exchange(stream, answer, method, path, body, content_type)
            )
            try:
                await answer.started.wait()
                if answer.status == 0:
                    raise LaneError("the server closed the connection without a response")
                yield Streamed(answer)
            finally:
                if not answer.complete or answer.headers.get("Connection", "").lower() == "close":
                    self.close()
                answer.abandon()
                await reading

    def close(self) -> None:
        """Drop the connection, and with it a request that is under way."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    async def _connected(self) -> IOStream:
        if self._stream is None or self._stream.closed():
            try:
                self._stream = await TCPClient().connect(
                    self._host, self._port, ssl_options=self._ssl
                )
            except (OSError, StreamClosedError) as error:
                raise LaneError(f"{self._host}:{self._port} cannot be reached: {error}") from None
            self._stream.set_nodelay(True)
        return self._stream

    async def _exchange(
        self,
        stream: IOStream,
        answer: "_Answer",
        method: str,
        path: str,
        body: bytes,
        content_type: str,
    ) -> None:
        connection = HTTP1Connection(
            stream, True, HTTP1ConnectionParameters(max_body_size=1 << 40, chunk_size=65536)
        )
        headers = HTTPHeaders(self._headers)
        if method == "POST":
            headers["Content-Length"] = str(len(body))
            headers["Content-Type"] = content_type
        try:
            sent = connection.write_headers(
                RequestStartLine(method, path, "HTTP/1.1"), headers, body
            )
            connection.finish()
            await sent
            await connection.read_response(answer)
        except StreamClosedError:
            pass  # the answer is not complete, which is what its reader looks at
        answer.started.set()
        await answer.data_received(b"")


class _Answer(HTTPMessageDelegate):
    """A response on its way in."""

    def __init__(self) -> None:
        self.status = 0
        self.headers = HTTPHeaders()
        self.started = asyncio.Event()
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_CHUNKS)
        self.complete = False
        self._abandoned = False

    def abandon(self) -> None:
        """Nobody reads this any more. (The task that receives it cannot be cancelled: Tornado
        would log that as an error of this class.)"""
        self._abandoned = True
        while not self.chunks.empty():
            self.chunks.get_nowait()

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        assert isinstance(start_line, ResponseStartLine)
        if start_line.code >= 200:
            self.status, self.headers = start_line.code, headers
            self.started.set()

    async def data_received(self, chunk: bytes) -> None:
        if not self._abandoned:
            await self.chunks.put(chunk)

    def finish(self) -> None:
        self.complete = True

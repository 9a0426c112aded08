"""A proxy between browsers and gateways that is bad at some transports and good at the rest."""

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass

from tests.support.proxy import Proxy

_REQUEST = re.compile(rb"[A-Z]+ \S*?/(\w+)(?:\?\S*)? HTTP/1\.1\r\n")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to a request and its response."""

    answer: bytes | None = None
    """If set, the proxy's own answer, in place of the server's; empty: none ever comes."""
    cut_after: float | None = None
    """If set, seconds after the first byte of the response at which the connection is reset."""
    passes: bytes | None = None
    """If set, the response is passed up to and with these bytes. Then nothing is passed any more,
    in either direction, and nobody is told."""
    lumps: float | None = None
    """If set, the response comes in lumps, so many seconds apart; with `passes`, what is after
    those bytes does, in place of nothing."""


REFUSED = Fault(answer=b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
HANGING = Fault(answer=b"")
CUT_AT_ONCE = Fault(passes=b"\r\n\r\n", cut_after=0)
SWALLOWED = Fault(passes=b"\r\n\r\n")
"""Nothing after the head of the response, which for a websocket is its handshake."""
WEBSOCKET_GREETED = Fault(passes=b"\x81\x01o")
"""Nothing after SockJS's frame that says that the session is open, so SockJS is content."""
STREAM_GREETED = Fault(passes=b"o\n\r\n")


def cut_after(seconds: float) -> Fault:
    """A proxy that ends what lasts too long."""
    return Fault(cut_after=seconds)


def lumps(seconds: float) -> Fault:
    """A proxy that gathers what it passes on."""
    return Fault(lumps=seconds)


class TransportProxy(Proxy):
    """Treats requests by the last part of their path: ``websocket``, ``xhr_streaming``, ..."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.faults: dict[str, Fault] = {}

    async def _connection(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            upstream, server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            client.transport.abort()
            return
        self._connections[client] = server
        exchange = _Exchange(self.faults, reader, client, upstream, server)
        try:
            await _first_of(exchange.requests(), exchange.responses())
        finally:
            exchange.close()
            del self._connections[client]
            client.transport.abort()
            server.transport.abort()


async def _first_of(*directions: Coroutine[None, None, None]) -> None:
    """Forward in all directions until one has ended."""
    tasks = [asyncio.create_task(direction) for direction in directions]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Exchange:
    """The requests and responses of one connection, one pair at a time."""

    def __init__(
        self,
        faults: dict[str, Fault],
        reader: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        upstream: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        self._faults = faults
        self._reader = reader
        self._client = client
        self._upstream = upstream
        self._server = server
        self._fault = Fault()
        self._seen = b""
        """Of the response, until what it is passed up to has come."""
        self._over = False
        """Whether that has come."""
        self._held = b""
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def requests(self) -> None:
        while data := await self._reader.read(65536):
            if match := _REQUEST.match(data):
                self._begin(self._faults.get(match[1].decode(), Fault()))
            if self._fault.answer is not None:
                self._client.write(self._fault.answer)
                await self._client.drain()
            elif not self._over or self._fault.lumps is not None:
                self._server.write(data)
                await self._server.drain()

    def _begin(self, fault: Fault) -> None:
        self.close()
        self._fault = fault
        self._seen = b""
        self._over = False
        self._held = b""
        self._timer = None

    async def responses(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await self._upstream.read(65536):
            fault = self._fault
            if fault.cut_after is not None and self._timer is None:
                self._timer = loop.call_later(fault.cut_after, self._client.transport.abort)
            rest = data if fault.passes is None else self._pass(data, fault.passes)
            if fault.lumps is not None:
                self._gather(rest, fault.lumps)
            elif fault.passes is None:
                self._client.write(rest)
            await self._client.drain()

    def _pass(self, data: bytes, last: bytes) -> bytes:
        """Pass on what is not behind those bytes; what is."""
        if self._over:
            return data
        passed = len(self._seen)
        self._seen += data
        found = self._seen.find(last)
        self._over = found >= 0
        end = found + len(last) if self._over else len(self._seen)
        self._client.write(self._seen[passed:end])
        return self._seen[end:]

    def _gather(self, data: bytes, seconds: float) -> None:
        self._held += data
        if self._held and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._let_go)

    def _let_go(self) -> None:
        self._timer = None
        self._client.write(self._held)
        self._held = b""

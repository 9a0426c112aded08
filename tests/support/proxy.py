"""A TCP proxy on loopback with faults that a test turns on and off while it runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """Forwards every connection to one port, as well as its faults let it."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.latency = 0.0
        """Seconds that every piece waits, in both directions."""
        self.drip = 0
        """If set, what goes to the client goes in pieces of so many bytes, `latency` apart."""
        self.cut_after: int | None = None
        """If set, a new connection is reset after so many bytes to the client."""
        self.refusing = False
        """Whether new connections are reset at once."""
        self.accepted = 0
        """Connections so far."""
        self.forwarded = 0
        """Bytes forwarded to clients so far."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._connections: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}

    def stall(self) -> None:
        """Forward nothing, in either direction, and tell nobody: a cable pulled out."""
        self._flowing.clear()

    def resume(self) -> None:
        """Forward again, beginning with what was held back."""
        self._flowing.set()

    def cut(self) -> None:
        """Reset every connection."""
        for client, server in list(self._connections.items()):
            client.transport.abort()
            server.transport.abort()

    def address(self, url: str) -> str:
        """`url` with this proxy in front of it."""
        return urlsplit(url)._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    @classmethod
    @asynccontextmanager
    async def to(
        cls, target: int | str, port: int = 0, *, host: str = "127.0.0.1"
    ) -> AsyncIterator[Self]:
        """A running proxy to a loopback port, or to that of a URL; it listens at `host`, on
        `port` or on any."""
        proxy = cls(target if isinstance(target, int) else urlsplit(target).port or 80)
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(proxy._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, host, port)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy.resume()
            proxy.cut()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

    async def _route(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        """The port that a connection goes to, and what was read of it to tell."""
        return self.target, b""

    async def _connection(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            client.transport.abort()
            return
        try:
            port, begun = await self._route(reader)
            upstream, server = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            client.transport.abort()
            return
        server.write(begun)
        self._connections[client] = server
        try:
            with suppress(OSError):
                await asyncio.gather(
                    self._forward(reader, server), self._forward(upstream, client, self.cut_after)
                )
        finally:
            del self._connections[client]
            client.transport.abort()
            server.transport.abort()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, limit: int | None = None
    ) -> None:
        to_client = target in self._connections
        while data := await source.read(self.drip if to_client and self.drip else 65536):
            await self._flowing.wait()
            if self.latency:
                await asyncio.sleep(self.latency)
            target.write(data[:limit])
            await target.drain()
            if to_client:
                self.forwarded += len(data)
            if limit is not None:
                limit -= len(data)
                if limit <= 0:
                    raise ConnectionResetError
        await self._flowing.wait()
        target.write_eof()

"""A load balancer without any stickiness: every single request goes to a node at random."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit


class Spreader:
    """An HTTP proxy that makes a new connection for each request, to one of `targets`."""

    def __init__(self, targets: Sequence[tuple[str, int]]) -> None:
        self.targets = list(targets)
        self.port = 0
        self.requests: Counter[tuple[str, int]] = Counter()
        """How many requests each target has got."""
        self.refused = 0
        """How often a target could not be reached, and another one was asked."""

    def address(self, url: str) -> str:
        """`url` with this proxy in front of it."""
        return urlsplit(url)._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    @classmethod
    @asynccontextmanager
    async def over(cls, *urls: str) -> AsyncIterator[Self]:
        """A running proxy over the nodes at these URLs."""
        parts = [urlsplit(url) for url in urls]
        spreader = cls([(part.hostname or "", part.port or 80) for part in parts])
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(spreader._request(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        spreader.port = server.sockets[0].getsockname()[1]
        try:
            yield spreader
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

    async def _request(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        server: asyncio.StreamWriter | None = None
        try:
            with suppress(OSError, EOFError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                upstream, server = await self._connect()
                if not re.search(r"^Upgrade:", head, re.M | re.I):
                    # So that the response ends with the connection, and no second request comes.
                    head = re.sub(r"^Connection:.*\r\n", "", head, flags=re.M | re.I)
                    head = head.removesuffix("\r\n") + "Connection: close\r\n\r\n"
                server.write(head.encode("latin-1"))
                sending = asyncio.ensure_future(_pump(reader, server))
                receiving = asyncio.ensure_future(_pump(upstream, client))
                try:
                    # Either side's end is the other's: a client that leaves must be noticed.
                    await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    sending.cancel()
                    receiving.cancel()
                    await asyncio.gather(sending, receiving, return_exceptions=True)
        finally:
            for writer in filter(None, (client, server)):
                with suppress(OSError):
                    writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        left = list(self.targets)
        while True:
            target = left.pop(random.randrange(len(left)))
            try:
                connected = await asyncio.open_connection(*target)
            except OSError:
                self.refused += 1
                if not left:
                    raise
            else:
                self.requests[target] += 1
                return connected


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()

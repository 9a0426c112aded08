"""Nodes that echo, in one event loop: each an endpoint with a port for clients, and a cluster."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from roomline.brokers.embedded_signals import EmbeddedSignals
from roomline.cluster import Cluster, ClusterSettings
from roomline.core.counters import Counters
from roomline.core.link import Application
from roomline.core.standing import Standing
from roomline.httpserver import GatewayServer
from roomline.transport import TRANSPORTS, Endpoint, TransportSettings, server_limits
from roomline.transport.echoes import Echo
from tornado.netutil import bind_sockets
from tornado.web import Application as Routes

from tests.transport.clients import Connection, connected

KEY = b"k" * 32


class Node:
    """An echoing node. `begin` and `end` it."""

    def __init__(
        self,
        directory: Path,
        *,
        tcp: bool = False,
        key: bytes = KEY,
        since: int = 0,
        expected: int = 1,
        application: Application | None = None,
        **options: Any,
    ) -> None:
        settings = replace(
            TransportSettings(
                prefix="/echo",
                allowed_origins=frozenset({"https://friend.example"}),
                transports=TRANSPORTS,
                disconnect_delay=5.0,
                body_bytes=4096,
            ),
            **options,
        )
        self.counters = Counters()
        self.stand: Callable[[], Standing] = lambda: Standing(ready=True)
        self.endpoint = Endpoint(application or Echo(), settings)
        self.cluster = Cluster(
            ClusterSettings(
                name=f"node-{secrets.token_hex(2)}",
                key=key,
                since=since,
                directory="" if tcp else str(directory),
                host="127.0.0.1" if tcp else "",
                expected=expected,
                body_bytes=settings.body_bytes,
            ),
            EmbeddedSignals(directory),
            self.counters,
            pattern=self.endpoint.lasting_paths,
            urls=self.endpoint.urls,
            holds=self.endpoint.holds,
            standing=lambda: self.stand(),
            let_go=self.endpoint.let_go,
            limits=server_limits(settings),
        )
        self.server = GatewayServer(
            Routes([self.cluster.rule, *self.endpoint.urls]), **server_limits(settings)
        )
        self._sockets = bind_sockets(0, "127.0.0.1")
        self.port: int = self._sockets[0].getsockname()[1]
        self._ended = False

    @property
    def id(self) -> str:
        return self.cluster.membership.own.id

    def opens(self, session: str) -> bool:
        """Whether this node opens the session at this path, as it knows the others."""
        return self.cluster.membership.candidates(session.rpartition("/")[2])[-1].id == self.id

    async def begin(self) -> None:
        self.server.add_sockets(self._sockets)
        await self.cluster.start()

    async def end(self) -> None:
        """Leave, as a node does that has drained."""
        if self._ended:
            return
        self._ended = True
        self.server.stop()
        await self.cluster.close()
        self.endpoint.close()
        await self.server.close_all_connections()

    async def die(self) -> None:
        """End without a word, as if killed: what was open is cut."""
        membership = self.cluster.membership
        membership.say = lambda state: None  # type: ignore[method-assign]
        self.cluster.under_way.clear()
        await self.end()


def session() -> str:
    """The path of a session that is not there yet."""
    return f"/echo/000/{secrets.token_hex(8)}"


def session_of(node: Node) -> str:
    """One that this node opens."""
    while True:
        path = session()
        if node.opens(path):
            return path


@asynccontextmanager
async def cluster(
    directory: Path, count: int = 2, *, joining: bool = True, **options: Any
) -> AsyncIterator[list[Node]]:
    """So many nodes that know each other. More may be appended; all are ended."""
    nodes: list[Node] = []
    try:
        for number in range(count):
            expected = number + 1 if joining else 1
            nodes.append(Node(directory, expected=expected, **options))
            await nodes[-1].begin()
        yield nodes
    finally:
        for node in nodes:
            await node.end()


class Stream:
    """A streaming response frame by frame, however its bytes are cut into chunks."""

    def __init__(self, connection: Connection, name: str, chunked: bool) -> None:
        self._connection = connection
        self._end = b"\r\n\r\n" if name == "eventsource" else b"\n"
        self._chunked = chunked
        self._read = bytearray()

    async def frame(self) -> str:
        """The next frame; raises `EOFError` at the end."""
        while self._end not in self._read:
            if self._chunked:
                part = await self._connection.chunk()
            else:
                async with asyncio.timeout(5):
                    part = await self._connection.reader.read(65_536)
            if not part:
                raise EOFError
            self._read += part
        frame, _, rest = bytes(self._read).partition(self._end)
        self._read = bytearray(rest)
        return frame.decode().strip().removeprefix("data: ")


@asynccontextmanager
async def streaming(
    port: int, session: str, name: str = "xhr_streaming", version: str = "1.1", **options: Any
) -> AsyncIterator[Stream]:
    """A streaming response, after its prelude and the open frame."""
    async with connected(port, **options) as connection:
        method = "GET" if name == "eventsource" else "POST"
        response = await connection.request(method, f"{session}/{name}", version=version)
        assert response.status == 200, response
        stream = Stream(connection, name, version == "1.1")
        frames = [await stream.frame()]
        if name == "xhr_streaming":
            frames.append(await stream.frame())
        assert frames[-1] == "o"
        yield stream

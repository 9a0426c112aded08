"""A node with a proxy in front of a scripted upstream, all in the test's event loop."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest
from roomline.brokers.embedded import EmbeddedBroker, control_log
from roomline.core.limits import NodeLimits
from roomline.core.policy import Namespace, Policy, Rule
from roomline.holding import HOLD_HEADER
from roomline.httpserver import GatewayServer
from roomline.node import Node
from roomline.proxy import HeldSettings, Keeper, Proxy, ProxySettings, RoomEvents
from roomline.revocations import Revocation, revocation_envelopes
from roomline.sqlitelog import CONTROL_SUFFIX, PUBLISHER, SqliteLog
from roomline.transport import Endpoint, TransportSettings, own_origin, server_limits
from roomline.wire import Envelope, body_of
from tornado.netutil import bind_sockets
from tornado.routing import AnyMatches
from tornado.routing import Rule as Route
from tornado.web import Application

from tests.support.tokens import KEYS
from tests.support.until import until

NAMESPACES = {
    "chat": Namespace(Rule.NONE, Rule.NONE, 20, 3600),
    "news": Namespace(Rule.PUBLIC, Rule.NONE, 20, 3600),
    "members": Namespace(Rule.AUTHENTICATED, Rule.NONE, 20, 3600),
    "club": Namespace(Rule.TOKEN, Rule.NONE, 20, 3600),
    "user": Namespace(Rule.NONE, Rule.NONE, 20, 3600),
}
_OF_THE_KEEPER = {field.name for field in fields(HeldSettings)}


@dataclass
class Asked:
    """A request as the upstream got it."""

    line: str
    headers: list[tuple[str, str]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytes = b""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether the other side has closed the connection."""

    def get(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    def reply(self, body: bytes, *headers: str, status: str = "200 OK") -> None:
        """A whole response."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.send("\r\n".join(lines).encode(), body)

    async def read_body(self) -> None:
        """Take the request's body, whichever way it is delimited."""
        if self.get("Transfer-Encoding"):
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                self.body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        elif length := self.get("Content-Length"):
            self.body = await self.reader.readexactly(int(length[0]))


Answer = Callable[[Asked], Awaitable[None]]


async def hello(asked: Asked) -> None:
    """The upstream of whoever needs no other."""
    await asked.read_body()
    asked.reply(b"hello", "Content-Type: text/plain")


def holding(**fields: Any) -> Answer:
    """An upstream that wants everything held."""
    said = {"mode": "hold", "room": "chat.a", "timeout": 25} | fields

    async def answer(asked: Asked) -> None:
        header = {"since": asked.get("Roomline-Position")[0]} | said
        asked.reply(
            b"own",
            f"{HOLD_HEADER}: {json.dumps({k: v for k, v in header.items() if v is not None})}",
            "Content-Type: text/plain",
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "ETag: own",
        )

    return answer


class Front:
    """A gateway's public port, the node behind it, and what its upstream was asked."""

    def __init__(self, server: GatewayServer, node: Node, proxy: Proxy, port: int) -> None:
        self.server = server
        self.node = node
        self.proxy = proxy
        self.port = port
        self.asked: list[Asked] = []
        self.log = Path()

    async def serve(
        self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection of the upstream: one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
        line, *lines = head.rstrip().split("\r\n")
        pairs = [text.split(":", 1) for text in lines]
        asked = Asked(line, [(name, value.strip()) for name, value in pairs], reader, writer)
        self.asked.append(asked)
        await answer(asked)
        await writer.drain()
        writer.write_eof()
        while await reader.read(65536):
            pass
        asked.gone.set()

    async def publish(self, *values: Any, room: str = "chat.a", together: bool = False) -> None:
        """Publish and wait until the node has delivered; `together`: all in one turn."""
        before = self.node.counters.entries
        publishing = [self.node.publish(Envelope(room, body_of(v))) for v in values if together]
        await asyncio.gather(*publishing)
        for value in () if together else values:
            await self.node.publish(Envelope(room, body_of(value)))
        await until(lambda: self.node.counters.entries == before + len(values))

    def revoke(self, revocation: Revocation) -> None:
        """Tell the node, as Django does."""
        log = SqliteLog(f"{self.log}{CONTROL_SUFFIX}")
        log.append([revocation_envelopes([revocation])[0]._replace(publisher=PUBLISHER)])
        log.close()

    async def drain(self, seconds: float) -> None:
        """End what it holds and what is under way, as a gateway does."""
        await asyncio.gather(self.proxy.keeper.drain(seconds), self.proxy.drain(seconds))

    async def held(self, count: int = 1) -> None:
        """Return when so many responses wait in a room."""
        await until(lambda: len(self.node.guests) == count)

    async def ended(self, how: str, count: int = 1) -> None:
        """Return when so many held responses have ended like that."""
        await until(lambda: self.node.counters.held[how] == count)

    async def requests(self, how: str, count: int = 1) -> None:
        """Return when so many requests have ended like that."""
        await until(lambda: self.node.counters.upstream[how] == count)


Fronts = Callable[..., Awaitable[Front]]


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Fronts]:
    """Starts one: call it with the upstream's behaviour and settings of the proxy."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            answer: Answer = hello,
            *,
            ready: bool = True,
            trusted: tuple[Any, ...] = (),
            outbox: int = 1 << 20,
            anonymous: bool = True,
            origins: frozenset[str] = frozenset(),
            **settings: Any,
        ) -> Front:
            tasks: set[asyncio.Task[None]] = set()

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.current_task()
                assert task is not None
                tasks.add(task)
                try:
                    await started.serve(answer, reader, writer)
                except (ConnectionError, asyncio.IncompleteReadError):
                    pass  # its tests look at the other side
                finally:
                    writer.close()

            upstream = await asyncio.start_server(serve, "127.0.0.1", 0)
            stack.callback(upstream.close)
            policy = Policy(NAMESPACES, KEYS, anonymous=anonymous)
            limits = NodeLimits(outbox_bytes=outbox)
            log = tmp_path / "log.sqlite3"
            broker, control = EmbeddedBroker(log, NAMESPACES), control_log(log)
            node = Node(broker, policy, limits, control=control, name="n-1")
            target = upstream.sockets[0].getsockname()[1]
            options = {"outbox_bytes": outbox, "port": target} | settings
            held = {name: options.pop(name) for name in _OF_THE_KEEPER & options.keys()}
            keeper = Keeper(node, HeldSettings(**held))
            proxy = Proxy(keeper, ProxySettings(host="127.0.0.1", **options))
            transport = TransportSettings(prefix="/roomline", allowed_origins=origins)
            endpoint = Endpoint(node, transport)
            events = RoomEvents(
                keeper, policy, endpoint.origins, own_origin, endpoint.registry.let_come
            )
            routes = [
                events.rule("/roomline"),
                *endpoint.own_urls,
                Route(AnyMatches(), proxy),
            ]
            server = GatewayServer(Application(routes), **server_limits(transport))
            server.trusted_proxies = trusted
            [listening] = bind_sockets(0, "127.0.0.1")
            server.add_sockets([listening])
            started = Front(server, node, proxy, listening.getsockname()[1])
            started.log = log

            async def end() -> None:
                await node.close()
                endpoint.close()
                keeper.close()
                proxy.close()
                server.stop()
                await server.close_all_connections()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

            stack.push_async_callback(end)
            if ready:
                await node.start()
                await until(lambda: node.ready)
            return started

        yield start

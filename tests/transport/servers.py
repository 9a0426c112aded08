"""The endpoint under test and unmodified sockjs-tornado, serving the same behaviour.

A test of a defect runs on both: it shows the defect on the one and its absence on the other.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from roomline.core.codes import Disconnect
from roomline.core.link import Link
from roomline.core.outbox import Encoded, Outbox
from roomline.transport import Endpoint, TransportSettings, server_limits
from roomline.transport.upstream import SockJSConnection, SockJSRouter
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application as Routes

Kind = Literal["ours", "unmodified"]

PREFIX = "/echo"
_ids = itertools.count()


class Client:
    """One client, as a behaviour sees it on either server."""

    def send(self, text: str) -> None:
        raise NotImplementedError

    def close(self, code: int = 3000, reason: str = "Go away!") -> None:
        raise NotImplementedError


class Behaviour:
    """What the server does with its clients: an echo, unless a test overrides it."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.received: list[object] = []
        self.refused: list[int] = []
        self.left: list[Client] = []

    def opened(self, client: Client) -> None:
        """A client has come."""

    def message(self, client: Client, text: str) -> None:
        client.send(text)


class OurClient(Client):
    """Link and peer in one."""

    def __init__(self, link: Link, behaviour: Behaviour, limit: int) -> None:
        self.link = link
        self.outbox = Outbox(limit)
        self.slow = False
        self._behaviour = behaviour

    def send(self, text: str) -> None:
        self.send_encoded(Encoded(text))

    def send_encoded(self, *messages: Encoded) -> None:
        """Queue messages and flush once, as a node does in one turn of its loop."""
        for message in messages:
            if self.slow:
                return
            if not self.outbox.put(message):
                self.slow = True
                self.outbox.take()
                self.link.close(Disconnect.SLOW.code, Disconnect.SLOW.reason)
                return
        self.link.flush()

    def close(self, code: int = 3000, reason: str = "Go away!") -> None:
        self.link.close(code, reason)

    def receive(self, text: str) -> None:
        self._behaviour.received.append(text)
        self._behaviour.message(self, text)

    def refuse(self, code: int, reason: str) -> None:
        self._behaviour.refused.append(code)

    def gone(self) -> None:
        self._behaviour.left.append(self)


@dataclass
class OurApplication:
    behaviour: Behaviour
    outbox: int

    def open(self, link: Link) -> OurClient:
        client = OurClient(link, self.behaviour, self.outbox)
        self.behaviour.clients.append(client)
        self.behaviour.opened(client)
        return client


class UnmodifiedClient(SockJSConnection, Client):
    """A sockjs-tornado connection; `behaviour` is set on a subclass for each server."""

    behaviour: Behaviour
    session: Any

    def on_open(self, request: object) -> None:
        self.behaviour.clients.append(self)
        self.behaviour.opened(self)

    def on_message(self, text: object) -> None:
        self.behaviour.received.append(text)
        self.behaviour.message(self, text)  # type: ignore[arg-type]

    def on_close(self) -> None:
        self.behaviour.left.append(self)

    def send(self, text: str) -> None:
        self.session.send_message(text)

    def close(self, code: int = 3000, reason: str = "Go away!") -> None:
        self.session.close(code, reason)


@dataclass
class Server:
    """A running server."""

    kind: Kind
    port: int
    router: Any
    behaviour: Behaviour
    http: HTTPServer = field(repr=False)

    @property
    def ours(self) -> bool:
        return self.kind == "ours"

    def session(self) -> str:
        """The path of a session that nobody has used."""
        return f"{PREFIX}/000/session{next(_ids)}"


_SETTINGS = {
    "heartbeat_seconds": "heartbeat_delay",
    "disconnect_delay": "disconnect_delay",
    "response_limit": "response_limit",
    "jsessionid": "jsessionid",
}


@asynccontextmanager
async def serving(
    kind: Kind = "ours",
    behaviour: Behaviour | None = None,
    *,
    outbox: int = 1 << 20,
    upstream: dict[str, Any] | None = None,
    http: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Server]:
    """A server with settings of `TransportSettings`, as far as the unmodified package has them;
    `upstream` are more of its own; `http` are arguments of the HTTP server."""
    behaviour = behaviour or Behaviour()
    settings = TransportSettings(prefix=PREFIX, **options)
    router: Any
    if kind == "ours":
        router = Endpoint(OurApplication(behaviour, outbox), settings)
        limits: dict[str, Any] = server_limits(settings)
    else:
        client = type("Unmodified", (UnmodifiedClient,), {"behaviour": behaviour})
        named = {_SETTINGS[name]: value for name, value in options.items() if name in _SETTINGS}
        if "transports" in options:
            names = {"xhr-polling": "xhr", "xhr-streaming": "xhr_streaming"}
            enabled = {names.get(name, name) for name in options["transports"]}
            known = {"websocket", "xhr", "xhr_streaming", "eventsource", "jsonp", "htmlfile"}
            named["disabled_transports"] = sorted(known - enabled)
        named["session_check_interval"] = 0.05
        router = SockJSRouter(client, PREFIX, named | (upstream or {}))
        limits = {}
    running = HTTPServer(Routes(router.urls), **limits | (http or {}))
    [listening] = bind_sockets(0, "127.0.0.1")
    running.add_sockets([listening])
    try:
        yield Server(kind, listening.getsockname()[1], router, behaviour, running)
    finally:
        running.stop()
        await running.close_all_connections()
        if kind == "ours":
            router.close()
        else:
            router._sessions_cleanup.stop()
            router.stats._callback.stop()


async def until(condition: Callable[[], object], *, within: float = 5.0) -> None:
    """Wait until `condition` holds; fails when it does not in time (seconds)."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.01)

"""A node's part in a cluster: announced, found, asked, and asking."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets, bind_unix_socket
from tornado.routing import Rule, URLSpec

from roomline.broker import Signals
from roomline.cluster.announcement import Announcement, State
from roomline.cluster.forwarding import FROM_HEADER, Forward, forwarding_rule
from roomline.cluster.links import connect
from roomline.cluster.membership import Membership, Peer
from roomline.cluster.serving import NodeServer, SealedServer, node_application
from roomline.cluster.settings import ClusterSettings
from roomline.core.counters import Counters
from roomline.core.standing import Standing

_BACKLOG: Final = 1024
_CONNECT_SECONDS: Final = 3.0
_MEET_SECONDS: Final = 2.0
"""How long a node waits at its start for those of which it knows that they are there."""

_PART_SECONDS: Final = 2.0
_HEADS: Final = {"max_header_size": 65_536}
"""What is handed on was bounded where it came in, and is longer now: bytes beyond ASCII are written
as three, and headers tell whom it is from."""

log = logging.getLogger(__name__)


class Cluster:
    """Hands requests to the nodes that have their sessions, and serves those that are handed to
    this one. Made while the event loop runs."""

    def __init__(
        self,
        settings: ClusterSettings,
        signals: Signals,
        counters: Counters,
        *,
        pattern: str,
        urls: list[URLSpec],
        holds: Callable[[str], bool],
        standing: Callable[[], Standing],
        let_go: Callable[[Callable[[HTTPServerRequest], bool]], None],
        limits: dict[str, Any],
    ) -> None:
        """`pattern` and `urls` are those of the endpoint's requests, `holds` says whether it has
        a session, `let_go` has it end responses, `standing` says how the node stands towards new
        clients, `limits` are arguments for ``tornado.httpserver.HTTPServer``. Listens; raises
        `OSError`."""
        self.body_bytes = settings.body_bytes
        self.silence_seconds = settings.silence_seconds
        self.holds = holds
        self.under_way: set[Forward] = set()
        self._let_go = let_go
        self._settings = settings
        self._signals = signals
        self._counters = counters
        id = secrets.token_hex(8)
        self.local = node_application(id, standing, pattern, holds, urls, settings.body_bytes)
        self._servers: list[NodeServer] = []
        self._path = Path(settings.directory, f"{id}.node") if settings.directory else None
        if self._path is not None:
            server = NodeServer(self.local, **limits | _HEADS)
            server.add_socket(bind_unix_socket(str(self._path), 0o600, _BACKLOG))
            self._servers.append(server)
        port = 0
        if settings.host:
            sockets = bind_sockets(settings.port, settings.host, backlog=_BACKLOG)
            port = sockets[0].getsockname()[1]
            sealed = SealedServer(self.local, **limits | _HEADS)
            sealed.key = settings.key
            sealed.add_sockets(sockets)
            self._servers.append(sealed)
        own = Announcement(
            id=id,
            name=settings.name,
            since=settings.since,
            socket=str(self._path or ""),
            host=settings.host,
            port=port,
        )
        self.membership = Membership(
            own,
            settings.key,
            send=signals.send,
            connect=self._connect,
            standing=standing,
            changed=self._count,
            parting=self._part,
        )
        self._met = asyncio.Event()
        self.rule: Rule = forwarding_rule(self, pattern)
        """To be put before the rules of the endpoint."""
        self._count(1)

    def bound_files(self, max_files: int) -> None:
        """Close connections of other nodes whose descriptors are not below this, and count them."""
        for server in self._servers:
            server.max_files = max_files
            server.refused = self._counters.refused

    async def start(self) -> None:
        """Announce this node; returns when those that are known to be there have been met, or
        after a moment. Raises `BrokerError`."""
        await self._signals.start(self.membership.take)
        self.membership.start()
        try:
            await asyncio.wait_for(self._met.wait(), _MEET_SECONDS)
        except TimeoutError:
            log.info("there are %d nodes yet", len(self.membership))

    def drain(self) -> None:
        """Tell the others that this node opens no more sessions; they go on to ask it for those
        that it has."""
        self.membership.say(State.DRAINING)

    async def close(self) -> None:
        """Leave; what is under way gets a moment to end, because the others let go of it."""
        self.membership.say(State.LEFT)
        clock = asyncio.get_running_loop().time
        deadline = clock() + _PART_SECONDS
        while self.under_way and clock() < deadline:
            await asyncio.sleep(0.1)
            self.membership.say(State.LEFT)  # something may have been on its way there
        await self.membership.close()
        await self._signals.close()
        for server in self._servers:
            server.stop()
            await server.close_all_connections()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    # What forwarded requests ask.

    async def connect(self, peer: Peer) -> IOStream:
        """A connection over which a request is handed to a node; raises one of `LinkError`."""
        return await self._connect(peer.announced)

    def forwarded(self, outcome: str) -> None:
        """What has become of one."""
        self._counters.forwarded[outcome] += 1

    async def _connect(self, to: Announcement) -> IOStream:
        settings = self._settings
        return await connect(
            to, directory=settings.directory, key=settings.key, within=_CONNECT_SECONDS
        )

    def _part(self, id: str) -> None:
        """A node is about to go: responses that pass through it should be over by then."""
        self._let_go(lambda request: request.headers.get(FROM_HEADER) == id)

    def _count(self, nodes: int) -> None:
        self._counters.nodes = nodes
        if nodes >= self._settings.expected:
            self._met.set()

"""The composition root: what settings say becomes a node with two ports.

::

    Settings ─▶ broker, control log, requests ─▶ Node ─▶ Cluster (other nodes)  ─▶ public port
                                                      ├▶ Endpoint (SockJS)      ─▶ the same
                                                      ├▶ Proxy (the upstream)   ─▶ the same
                                                      ├▶ RoomEvents (streams)   ─▶ the same
                                                      └▶ internal_application   ─▶ internal port

What makes processes of it, and ends them, is `roomline.running`.
"""

import asyncio
import contextlib
import socket
import time

from tornado.routing import AnyMatches, Rule
from tornado.web import Application

from roomline import inspector, logs
from roomline.broker import BrokerError
from roomline.cluster import Cluster
from roomline.config import Settings
from roomline.core.policy import Policy
from roomline.elsewhere import Elsewhere
from roomline.from_settings import (
    CLOSE_SECONDS,
    Place,
    files_wanted,
    make_broker,
    make_cluster_settings,
    make_control,
    make_held_settings,
    make_limits,
    make_policy,
    make_proxy_settings,
    make_requests,
    make_signals,
    make_transport_settings,
    outgoing_wanted,
)
from roomline.hosts import host_rules
from roomline.http import INTERNAL_LIMITS, internal_application
from roomline.http.handler import NothingHere
from roomline.httpserver import GatewayServer, raise_file_limit
from roomline.listening import StartError, bind, url_of
from roomline.node import Node
from roomline.proxy import Keeper, Proxy, RoomEvents
from roomline.transport import Endpoint, TransportSettings, own_origin, server_limits


class Gateway:
    """One node with its two ports. Made while the event loop runs."""

    def __init__(self, settings: Settings, place: Place | None = None) -> None:
        """Bind the ports; nobody is served yet. Raises `StartError`. `place` is this node's among
        the processes that share the port for clients; None: it is alone."""
        place = place or Place(0, int(1000 * time.time()))
        self._settings = settings
        _check_moderation(settings)
        shared = bool(place.directory)
        internal_port = settings.internal_port and settings.internal_port + place.number
        with contextlib.ExitStack() as undo:
            public = bind("", settings.host, settings.port, undo, shared=shared)
            internal = bind("internal_", settings.internal_host, internal_port, undo)
            self.url = url_of(public, settings.host) + settings.prefix
            self.internal_url = url_of(internal, settings.internal_host)
            try:
                broker, control = make_broker(settings), make_control(settings)
                requests = make_requests(settings)
            except BrokerError as error:
                raise StartError(f"broker: {error}") from None
            undo.pop_all()
        self._public_sockets, self._internal_sockets = public, internal
        name = settings.node or f"{socket.gethostname()}:{public[0].getsockname()[1]}"
        if shared:
            name = f"{name}-{place.number}"
        policy = make_policy(settings)
        self.node = Node(
            broker,
            policy,
            make_limits(settings),
            control=control,
            name=name,
            requests=requests,
            publishers=settings.publishers,
        )
        options = make_transport_settings(settings)
        self._endpoint = Endpoint(self.node, options)
        self._keeper = Keeper(self.node, make_held_settings(settings))
        endpoint = self._endpoint
        self._events = RoomEvents(
            self._keeper, policy, endpoint.origins, own_origin, endpoint.registry.let_come
        )
        self.node.counters.restarts = place.restarts
        self._cluster = self._make_cluster(place, options)
        self._elsewhere = self._make_elsewhere()
        upstream = make_proxy_settings(settings)
        self._proxy = Proxy(self._keeper, upstream) if upstream else None
        self._public = GatewayServer(
            Application(
                self._routes(), default_handler_class=NothingHere, log_function=logs.no_access
            ),
            **server_limits(options),
        )
        self._public.trusted_proxies = settings.trusted_proxies
        # Counted where it happens, shown with all else.
        self._public.refused = self._endpoint.registry.refused = self.node.counters.refused
        self._public.max_files = raise_file_limit(files_wanted(settings), outgoing_wanted(settings))
        # One address must leave room for others, however few files there are.
        self._public.per_address = min(
            settings.connections_per_address, max(1, self._public.max_files // 2)
        )
        if self._cluster is not None:
            self._cluster.bound_files(self._public.max_files)
        self._internal = GatewayServer(
            internal_application(
                self.node,
                policy,
                settings.api_tokens,
                host_rules(settings.internal_hosts),
                inspector.routes(self._inspected(policy)),
            ),
            **INTERNAL_LIMITS,
        )

    def _inspected(self, policy: Policy) -> inspector.Subject:
        return inspector.Subject(
            self.node,
            policy,
            self._settings.inspect_tokens,
            self._settings.inspect_data,
            broker=self._settings.broker.partition(":")[0],
            others=self._other_nodes,
        )

    def _other_nodes(self) -> list[inspector.OtherNode]:
        others = self._cluster.membership.others if self._cluster else ()
        return [inspector.OtherNode(said.name, said.state.value, said.since) for said in others]

    def _make_cluster(self, place: Place, options: TransportSettings) -> Cluster | None:
        settings = make_cluster_settings(self._settings, place, self.node.name)
        if settings is None:
            return None
        try:
            return Cluster(
                settings,
                make_signals(self._settings, place),
                self.node.counters,
                pattern=self._endpoint.lasting_paths,
                urls=self._endpoint.urls,
                holds=self._endpoint.holds,
                standing=lambda: self.node.standing,
                let_go=self._endpoint.let_go,
                limits=server_limits(options),
            )
        except BrokerError as error:
            raise StartError(f"broker: {error}") from None
        except (OSError, UnicodeError) as error:
            blamed = "cluster_address" if settings.host else "processes"
            where = f"{settings.host} port {settings.port}" if settings.host else place.directory
            raise StartError(
                f"{blamed}: other nodes cannot be listened for at {where}:"
                f" {getattr(error, 'strerror', None) or error}"
            ) from None

    def _make_elsewhere(self) -> Elsewhere | None:
        if self._cluster is None:
            return None
        return Elsewhere(
            self.node,
            self._keeper,
            self._cluster,
            timeout=self._settings.cut_off_timeout,
            spread=self._settings.drain,
        )

    def _routes(self) -> list[Rule]:
        first = [*host_rules(self._settings.hosts), self._events.rule(self._settings.prefix)]
        if self._cluster is not None:
            first.append(self._cluster.rule)
        if self._proxy is None:
            return [*first, *self._endpoint.urls]
        # Django may have paths under the endpoint's prefix, too.
        return [*first, *self._endpoint.own_urls, Rule(AnyMatches(), self._proxy)]

    async def start(self) -> None:
        """Serve. Readiness tells when the log has been read. Raises `StartError`; close then."""
        self._internal.add_sockets(self._internal_sockets)
        joining = [self._cluster.start()] if self._cluster else []
        try:
            await asyncio.gather(self.node.start(), *joining)
        except BrokerError as error:
            raise StartError(f"broker: {error}") from error
        self._public.add_sockets(self._public_sockets)
        if self._elsewhere is not None:
            self._elsewhere.start()

    async def drain(self) -> None:
        """Send the clients elsewhere; both ports serve meanwhile, readiness says no. Whoever is
        there in the end gets a moment to read why it is closed."""
        seconds = self._settings.drain
        if self._elsewhere is not None:
            self._elsewhere.stop()
        if self._cluster is not None:
            self._cluster.drain()
        ends = [self._proxy.drain(seconds)] if self._proxy else []
        await asyncio.gather(self.node.drain(seconds), self._keeper.drain(seconds), *ends)
        clock = asyncio.get_running_loop().time
        deadline = clock() + CLOSE_SECONDS
        while self._endpoint.sessions and clock() < deadline:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """End everything now. Publications on their way get a bounded time."""
        if self._elsewhere is not None:
            self._elsewhere.stop()
        self._public.stop()
        await self.node.close()
        if self._cluster is not None:
            await self._cluster.close()
        self._endpoint.close()
        self._keeper.close()
        if self._proxy is not None:
            self._proxy.close()
        for server in (self._public, self._internal):
            server.stop()
            await server.close_all_connections()
        for each in self._public_sockets + self._internal_sockets:
            each.close()


def _check_moderation(settings: Settings) -> None:
    """Raise `StartError` for moderated namespaces to which nothing could ever be published."""
    moderated = [name for name, rules in settings.namespaces.items() if rules.moderate]
    if moderated and not settings.requests:
        raise StartError(
            f"namespaces: {', '.join(moderated)} has moderate, and requests is false; moderation"
            " needs requests = true"
        )

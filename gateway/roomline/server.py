"""The composition root: settings become a broker, a node, and two ports; signals end them.

::

    Settings ─▶ broker, control log ─▶ Node ─▶ Endpoint (SockJS)      ─▶ public port
                                            └▶ internal_application   ─▶ internal port
"""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tornado.netutil import bind_sockets
from tornado.web import Application

from roomline import logs
from roomline.broker import Broker, BrokerError, Log
from roomline.brokers.embedded import EmbeddedBroker, control_log
from roomline.config import Settings
from roomline.core.limits import NodeLimits
from roomline.core.policy import Policy
from roomline.http import INTERNAL_LIMITS, internal_application
from roomline.http.handler import NothingHere
from roomline.httpserver import GatewayServer, raise_file_limit
from roomline.node import Node
from roomline.transport import Endpoint, TransportSettings, server_limits

if TYPE_CHECKING:
    from roomline.brokers.rabbitmq_settings import RabbitMQSettings

T = TypeVar("T")

_BACKLOG: Final = 1024
"""Connections that may wait to be accepted: a whole node's clients may come at once."""
_CLOSE_SECONDS: Final = 5.0
"""How long clients may take to fetch their close frames at the end."""
_OF_THE_PORT: Final = (errno.EADDRINUSE, errno.EACCES)
"""What the setting of the port can mend; the rest is the host's."""

log = logging.getLogger(__name__)


class StartError(Exception):
    """The gateway cannot start with these settings on this machine; the text says why."""


def make_broker(settings: Settings) -> Broker:
    """The broker that the settings name, not started. Raises `BrokerError`."""
    kind, _, path = settings.broker.partition(":")
    if kind == "embedded":
        return EmbeddedBroker(
            path,
            settings.namespaces,
            retention_seconds=settings.retention_seconds,
            retention_bytes=settings.retention_bytes,
            # Encoded for clients, publications are longer than their bodies.
            bytes_per_turn=settings.outbox_bytes // 4,
        )
    # Here, so that nobody without a RabbitMQ pays for its client.
    from roomline.brokers.rabbitmq import RabbitMQBroker

    return _on_rabbitmq(RabbitMQBroker, settings)


def make_control(settings: Settings) -> Log:
    """The log of revocations beside that broker, not started. Raises `BrokerError`."""
    kind, _, path = settings.broker.partition(":")
    if kind == "embedded":
        return control_log(path)
    from roomline.brokers.rabbitmq import RabbitMQControlLog

    return _on_rabbitmq(RabbitMQControlLog, settings)


def _on_rabbitmq(make: "Callable[[RabbitMQSettings], T]", settings: Settings) -> T:
    from roomline.brokers.rabbitmq_settings import InvalidSetting, RabbitMQSettings

    try:
        return make(
            RabbitMQSettings(
                url=settings.broker,
                namespaces=tuple(settings.namespaces),
                ca_file=_path(settings.broker_ca),
                certificate_file=_path(settings.broker_certificate),
                key_file=_path(settings.broker_key),
                max_age=int(settings.retention_seconds),
                max_bytes=settings.retention_bytes,
            )
        )
    except InvalidSetting as error:
        raise BrokerError(str(error)) from None


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def make_policy(settings: Settings) -> Policy:
    """The rules of the rooms."""
    return Policy(settings.namespaces, settings.keys, settings.anonymous)


def make_limits(settings: Settings) -> NodeLimits:
    """What the node lets one client do."""
    return NodeLimits(
        message_bytes=settings.message_bytes,
        outbox_bytes=settings.outbox_bytes,
        subscriptions=settings.subscriptions,
        unconfirmed=settings.unconfirmed,
        commands_per_second=settings.commands_per_second,
        commands_burst=settings.commands_burst,
        publications_per_second=settings.publications_per_second,
        publications_burst=settings.publications_burst,
        new_rooms_per_minute=settings.new_rooms_per_minute,
        new_rooms_burst=settings.new_rooms_burst,
        connect_timeout=settings.connect_timeout,
        history_bytes=settings.history_bytes,
        forget_rooms_after=settings.retention_seconds,
        dedup_window=settings.dedup_window,
    )


def make_transport_settings(settings: Settings) -> TransportSettings:
    """What the SockJS endpoint offers and bounds."""
    return TransportSettings(
        prefix=settings.prefix,
        allowed_origins=frozenset(settings.origins),
        transports=frozenset(settings.transports),
        message_bytes=settings.message_bytes,
        # JSON inside JSON may be twice as long; and a POST may carry several messages.
        body_bytes=8 * settings.message_bytes,
        sessions=settings.sessions,
        sessions_per_address=settings.sessions_per_address,
        heartbeat_seconds=settings.heartbeat,
        disconnect_delay=settings.disconnect_delay,
        close_seconds=_CLOSE_SECONDS,
        response_limit=settings.response_limit,
    )


class Gateway:
    """One node with its two ports. Made while the event loop runs."""

    def __init__(self, settings: Settings) -> None:
        """Bind the ports; nobody is served yet. Raises `StartError`."""
        self._settings = settings
        with contextlib.ExitStack() as undo:
            public = self._bind("", settings.host, settings.port, undo)
            internal = self._bind("internal_", settings.internal_host, settings.internal_port, undo)
            self.url = _url(public, settings.host) + settings.prefix
            self.internal_url = _url(internal, settings.internal_host)
            try:
                broker, control = make_broker(settings), make_control(settings)
            except BrokerError as error:
                raise StartError(f"broker: {error}") from None
            undo.pop_all()
        self._public_sockets, self._internal_sockets = public, internal
        port = public[0].getsockname()[1]
        policy = make_policy(settings)
        self.node = Node(
            broker,
            policy,
            make_limits(settings),
            control=control,
            name=settings.node or f"{socket.gethostname()}:{port}",
            publishers=settings.publishers,
        )
        options = make_transport_settings(settings)
        self._endpoint = Endpoint(self.node, options)
        self._public = GatewayServer(
            Application(
                self._endpoint.urls, default_handler_class=NothingHere, log_function=logs.no_access
            ),
            **server_limits(options),
        )
        self._public.trusted_proxies = settings.trusted_proxies
        self._public.max_files = raise_file_limit(settings.sessions)
        self._internal = GatewayServer(
            internal_application(self.node, policy, settings.api_tokens), **INTERNAL_LIMITS
        )

    @staticmethod
    def _bind(which: str, host: str, port: int, undo: contextlib.ExitStack) -> list[socket.socket]:
        try:
            sockets = bind_sockets(port, host, backlog=_BACKLOG)
        except (OSError, UnicodeError) as error:  # the latter for what is no host name
            reason = error.strerror if isinstance(error, OSError) else error
            blamed = "port" if getattr(error, "errno", None) in _OF_THE_PORT else "host"
            raise StartError(
                f"{which}{blamed}: port {port} of {host} cannot be listened on: {reason}"
            ) from None
        for each in sockets:
            undo.callback(each.close)
        return sockets

    async def start(self) -> None:
        """Serve. Readiness tells when the log has been read. Raises `StartError`; close then."""
        self._internal.add_sockets(self._internal_sockets)
        try:
            await self.node.start()
        except BrokerError as error:
            raise StartError(f"broker: {error}") from error
        self._public.add_sockets(self._public_sockets)

    async def drain(self) -> None:
        """Send the clients elsewhere; both ports serve meanwhile, readiness says no. Whoever is
        there in the end gets a moment to read why it is closed."""
        await self.node.drain(self._settings.drain)
        clock = asyncio.get_running_loop().time
        deadline = clock() + _CLOSE_SECONDS
        while self._endpoint.sessions and clock() < deadline:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """End everything now. Publications on their way get a bounded time."""
        await self.node.close()
        self._endpoint.close()
        for server in (self._public, self._internal):
            server.stop()
            await server.close_all_connections()
        for each in self._public_sockets + self._internal_sockets:
            each.close()


def serve(settings: Settings) -> int:
    """Run a gateway until a signal ends it; returns the exit status.

    Prints one line on standard output when it serves. The first SIGTERM or SIGINT drains it, the
    second ends it at once.
    """
    logs.set_up(settings.log_level, settings.log_format)
    if settings.keys is None and not settings.anonymous:
        log.warning("nobody can connect: there are no keys, and anonymous is false")
    try:
        asyncio.run(_serve(settings))
    except StartError as error:
        print(f"roomline: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.log_loop_exception)
    gateway = Gateway(settings)
    with _signals(loop) as (drain, end):
        try:
            await _unless(end, gateway.start())
            if not drain.is_set():
                print(
                    f"roomline: serving {gateway.url}, internal {gateway.internal_url}", flush=True
                )
            await drain.wait()
            log.info("draining: clients are sent elsewhere within %g s", settings.drain)
            await _unless(end, gateway.drain())
        finally:
            await gateway.close()
    log.info("ended")


@contextlib.contextmanager
def _signals(
    loop: asyncio.AbstractEventLoop,
) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Two events: the first signal sets the first, another one the second."""
    drain, end = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (end if drain.is_set() else drain).set()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, signalled)
    try:
        yield drain, end
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do some work, or drop it when the event is set."""
    doing, waiting = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
    finally:
        for task in (doing, waiting):
            task.cancel()
        await asyncio.gather(doing, waiting, return_exceptions=True)


def _url(sockets: list[socket.socket], host: str) -> str:
    """Where the sockets can be reached, as far as this machine can know."""
    port = sockets[0].getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

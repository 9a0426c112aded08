"""What the settings say, as the parts of a gateway and as the values that the others take.

Nothing is started, and no port is opened here.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from roomline.broker import Broker, BrokerError, Log, Requests, Signals
from roomline.brokers.all_signals import AllSignals
from roomline.brokers.embedded import EmbeddedBroker, control_log
from roomline.brokers.embedded_requests import EmbeddedRequests
from roomline.brokers.embedded_signals import EmbeddedSignals
from roomline.cluster import ClusterSettings
from roomline.config import Settings
from roomline.core.limits import NodeLimits
from roomline.core.policy import Policy
from roomline.proxy import HeldSettings, ProxySettings
from roomline.sqlitequeue import QUEUE_SUFFIX
from roomline.transport import TransportSettings
from roomline.writer import PATIENCE

if TYPE_CHECKING:
    from roomline.brokers.rabbitmq_settings import RabbitMQSettings

T = TypeVar("T")

CLOSE_SECONDS: Final = 5.0
"""How long clients may take to fetch their close frames at the end."""


class Place(NamedTuple):
    """A node's place among the processes of one machine that share the port for clients."""

    number: int
    """From 0."""
    since: int
    """When it began, in milliseconds since the epoch."""
    restarts: int = 0
    """How often the process of this number was started again."""
    directory: str = ""
    """Where the processes have their sockets; empty: there is one process."""
    key: bytes = b""
    """What the processes know and nobody else."""


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

    return on_rabbitmq(RabbitMQBroker, settings)


def make_control(settings: Settings) -> Log:
    """The log of revocations beside that broker, not started. Raises `BrokerError`."""
    kind, _, path = settings.broker.partition(":")
    if kind == "embedded":
        return control_log(path)
    from roomline.brokers.rabbitmq import RabbitMQControlLog

    return on_rabbitmq(RabbitMQControlLog, settings)


def make_requests(settings: Settings) -> Requests | None:
    """The way of requests beside that broker, not started; None where there are none. Raises
    `BrokerError`."""
    if not settings.requests:
        return None
    kind, _, path = settings.broker.partition(":")
    if kind == "embedded":
        return EmbeddedRequests(path + QUEUE_SUFFIX)
    from roomline.brokers.rabbitmq_requests import RabbitMQRequests

    return on_rabbitmq(partial(RabbitMQRequests, publishers=settings.publishers), settings)


def make_signals(settings: Settings, place: Place) -> Signals:
    """The ways of signals to other processes and to other machines, not started. Raises
    `BrokerError`."""
    ways: list[Signals] = []
    if place.directory:
        ways.append(EmbeddedSignals(place.directory))
    if settings.cluster_address:
        from roomline.brokers.rabbitmq_signals import RabbitMQSignals

        ways.append(on_rabbitmq(RabbitMQSignals, settings))
    return AllSignals(ways)


def on_rabbitmq(make: "Callable[[RabbitMQSettings], T]", settings: Settings) -> T:
    """What is made for the RabbitMQ that the settings name. Raises `BrokerError`."""
    from roomline.brokers.rabbitmq_settings import InvalidSetting

    try:
        return make(make_rabbitmq_settings(settings))
    except InvalidSetting as error:
        raise BrokerError(str(error)) from None


def make_rabbitmq_settings(settings: Settings) -> "RabbitMQSettings":
    """How to reach the RabbitMQ that the settings name. Raises `InvalidSetting`."""
    from roomline.brokers.rabbitmq_settings import RabbitMQSettings

    return RabbitMQSettings(
        url=settings.broker,
        namespaces=tuple(settings.namespaces),
        ca_file=_path(settings.broker_ca),
        certificate_file=_path(settings.broker_certificate),
        key_file=_path(settings.broker_key),
        max_age=int(settings.retention_seconds),
        max_bytes=settings.retention_bytes,
    )


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
        unanswered=settings.unanswered,
        commands_per_second=settings.commands_per_second,
        commands_burst=settings.commands_burst,
        publications_per_second=settings.publications_per_second,
        publications_burst=settings.publications_burst,
        bytes_per_second=settings.bytes_per_second,
        # What a single message may have must pass.
        bytes_burst=max(settings.bytes_burst, settings.message_bytes),
        sessions_worth_per_address=settings.sessions_worth_per_address,
        sessions_worth=settings.sessions_worth,
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
        new_sessions_per_second=settings.new_sessions_per_second,
        new_sessions_burst=settings.new_sessions_burst,
        heartbeat_seconds=settings.heartbeat,
        disconnect_delay=settings.disconnect_delay,
        close_seconds=CLOSE_SECONDS,
        response_limit=settings.response_limit,
    )


def make_proxy_settings(settings: Settings) -> ProxySettings | None:
    """How the server behind the gateway is spoken to, if there is one."""
    if not settings.upstream:
        return None
    parts = urlsplit(settings.upstream)
    return ProxySettings(
        host=parts.hostname or "",
        port=parts.port or 0,
        timeout=settings.upstream_timeout,
        requests=settings.upstream_requests,
        requests_per_address=max(1, settings.upstream_requests // 4),
        body_bytes=settings.upstream_body_bytes,
    )


def make_held_settings(settings: Settings) -> HeldSettings:
    """How many responses are held, and what of each is kept."""
    return HeldSettings(
        held=settings.held_responses,
        held_per_address=settings.sessions_per_address,
        outbox_bytes=settings.outbox_bytes,
        heartbeat_seconds=settings.heartbeat,
    )


def make_cluster_settings(settings: Settings, place: Place, name: str) -> ClusterSettings | None:
    """The node's part in a cluster; None if there are no other nodes."""
    if not place.directory and not settings.cluster_address:
        return None
    host, _, port = settings.cluster_address.rpartition(":")
    return ClusterSettings(
        name=name,
        key=settings.cluster_key.encode() or place.key,
        since=place.since,
        directory=place.directory,
        host=host.strip("[]"),
        port=int(port or 0) + place.number,
        expected=settings.processes if place.directory else 1,
        body_bytes=8 * settings.message_bytes,
        silence_seconds=PATIENCE * settings.heartbeat,
    )


def files_wanted(settings: Settings) -> int:
    """How many files a node has open when it is full of clients."""
    outgoing = outgoing_wanted(settings)
    return settings.sessions + settings.held_responses + 2 * outgoing


def outgoing_wanted(settings: Settings) -> int:
    """How many of them lead to the upstream: these must be there when clients take all they can."""
    return settings.upstream_requests if settings.upstream else 0

"""Every setting, declared once: flags, variables, TOML keys and the documentation follow."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final, TypeVar

from roomline.config import kinds, values
from roomline.config.kinds import Kind
from roomline.config.values import Network
from roomline.core.limits import NodeLimits
from roomline.core.policy import Namespace
from roomline.tokens import Keyring
from roomline.transport.settings import TransportSettings

T = TypeVar("T")

TRANSPORTS: Final = ("websocket", "xhr-streaming", "eventsource", "xhr-polling")

_NODE: Final = NodeLimits()
_ENDPOINT: Final = TransportSettings()
_LOG = "The log and its rooms"
_LISTENING = "Listening"
_ACCESS = "Access"
_LIMITS = "Limits on what clients may do"
_OPERATION = "Operation"
GROUPS: Final = (_LOG, _LISTENING, _ACCESS, _LIMITS, _OPERATION)
CONSOLE_GROUPS: Final = (_LOG,)
"""What `roomline publish` and `roomline tail` have flags for."""


@dataclass(frozen=True)
class Declaration:
    """What is known of a setting beside its type. A secret has no flag, because arguments are
    visible to everybody on the machine; it may stand in a file that ``NAME_file`` names."""

    name: str
    group: str
    kind: Kind[Any]
    default: Any
    help: str
    secret: bool = False


def _setting(group: str, kind: Kind[T], default: T, help: str, *, secret: bool = False) -> T:
    declared: Any = field(
        default_factory=lambda: default,
        repr=not secret,
        metadata={"group": group, "kind": kind, "help": help, "secret": secret},
    )
    return declared  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a gateway. All durations are in seconds, all sizes in bytes.

    `roomline.config.load` makes one from a file, the environment and flags; the values of one
    made directly are taken as they are.
    """

    broker: str = _setting(
        _LOG,
        values.broker,
        "embedded:roomline.sqlite3",
        "the log: a file that the processes of one machine share, or a RabbitMQ. A password is"
        " better put into the environment or the settings file than into a flag",
    )
    broker_ca: str = _setting(
        _LOG,
        values.file,
        "",
        "certificates (PEM) of the authorities that amqps trusts; empty: the system's",
    )
    broker_certificate: str = _setting(
        _LOG, values.file, "", "the gateway's own certificate (PEM) for amqps"
    )
    broker_key: str = _setting(_LOG, values.file, "", "the key (PEM) of that certificate")
    namespaces: Mapping[str, Namespace] = _setting(
        _LOG,
        values.namespaces,
        values.BUILT_IN_NAMESPACES,
        "the namespaces: who may read and write their rooms, how many publications of a room are"
        " held in memory and for how long. user, system and admin are always there, and what is"
        " not said about a new one is read=token,write=token,history=100,history_age=86400",
    )
    publishers: frozenset[str] = _setting(
        _LOG,
        values.names,
        frozenset(),
        "broker users whose word on sender and kind, and whose revocations, count, beside the"
        " gateway's own",
    )
    retention_seconds: float = _setting(
        _LOG,
        kinds.seconds(60, 3650 * 86_400),
        7 * 86_400,
        "how long publications stay in the log",
    )
    retention_bytes: int = _setting(
        _LOG,
        kinds.size(1 << 20, 1 << 40),
        256 << 20,
        "how large the log grows. A node reads all of it when it starts",
    )
    dedup_window: int = _setting(
        _LOG,
        kinds.whole(0, 1_000_000),
        _NODE.dedup_window,
        "log entries within which a repeated publish is recognised. The same on every node",
    )

    host: str = _setting(
        _LISTENING,
        kinds.matching(r"[A-Za-z0-9.:_-]{1,255}", "an address or host name", "HOST"),
        "127.0.0.1",
        "where clients are served; 0.0.0.0 or :: for every address of the machine",
    )
    port: int = _setting(
        _LISTENING, kinds.whole(0, 65535), 8001, "the port for clients; 0: any free one"
    )
    prefix: str = _setting(
        _LISTENING,
        kinds.matching(
            r"(/[A-Za-z0-9_-]+)+", "a path such as /roomline, without a slash at its end", "PATH"
        ),
        "/roomline",
        "the path of the SockJS endpoint",
    )
    transports: tuple[str, ...] = _setting(
        _LISTENING, kinds.choices(*TRANSPORTS), TRANSPORTS, "the SockJS transports on offer"
    )
    origins: tuple[str, ...] = _setting(
        _LISTENING,
        values.origins,
        (),
        "origins of pages that may connect, beside those of the endpoint's own scheme, host and"
        " port",
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        _LISTENING,
        values.networks,
        (),
        "reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed",
    )
    internal_host: str = _setting(
        _LISTENING,
        kinds.matching(r"[A-Za-z0-9.:_-]{1,255}", "an address or host name", "HOST"),
        "127.0.0.1",
        "where health, metrics and the HTTP API are served",
    )
    internal_port: int = _setting(
        _LISTENING, kinds.whole(0, 65535), 8002, "the port for these; 0: any free one"
    )

    keys: Keyring | None = _setting(  # noqa: RUF009 - it is a field like the others
        _ACCESS,
        values.keys,
        None,
        "the keys that sign tokens, the current one first. Without one no token is accepted",
        secret=True,
    )
    anonymous: bool = _setting(
        _ACCESS, kinds.switch, False, "whether clients may connect without a token"
    )
    api_tokens: tuple[str, ...] = _setting(
        _ACCESS,
        values.tokens,
        (),
        "bearer tokens for the HTTP API, each good by itself. Without one the API is off",
        secret=True,
    )

    message_bytes: int = _setting(
        _LIMITS,
        kinds.size(1024, 1 << 20),
        _NODE.message_bytes,
        "the longest message that a client may send",
    )
    outbox_bytes: int = _setting(
        _LIMITS,
        kinds.size(16 << 10, 1 << 30),
        _NODE.outbox_bytes,
        "what may wait for one client; beyond it the client is disconnected and comes back",
    )
    response_limit: int = _setting(
        _LIMITS,
        kinds.size(4096, 1 << 30),
        _ENDPOINT.response_limit,
        "bytes after which a streaming response ends and the client asks for the next",
    )
    sessions: int = _setting(
        _LIMITS, kinds.whole(1, 1_000_000), _ENDPOINT.sessions, "sessions of this node"
    )
    sessions_per_address: int = _setting(
        _LIMITS,
        kinds.whole(1, 1_000_000),
        _ENDPOINT.sessions_per_address,
        "sessions from one address. Behind a reverse proxy set trusted_proxies, or else all"
        " clients count as one address",
    )
    subscriptions: int = _setting(
        _LIMITS, kinds.whole(1, 10_000), _NODE.subscriptions, "subscriptions of one session"
    )
    commands_per_second: float = _setting(
        _LIMITS,
        kinds.rate(0.1, 100_000),
        _NODE.commands_per_second,
        "commands of one session, on average",
    )
    commands_burst: int = _setting(
        _LIMITS, kinds.whole(1, 100_000), _NODE.commands_burst, "commands of one session at once"
    )
    publications_per_second: float = _setting(
        _LIMITS,
        kinds.rate(0.01, 100_000),
        _NODE.publications_per_second,
        "publications of one session, on average",
    )
    publications_burst: int = _setting(
        _LIMITS,
        kinds.whole(1, 100_000),
        _NODE.publications_burst,
        "publications of one session at once",
    )
    unconfirmed: int = _setting(
        _LIMITS,
        kinds.whole(1, 10_000),
        _NODE.unconfirmed,
        "publications of one session that may wait for the broker",
    )
    new_rooms_per_minute: float = _setting(
        _LIMITS,
        kinds.rate(0.1, 100_000),
        _NODE.new_rooms_per_minute,
        "rooms without a publication that one user may publish to, on average",
    )
    new_rooms_burst: int = _setting(
        _LIMITS,
        kinds.whole(1, 100_000),
        _NODE.new_rooms_burst,
        "rooms without a publication that one user may publish to at once",
    )
    history_bytes: int = _setting(
        _LIMITS,
        kinds.size(1 << 20, 1 << 40),
        _NODE.history_bytes,
        "memory for the histories of all rooms",
    )
    connect_timeout: float = _setting(
        _LIMITS,
        kinds.seconds(1, 3600),
        _NODE.connect_timeout,
        "how long a session may take until it has connected",
    )
    heartbeat: float = _setting(
        _LIMITS, kinds.seconds(1, 3600), _ENDPOINT.heartbeat_seconds, "time between two heartbeats"
    )
    disconnect_delay: float = _setting(
        _LIMITS,
        kinds.seconds(1, 3600),
        _ENDPOINT.disconnect_delay,
        "how long a polling client may stay away before its session ends",
    )

    node: str = _setting(
        _OPERATION,
        kinds.matching(r"[A-Za-z0-9_.:-]{0,100}", "at most 100 of A-Z a-z 0-9 _ . : -", "NAME"),
        "",
        "the name of this node, which clients see; empty: the machine's name and the port",
    )
    drain: float = _setting(
        _OPERATION,
        kinds.seconds(0, 3600),
        10.0,
        "over how long clients are sent elsewhere when the gateway is told to stop",
    )
    log_level: str = _setting(
        _OPERATION,
        kinds.choice("debug", "info", "warning", "error"),
        "info",
        "what is logged, to standard error",
    )
    log_format: str = _setting(
        _OPERATION, kinds.choice("text", "json"), "text", "how a line of the log is written"
    )


def _declaration(declared: Field[Any]) -> Declaration:
    assert callable(declared.default_factory)
    return Declaration(declared.name, default=declared.default_factory(), **declared.metadata)


DECLARATIONS: Final = {declared.name: _declaration(declared) for declared in fields(Settings)}
"""By the name of the setting, in the order in which they are shown."""

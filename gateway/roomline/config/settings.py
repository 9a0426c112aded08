"""Every setting, declared once: flags, variables, TOML keys and the documentation follow."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final, TypeVar

from roomline.config import kinds, values
from roomline.config.kinds import Kind
from roomline.config.values import Network
from roomline.core.limits import NodeLimits
from roomline.core.policy import Namespace
from roomline.proxy.settings import HeldSettings, ProxySettings
from roomline.tokens import Keyring
from roomline.transport.settings import TransportSettings

T = TypeVar("T")

TRANSPORTS: Final = (
    *("websocket", "xhr-streaming", "eventsource", "xhr-polling"),
    *("iframe", "htmlfile", "jsonp-polling"),
)
DEFAULT_TRANSPORTS: Final = TRANSPORTS[:5]

_NODE: Final = NodeLimits()
_ENDPOINT: Final = TransportSettings()
_PROXY: Final = ProxySettings(host="", port=0)
_HELD: Final = HeldSettings()
_LOG = "The log and its rooms"
_LISTENING = "Listening"
_ACCESS = "Access"
_UPSTREAM = "The server behind the gateway"
_CLUSTER = "Several machines"
_LIMITS = "Limits on what clients may do"
_OPERATION = "Operation"
GROUPS: Final = (_LOG, _LISTENING, _UPSTREAM, _CLUSTER, _ACCESS, _LIMITS, _OPERATION)
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
        " not said about a new one is read=token,write=token,history=100,history_age=86400. With"
        " moderate, what clients publish has to pass the handler of that name first",
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
        _LISTENING,
        kinds.choices(*TRANSPORTS),
        DEFAULT_TRANSPORTS,
        "the SockJS transports on offer. iframe lets pages use the others from a hidden frame;"
        " htmlfile and jsonp-polling are for browsers before 2012",
    )
    origins: tuple[str, ...] = _setting(
        _LISTENING,
        values.origins,
        (),
        "origins of pages that may connect, beside those of the endpoint's own scheme, host and"
        " port",
    )
    hosts: tuple[str, ...] = _setting(
        _LISTENING,
        values.hosts,
        (),
        "the names by which browsers reach the port for clients; others are answered 421. Empty:"
        " any name. Set them where anonymous is on and pages of strangers can reach the port",
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
    internal_hosts: tuple[str, ...] = _setting(
        _LISTENING,
        values.hosts,
        (),
        "the names by which the internal port is reached; others are answered 421. Empty: any name",
    )
    internal_port: int = _setting(
        _LISTENING,
        kinds.whole(0, 65535),
        8002,
        "the port for these; 0: any free one. With several processes it is the first one's, and"
        " counts up",
    )

    upstream: str = _setting(
        _UPSTREAM,
        values.upstream,
        "",
        "where Django is served: what is not the endpoint's is handed to it, and responses that"
        " Django wants held are held. Empty: there is nothing but the endpoint",
    )
    upstream_timeout: float = _setting(
        _UPSTREAM,
        kinds.seconds(1, 3600),
        _PROXY.timeout,
        "how long a request or its response may stand still",
    )
    upstream_requests: int = _setting(
        _UPSTREAM,
        kinds.whole(1, 100_000),
        _PROXY.requests,
        "requests that may be under way at a time, of one address a quarter of them. Held responses"
        " are not among them",
    )
    upstream_body_bytes: int = _setting(
        _UPSTREAM,
        kinds.size(0, 1 << 40),
        _PROXY.body_bytes,
        "the longest body of a request",
    )

    cluster_address: str = _setting(
        _CLUSTER,
        values.address,
        "",
        "where this node serves the nodes of other machines: an address of its own in a network"
        " that is not public. With several processes it is the first one's, and the port counts"
        " up. Empty: there are no other machines",
    )
    cluster_key: str = _setting(
        _CLUSTER,
        values.secret,
        "",
        "what all nodes know, and prove to each other that they know it. The same on every machine",
        secret=True,
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
    requests: bool = _setting(
        _ACCESS,
        kinds.switch,
        False,
        "whether clients may send requests, which Django's handlers answer. Moderation needs them",
    )
    api_tokens: tuple[str, ...] = _setting(
        _ACCESS,
        values.tokens,
        (),
        "bearer tokens for the HTTP API, each good by itself. Without one the API is off",
        secret=True,
    )
    inspect_tokens: Mapping[str, str] = _setting(
        _ACCESS,
        values.named_tokens,
        MappingProxyType({}),
        "bearer tokens for the inspector, each with the name of who holds it: who looks, ends a"
        " session or sends a notice is logged by it. Without one the inspector is off",
        secret=True,
    )
    inspect_data: bool = _setting(
        _ACCESS,
        kinds.switch,
        False,
        "whether the inspector shows the data of publications, and not only their sizes",
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
    held_responses: int = _setting(
        _LIMITS,
        kinds.whole(0, 1_000_000),
        _HELD.held,
        "responses that this node holds at a time, event streams of rooms included; from one"
        " address as many as sessions_per_address says",
    )
    new_sessions_per_second: float = _setting(
        _LIMITS,
        kinds.rate(0.1, 100_000),
        _ENDPOINT.new_sessions_per_second,
        "sessions and event streams that one address may open, on average; all addresses together"
        " as many times more as sessions is of sessions_per_address",
    )
    new_sessions_burst: int = _setting(
        _LIMITS,
        kinds.whole(1, 1_000_000),
        _ENDPOINT.new_sessions_burst,
        "sessions and event streams that one address may open at once",
    )
    connections_per_address: int = _setting(
        _LIMITS,
        kinds.whole(1, 1_000_000),
        8_000,
        "TCP connections from one address that carry no websocket. Trusted proxies may have more",
    )
    sessions_worth_per_address: int = _setting(
        _LIMITS,
        kinds.whole(1, 1_000_000),
        _NODE.sessions_worth_per_address,
        "how many single sessions' worth of commands, publications, bytes and subscriptions all"
        " sessions of one address may have together",
    )
    sessions_worth: int = _setting(
        _LIMITS,
        kinds.whole(1, 1_000_000),
        _NODE.sessions_worth,
        "how many single sessions' worth all sessions of this node may have together",
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
    bytes_per_second: int = _setting(
        _LIMITS,
        kinds.size(1024, 1 << 30),
        _NODE.bytes_per_second,
        "what one session may send in messages, on average",
    )
    bytes_burst: int = _setting(
        _LIMITS,
        kinds.size(64 << 10, 1 << 30),
        _NODE.bytes_burst,
        "what one session may send in messages at once, and always one message",
    )
    unconfirmed: int = _setting(
        _LIMITS,
        kinds.whole(1, 10_000),
        _NODE.unconfirmed,
        "publications of one session that may wait for the broker",
    )
    unanswered: int = _setting(
        _LIMITS,
        kinds.whole(1, 1000),
        _NODE.unanswered,
        "requests of one session that may wait for their answer, moderated publications included",
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
        "the name of this node, which clients see; empty: the machine's name and the port. Of"
        " several processes each has its number behind it",
    )
    processes: int = _setting(
        _OPERATION,
        kinds.whole(1, 64),
        1,
        "how many nodes are run, each in a process of its own, behind the one port for clients",
    )
    drain: float = _setting(
        _OPERATION,
        kinds.seconds(0, 3600),
        10.0,
        "over how long clients are sent elsewhere when the gateway is told to stop",
    )
    cut_off_timeout: float = _setting(
        _OPERATION,
        kinds.seconds(1, 86_400),
        60.0,
        "after how long a node that cannot read the log sends its clients elsewhere, if another"
        " node can read it all the while",
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

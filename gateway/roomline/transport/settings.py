"""What a SockJS endpoint can be told, as one frozen value."""

from dataclasses import dataclass
from typing import Final

TRANSPORTS: Final = frozenset(
    {
        *("websocket", "xhr-streaming", "eventsource", "xhr-polling"),
        *("htmlfile", "jsonp-polling", "iframe"),
    }
)
"""The transports that can be offered, by SockJS's names. ``iframe`` is a hidden frame with a page
of the endpoint's own, which uses eventsource, htmlfile or xhr-polling from there."""

DEFAULT_TRANSPORTS: Final = TRANSPORTS - {"htmlfile", "jsonp-polling"}
"""Without those that browsers also run for pages that say nothing of themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """Settings of one endpoint. They are taken as they are: whoever reads them from outside
    checks them."""

    prefix: str = "/sockjs"
    """Path that the endpoint lives under: begins with a slash, does not end with one."""

    allowed_origins: frozenset[str] = frozenset()
    """Origins that pages may come from besides the endpoint's own, each exactly as a browser
    sends it: ``https://example.org:8443``. ``*`` admits every page, but without credentials,
    which sockjs-client insists on for HTTP transports from foreign pages: list origins for those.
    """

    transports: frozenset[str] = DEFAULT_TRANSPORTS
    raw_websocket: bool = False
    """Whether ``<prefix>/websocket`` speaks plain websocket, for programs without SockJS."""

    message_bytes: int = 65_536
    """The longest message that a client may send, in bytes of UTF-8."""
    body_bytes: int = 524_288
    """The longest websocket frame and POST body, which hold messages JSON-quoted (twice as long
    at worst) and, on HTTP, everything that a client gathered while its last POST was under way."""
    messages_per_body: int = 1_000
    header_seconds: float = 60.0
    """How long a connection may take until the head of its next request is complete."""
    body_seconds: float = 30.0
    """How long a POST body may take to arrive."""

    sessions: int = 10_000
    sessions_per_address: int = 2_000
    """Sessions at a time, in total and per client address (IPv6: per /64 network)."""
    new_sessions_per_second: float = 100
    new_sessions_burst: int = 2_000
    """Sessions, and what costs as much, that one address may open; all together as many times
    more as `sessions` is of `sessions_per_address`."""
    session_id: str = r"[A-Za-z0-9_-]{1,64}"
    """Regular expression of both the server and the session part of a session's path."""

    heartbeat_seconds: float = 25.0
    """Time between heartbeats. A client that shows no sign of life for two is gone."""
    disconnect_delay: float = 5.0
    """How long (seconds) a session on HTTP lives without a request that receives."""
    close_seconds: float = 5.0
    """How long a closing connection may take to read what is left for it."""
    tombstone_seconds: float = 60.0
    """How long a closed session's id keeps answering that it is closed."""

    response_limit: int = 131_072
    """Bytes after which a streaming response ends and the client asks for the next."""

    jsessionid: bool = False
    """Whether responses carry a JSESSIONID cookie, for load balancers that stick to it."""
    sockjs_url: str | None = None
    """The sockjs-client that the iframe page loads; None: the copy that the endpoint serves. It
    must be of exactly the version that the pages use."""


def server_limits(settings: TransportSettings) -> dict[str, float]:
    """Arguments for ``tornado.httpserver.HTTPServer`` that bound what a stranger can make it
    hold or wait for, outside of the endpoint's reach."""
    return {
        "max_buffer_size": settings.body_bytes + 65_536,
        "max_body_size": settings.body_bytes + 65_536,
        "max_header_size": 16_384,
        "idle_connection_timeout": settings.header_seconds,
        "body_timeout": settings.body_seconds,
    }

"""What the proxy, and the keeper of held responses, can be told, as frozen values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """Settings of one proxy. They are taken as they are: whoever reads them from outside checks
    them."""

    host: str
    port: int
    """Where the upstream listens, for plain HTTP."""

    timeout: float = 60.0
    """Seconds in which a request or its response must move on by at least a byte."""
    requests: int = 500
    requests_per_address: int = 125
    """Requests at a time that wait for the upstream or are being transferred, in total and per
    client address."""
    body_bytes: int = 64 << 20
    """The longest body of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSettings:
    """Settings of one keeper, taken as they are, too."""

    held: int = 5_000
    held_per_address: int = 2_000
    """Held responses at a time, in total and per client address."""
    outbox_bytes: int = 1 << 20
    """What may wait for the client of one held response."""
    waiting_seconds: float = 5.0
    """How long a response waits for a node that has not read the log so far."""
    heartbeat_seconds: float = 25.0
    """Time between signs of life on a stream. A client that reads nothing for two is gone."""

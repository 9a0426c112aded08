"""What a node says of itself to the others, signed, and read by them without trust.

The broker carries it. Whoever may write there and does not have the cluster's key can neither
bring a node in nor send one away; to repeat what a node has said is harmless, because its state
only ever goes one way and its id is never used again.
"""

import hmac
from enum import Enum
from typing import Final

import msgspec

MAX_BYTES: Final = 2048
_MAC_BYTES: Final = 32
_PURPOSE: Final = b"roomline announcement 1\n"


class State(Enum):
    """In the order in which a node goes through them."""

    OPEN = "open"
    DRAINING = "draining"
    """It serves its sessions and opens no more."""
    LEFT = "left"


_ORDER: Final = list(State)


class Announcement(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """One node: where others reach it, and how it stands."""

    id: str
    name: str
    since: int
    """When it began, in milliseconds since the epoch."""
    state: State = State.OPEN
    socket: str = ""
    """The path of its Unix socket; empty: it has none."""
    host: str = ""
    port: int = 0
    """Its internal address; an empty host: it has none."""

    def later_than(self, other: "Announcement") -> bool:
        """Whether this is the same node, further on its way."""
        return _ORDER.index(self.state) > _ORDER.index(other.state)


def write(announcement: Announcement, key: bytes) -> bytes:
    """An announcement as a signal."""
    body = msgspec.json.encode(announcement)
    return _mac(body, key) + body


def read(signal: bytes, key: bytes) -> Announcement | None:
    """The announcement in a signal; None if it is none, or not of this cluster. Never raises."""
    if len(signal) > MAX_BYTES:
        return None
    mac, body = signal[:_MAC_BYTES], signal[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(body, key)):
        return None
    try:
        return msgspec.json.decode(body, type=Announcement)
    except msgspec.DecodeError:
        return None


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + body, "sha256")

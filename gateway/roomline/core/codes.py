"""Every code that a client can meet, one table each: errors, disconnects, and their neighbours.

The JavaScript client's table is generated from this file and a test compares the two; the
documentation is compared likewise.
"""

from enum import Enum
from typing import Final, NamedTuple


class ErrorCode(Enum):
    """Codes of ``error`` replies: the name, whether trying again later can help, the meaning."""

    BAD_REQUEST = ("bad_request", False, "the message is not a well-formed command")
    UNKNOWN_COMMAND = ("unknown_command", False, "no command has this type")
    UNSUPPORTED = ("unsupported", False, "the command exists but this gateway does not offer it")
    BAD_VERSION = ("bad_version", False, "the protocol version is not spoken here")
    NOT_CONNECTED = ("not_connected", False, "the first command must be connect")
    ALREADY_CONNECTED = ("already_connected", False, "this session has connected before")
    TOKEN_REQUIRED = ("token_required", False, "anonymous clients are not accepted")
    TOKEN_INVALID = ("token_invalid", False, "the token is forged, malformed or not for us")
    TOKEN_EXPIRED = ("token_expired", False, "the token is past its expiry: get a new one")
    TOKEN_REVOKED = ("token_revoked", False, "the token was revoked: get a new one")
    ROOM_INVALID = ("room_invalid", False, "not a well-formed room name")
    ROOM_UNKNOWN = ("room_unknown", False, "the room's namespace is not configured")
    ROOM_TOKEN_REQUIRED = ("room_token_required", False, "the room wants a token of its own")
    FORBIDDEN = ("forbidden", False, "the rules do not let this client do that")
    NOT_SUBSCRIBED = ("not_subscribed", False, "the session is not subscribed to the room")
    TOO_LARGE = ("too_large", False, "a value exceeds its size limit")
    LIMIT_REACHED = ("limit_reached", False, "the session holds as many as it may")
    RATE_LIMITED = ("rate_limited", True, "too many commands: slow down")
    CATCHING_UP = ("catching_up", True, "this node has not read the log that far yet")
    UNAVAILABLE = (
        "unavailable",
        True,
        "the broker cannot be reached: try again, publish with the same key",
    )
    REJECTED = (
        "rejected",
        False,
        "the broker, or who moderates the room, refuses this publication",
    )
    REQUEST_UNKNOWN = ("request_unknown", False, "no handler has this name")
    REQUEST_FAILED = ("request_failed", False, "the handler refuses, or has failed")
    REQUEST_TIMEOUT = (
        "request_timeout",
        True,
        "no answer came: the request may or may not have been carried out",
    )

    def __init__(self, code: str, temporary: bool, meaning: str) -> None:
        self.code: Final = code
        self.temporary: Final = temporary
        self.meaning: Final = meaning


class Disconnect(Enum):
    """Closes that the gateway decides: 3001-3499 come back, 3500-3999 do not."""

    DRAINING = (3001, "draining", "the node is leaving: connect to another")
    SLOW = (3002, "slow", "the client did not read: its outbox was full")
    CONNECT_TIMEOUT = (3003, "connect timeout", "no connect command was accepted in time")
    TOKEN_EXPIRED = (3004, "token expired", "the connection token expired: come with a new one")
    REVOKED = (3005, "revoked", "the user's tokens were revoked: come with a new one")
    BAD_PROTOCOL = (3500, "bad protocol", "too many malformed messages")
    MESSAGE_TOO_LONG = (3501, "message too long", "a message exceeded the size limit")
    FLOOD = (3502, "flood", "commands kept coming far above the rate limit")
    REMOVED = (3503, "removed", "an operator has ended this session")

    def __init__(self, code: int, reason: str, meaning: str) -> None:
        self.code: Final = code
        self.reason: Final = reason
        self.meaning: Final = meaning

    @property
    def reconnect(self) -> bool:
        """Whether a client should come back."""
        return self.code < 3500


class Unsubscribed(Enum):
    """Codes of ``unsubscribed`` pushes: the gateway ended a subscription."""

    TOKEN_EXPIRED = ("token_expired", "the room token expired: subscribe with a new one")
    LOG_RESET = ("log_reset", "the log was replaced: subscribe anew, without a position")
    RIGHTS_CHANGED = (
        "rights_changed",
        "the room's rights have changed: subscribe with a new token",
    )
    ROOM_CLOSED = ("room_closed", "the room was closed")
    FORBIDDEN = ("forbidden", "the refreshed token does not grant this room any more")

    def __init__(self, code: str, meaning: str) -> None:
        self.code: Final = code
        self.meaning: Final = meaning


class Unrecoverable(Enum):
    """Reasons of ``recovered: false``."""

    MALFORMED = ("malformed", "the position is not one that a gateway gave")
    TRIMMED = ("trimmed", "the position is older than what this node can prove continuous")
    NOT_IN_LOG = ("not_in_log", "the log has no such entry: it was replaced or lost its tail")
    EVICTED = ("evicted", "publications after the position are no longer in memory")

    def __init__(self, code: str, meaning: str) -> None:
        self.code: Final = code
        self.meaning: Final = meaning


class CodeTables(NamedTuple):
    """All tables in plain values, as documentation and the JavaScript client take them."""

    errors: dict[str, dict[str, object]]
    disconnects: dict[str, dict[str, object]]
    unsubscribed: dict[str, str]
    unrecoverable: dict[str, str]


def tables() -> CodeTables:
    """The tables for generators and checks."""
    return CodeTables(
        errors={e.code: {"temporary": e.temporary, "meaning": e.meaning} for e in ErrorCode},
        disconnects={
            str(d.code): {"reason": d.reason, "reconnect": d.reconnect, "meaning": d.meaning}
            for d in Disconnect
        },
        unsubscribed={u.code: u.meaning for u in Unsubscribed},
        unrecoverable={u.code: u.meaning for u in Unrecoverable},
    )

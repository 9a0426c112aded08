"""The client protocol's messages: commands, replies, pushes. Typed and frozen.

Field names and presence are the wire format (docs/protocol.rst); `codec` turns them into text.
A field without a default is always written, also when it is null.
"""

from typing import Annotated, Any

from msgspec import Meta, Raw, Struct

from roomline.core.codes import ErrorCode
from roomline.requests import MAX_NAME_LENGTH, MAX_TIMEOUT, MIN_TIMEOUT, NAME_PATTERN

PROTOCOL_VERSION = 1

Id = Annotated[int, Meta(ge=1, le=2**53 - 1)]
"""A command's id: chosen by the client, repeated in the answer."""
Token = Annotated[str, Meta(min_length=1, max_length=8192)]
ClientId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{16,64}\Z")]
"""The random id that an anonymous client makes for itself and keeps: its principal."""
Key = Annotated[str, Meta(min_length=1, max_length=128)]
PositionText = Annotated[str, Meta(max_length=64)]
Count = Annotated[int, Meta(ge=0, le=10_000)]
RequestName = Annotated[str, Meta(pattern=rf"\A{NAME_PATTERN}\Z", max_length=MAX_NAME_LENGTH)]
"""What a handler is registered under."""
Timeout = Annotated[float, Meta(ge=MIN_TIMEOUT, le=MAX_TIMEOUT)]
"""Seconds to wait for a handler's answer."""
Word = Annotated[str, Meta(min_length=1, max_length=32)]
"""One of a set that newer clients may have more of."""
Milliseconds = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Command(Struct, frozen=True, kw_only=True):
    """From client to gateway."""

    id: Id


class TransportTrial(Struct, frozen=True, kw_only=True):
    """A transport that the client does not use, and why. `ms`: how long it took to fail."""

    transport: Word
    reason: Word
    ms: Milliseconds


class TransportReport(Struct, frozen=True, kw_only=True):
    """How the client came to its transport. `ms`: since it began to seek a connection."""

    tried: Annotated[list[TransportTrial], Meta(max_length=16)]
    ms: Milliseconds


class Connect(Command, frozen=True, kw_only=True, tag="connect"):
    version: int
    token: Token | None = None
    client: ClientId | None = None
    transport: TransportReport | None = None


class Subscribe(Command, frozen=True, kw_only=True, tag="subscribe"):
    room: str
    since: PositionText | None = None
    history: Count | None = None
    token: Token | None = None


class Publish(Command, frozen=True, kw_only=True, tag="publish"):
    room: str
    data: Any
    key: Key | None = None


class Unsubscribe(Command, frozen=True, kw_only=True, tag="unsubscribe"):
    room: str


class Presence(Command, frozen=True, kw_only=True, tag="presence"):
    room: str


class History(Command, frozen=True, kw_only=True, tag="history"):
    room: str
    limit: Count = 50


class Refresh(Command, frozen=True, kw_only=True, tag="refresh"):
    token: Token


class Request(Command, frozen=True, kw_only=True, tag="request"):
    name: RequestName
    data: Any
    timeout: Timeout | None = None


class Ping(Command, frozen=True, kw_only=True, tag="ping"):
    pass


COMMANDS: dict[str, type[Command]] = {
    "connect": Connect,
    "subscribe": Subscribe,
    "publish": Publish,
    "unsubscribe": Unsubscribe,
    "presence": Presence,
    "history": History,
    "refresh": Refresh,
    "request": Request,
    "ping": Ping,
}


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """From gateway to client."""


class User(Struct, frozen=True, kw_only=True):
    """The authenticated user, as the token names them."""

    id: str
    name: str


class Limits(Struct, frozen=True, kw_only=True):
    """What this gateway accepts from one session."""

    message_bytes: int
    subscriptions: int
    history: int


class AutomaticRoom(Struct, frozen=True, kw_only=True):
    """A room that pushes without having been subscribed to."""

    room: str
    position: str
    head: str | None


class Connected(Message, frozen=True, kw_only=True, tag="connected"):
    """`expires_in`: seconds until the token expires; null: never."""

    id: int
    version: int
    session: str
    user: User | None
    node: str
    limits: Limits
    expires_in: int | None
    rooms: list[AutomaticRoom]


class Subscribed(Message, frozen=True, kw_only=True, tag="subscribed"):
    """`publications` are whole ``publication`` pushes. `recovered` is there when `since` was."""

    id: int
    room: str
    position: str
    head: str | None
    publications: list[Raw]
    recovered: bool | None = None
    reason: str | None = None
    more: bool = False


class Published(Message, frozen=True, kw_only=True, tag="published"):
    id: int
    room: str


class UnsubscribedReply(Message, frozen=True, kw_only=True, tag="unsubscribed"):
    id: int
    room: str


class HistoryReply(Message, frozen=True, kw_only=True, tag="history"):
    id: int
    room: str
    position: str
    publications: list[Raw]


class Refreshed(Message, frozen=True, kw_only=True, tag="refreshed"):
    id: int
    expires_in: int | None


class Response(Message, frozen=True, kw_only=True, tag="response"):
    """`data` is what the handler has returned, as JSON."""

    id: int
    data: Raw


class Pong(Message, frozen=True, kw_only=True, tag="pong"):
    """`sent`: pushes queued to this session since it began."""

    id: int
    sent: int
    position: str


class Error(Message, frozen=True, kw_only=True, tag="error"):
    """`id` is null when the command's own could not be read. `refusal` is a handler's own code
    for why it refuses."""

    id: int | None
    code: str
    reason: str
    temporary: bool
    refusal: str | None = None


def error(id: int | None, code: ErrorCode, reason: str, refusal: str | None = None) -> Error:
    """The reply with this code; `reason` is for people."""
    return Error(id=id, code=code.code, reason=reason, temporary=code.temporary, refusal=refusal)


class UnsubscribedPush(Message, frozen=True, kw_only=True, tag="unsubscribed"):
    room: str
    code: str
    reason: str


class Reconnect(Message, frozen=True, kw_only=True, tag="reconnect"):
    after_ms: int


Push = UnsubscribedPush | Reconnect
"""Pushes other than publications, which `codec.publication_text` writes once for everybody."""

"""Text to commands, messages to text. Raises `ProtocolError` only."""

import re
from typing import Any

import msgspec

from roomline.core.codes import ErrorCode
from roomline.core.messages import COMMANDS, Command, Message
from roomline.wire import Envelope, iso_time, shorten, well_formed

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

# An escaped backslash, an escaped surrogate pair, or an escaped half that stands alone.
_SURROGATES = re.compile(
    r"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


class ProtocolError(Exception):
    """A command that cannot be carried out: becomes an ``error`` reply."""

    def __init__(self, code: ErrorCode, reason: str, id: int | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.id = id


def decode(text: str) -> Command:
    """The command in one SockJS message.

    Unpaired surrogates, escaped or not, count as U+FFFD. Fields that no command has are ignored,
    so that newer clients can speak to older gateways.
    """
    if "\\u" in text:
        text = _SURROGATES.sub(lambda match: match[1] or "\\ufffd", text)
    try:
        fields = _decode(well_formed(text))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ProtocolError(
            ErrorCode.BAD_REQUEST, f"a message is one JSON object, not {shorten(fields)}"
        )
    id = _id_of(fields)
    kind = fields.pop("type", None)
    command = COMMANDS.get(kind) if isinstance(kind, str) else None
    if command is None:
        raise ProtocolError(
            ErrorCode.UNKNOWN_COMMAND,
            f"type is {shorten(kind)}, accepted are {', '.join(COMMANDS)}",
            id,
        )
    if id is None:
        raise ProtocolError(
            ErrorCode.BAD_REQUEST,
            f"id is {shorten(fields.get('id'))}, accepted is a whole number from 1 to 2^53-1",
        )
    try:
        return msgspec.convert(fields, command)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"{kind}: {error}", id) from None


def _id_of(fields: dict[str, Any]) -> int | None:
    id = fields.get("id")
    if isinstance(id, int) and not isinstance(id, bool) and 1 <= id < 2**53:
        return id
    return None


def encode(message: Message) -> str:
    """A reply or push as JSON text."""
    return _encode(message).decode()


def publication_text(
    envelope: Envelope, data: str, position: str, previous: str | None, *, trusted: bool
) -> str:
    """The ``publication`` push, the same text for every subscriber.

    `data` is the body's JSON text (`roomline.wire.json_of`), spliced in. Unless its publisher is
    trusted, a publication is from operations: its sender is not shown and its kind is not admin.
    """
    push: dict[str, Any] = {
        "type": "publication",
        "room": envelope.room,
        "position": position,
        "previous": previous,
        "data": msgspec.Raw(data.encode()),
        "kind": envelope.kind if trusted or envelope.kind != "admin" else "message",
        "time": None if envelope.time is None else iso_time(envelope.time),
    }
    if not trusted:
        push["origin"] = "operations"
    elif envelope.sender is not None:
        push["sender"] = envelope.sender._asdict()
    if envelope.key is not None:
        push["key"] = envelope.key
    return _encode(push).decode()

"""Text to commands, messages to text. Raises `ProtocolError` only."""

import re
from typing import Any

import msgspec

from roomline.core.codes import ErrorCode
from roomline.core.messages import COMMANDS, Command, Message
from roomline.wire import Envelope, publication_fields, shorten, well_formed

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

    `data` is the body's JSON text (`roomline.wire.json_of`), spliced in. What is shown of a
    publication whose publisher is not trusted: `roomline.wire.publication_fields`.
    """
    raw = msgspec.Raw(data.encode())
    return _encode(publication_fields(envelope, raw, position, previous, trusted=trusted)).decode()

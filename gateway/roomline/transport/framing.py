"""SockJS and websocket frames as text and bytes, and messages out of what clients send."""

import json
import re
import struct
from collections.abc import Sequence
from json.encoder import encode_basestring

from roomline.core.outbox import Encoded, Outbox
from roomline.wire import utf8_length

OPEN = "o"
HEARTBEAT = "h"

# Opcodes of websocket messages.
TEXT = 1
BINARY = 2

# What the protocol asks servers to escape beyond JSON: characters that old browsers mangle, and
# halves of surrogate pairs, which no UTF-8 can carry.
_ESCAPED = re.compile("[\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff\ud800-\udfff]")


class MalformedBody(ValueError):
    """What a client sent is not an array of texts; the text is SockJS's answer to it."""


def quote(text: str) -> str:
    """`text` as a JSON string that survives every browser."""
    quoted = encode_basestring(text)
    if _ESCAPED.search(quoted):
        quoted = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
    return quoted


def quoted(message: Encoded) -> str:
    """The message as a JSON string, made on first use."""
    text = message.quoted
    if text is None:
        text = message.quoted = quote(message.text)
    return text


def messages_frame(messages: Sequence[Encoded]) -> str:
    """The SockJS frame that carries these messages."""
    return f"a[{','.join(map(quoted, messages))}]"


def close_frame(code: int, reason: str) -> str:
    """The SockJS frame that says why a session is over."""
    return f"c[{code},{quote(reason)}]"


def script_string(frame: str) -> str:
    """A frame as a string of a script, which nothing in an HTML page takes for a tag."""
    return quote(frame).replace("<", "\\u003c")


def event_data(frame: str) -> str:
    """A frame as the data of an event. The protocol does not say so, but sockjs-client decodes the
    data of events as it would an address, so that a percent sign must not stand for itself."""
    return frame.replace("%", "%25")


def data_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A whole websocket message as a server sends it (RFC 6455, section 5.2)."""
    first, size = 0x80 | opcode, len(payload)
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def websocket_frame(frame: str) -> bytes:
    """A SockJS frame as websocket bytes."""
    return data_frame(frame.encode())


def take(outbox: Outbox, limit: int) -> list[Encoded]:
    """The first messages of the outbox that fit into `limit` bytes of a frame, at least one.

    What does not fit stays. The outbox must not be empty.
    """
    size = 0
    for count, message in enumerate(outbox.items):
        # Its bytes, and what quoting adds: most of it is ASCII, and none is counted for too little.
        size += message.size + len(quoted(message)) - len(message.text) + 1
        if size > limit and count:
            messages = outbox.items[:count]
            del outbox.items[:count]
            outbox.size -= sum(message.size for message in messages)
            return messages
    return outbox.take()


def decode_body(body: bytes) -> list[str]:
    """The messages in the body of an ``xhr_send``: a JSON array of strings.

    Raises `MalformedBody` with the text that SockJS answers.
    """
    if not body:
        raise MalformedBody("Payload expected.")
    try:
        messages = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise MalformedBody("Broken JSON encoding.") from None
    if not isinstance(messages, list) or not all(isinstance(text, str) for text in messages):
        raise MalformedBody("Payload expected.")
    return messages


def decode_frame(frame: str) -> list[str]:
    """The messages in a websocket frame: nothing, a JSON string, or an array of strings.

    Raises `MalformedBody`.
    """
    if not frame:
        return []
    try:
        messages = json.loads(frame)
    except (ValueError, RecursionError):
        raise MalformedBody("Broken JSON encoding.") from None
    if isinstance(messages, str):
        return [messages]
    if not isinstance(messages, list) or not all(isinstance(text, str) for text in messages):
        raise MalformedBody("Payload expected.")
    return messages


def longer_than(text: str, limit: int) -> bool:
    """Whether `text` has more than `limit` bytes of UTF-8."""
    size = len(text)
    if size > limit or size * 4 <= limit:
        return size > limit
    return utf8_length(text) > limit

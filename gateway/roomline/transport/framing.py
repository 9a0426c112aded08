"""SockJS and websocket frames as text and bytes, and messages out of what clients send."""

import asyncio
import json
import re
import struct
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Generic, TypeVar

from roomline.core.outbox import Encoded, Outbox

OPEN = "o"
HEARTBEAT = "h"

# What the protocol asks servers to escape beyond JSON: characters that old browsers mangle, and
# halves of surrogate pairs, which no UTF-8 can carry.
_ESCAPED = re.compile("[\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff\ud800-\udfff]")

_JOINED_AT_MOST = 128

T = TypeVar("T")


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


def messages_frame(messages: list[Encoded]) -> str:
    """The SockJS frame that carries these messages."""
    return f"a[{','.join(map(quoted, messages))}]"


def close_frame(code: int, reason: str) -> str:
    """The SockJS frame that says why a session is over."""
    return f"c[{code},{quote(reason)}]"


def text_frame(payload: bytes) -> bytes:
    """A whole websocket text frame as a server sends it (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


def websocket_frame(frame: str) -> bytes:
    """A SockJS frame as websocket bytes."""
    return text_frame(frame.encode())


def chunk(payload: bytes) -> bytes:
    """One chunk of an HTTP/1.1 chunked response (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def take(outbox: Outbox, limit: int) -> list[Encoded]:
    """The first messages of the outbox that fit into `limit` characters of a frame, at least one.

    What does not fit stays. The outbox must not be empty.
    """
    size = 0
    for count, message in enumerate(outbox.items):
        size += len(quoted(message)) + 1
        if size > limit and count:
            messages = outbox.items[:count]
            del outbox.items[:count]
            outbox.size -= sum(message.size for message in messages)
            return messages
    return outbox.take()


class Joined(Generic[T]):
    """Frames of the same messages, built once however many sessions send them in one turn.

    They are kept until the turn of the event loop is over, and so many at most.
    """

    def __init__(self, build: Callable[[str], T]) -> None:
        self._build = build
        self._frames: dict[tuple[Encoded, ...], T] = {}

    def __call__(self, messages: list[Encoded]) -> T:
        """What `build` makes of the SockJS frame with these messages."""
        key = tuple(messages)  # messages compare by identity, and the key keeps them alive
        frame = self._frames.get(key)
        if frame is None:
            frame = self._build(messages_frame(messages))
            if not self._frames:
                asyncio.get_running_loop().call_soon(self._frames.clear)
            if len(self._frames) < _JOINED_AT_MOST:
                self._frames[key] = frame
        return frame

    def __len__(self) -> int:
        return len(self._frames)


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
    return len(text.encode(errors="surrogatepass")) > limit

"""SockJS frames and addresses as a client sees them (SockJS protocol 0.3.3).

A server's frame is ``o`` (open), ``h`` (heartbeat), ``a["text",...]`` (messages) or
``c[code,"reason"]`` (close). A client's messages travel as one JSON array of texts.
"""

import json
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from roomline.wire import shorten


class FrameError(ValueError):
    """Bytes that are not a SockJS frame; the text shows them."""


class Opened(NamedTuple):
    """The server knows the session now."""


class Heartbeat(NamedTuple):
    """The server is alive."""


class Messages(NamedTuple):
    """One or more messages, in order."""

    texts: list[str]


class Closed(NamedTuple):
    """The session is over."""

    code: int
    reason: str


Frame = Opened | Heartbeat | Messages | Closed


def parse(text: str) -> Frame:
    """The frame that `text` is; raises `FrameError`."""
    kind, rest = text[:1], text[1:]
    if text == "o":
        return Opened()
    if kind == "h" and not rest.strip("h"):  # xhr-streaming begins with 2,048 of them
        return Heartbeat()
    try:
        value = json.loads(rest)
    except ValueError:
        value = None
    match kind, value:
        case "a", list() if all(isinstance(item, str) for item in value):
            return Messages(value)
        case "c", [int(code), str(reason)]:
            return Closed(code, reason)
    raise FrameError(f"{shorten(text)} is not a SockJS frame")


def messages_text(texts: Sequence[str]) -> str:
    """The client's frame, or request body, that carries `texts`."""
    return json.dumps(texts)


def session_url(endpoint: str) -> str:
    """The address of a new session below `endpoint`, with a random server and session id."""
    return f"{endpoint.rstrip('/')}/{secrets.randbelow(1000):03d}/{secrets.token_hex(12)}"

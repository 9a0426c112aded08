"""What held responses are made of: JSON for a hold; for a stream, events or JSON lines."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from roomline.core.outbox import Encoded
from roomline.holding import Mode

_RETRY_MS: Final = 1000
"""How long a browser waits before it comes back to a stream that has ended."""


class _Placed(msgspec.Struct):
    position: str


_placed = msgspec.json.Decoder(_Placed).decode


class Beginning(NamedTuple):
    """Where an answer or a stream begins: at a position from which nothing is missing, or with
    the reason why nothing could be continued from the one asked for."""

    room: str
    position: str | None
    reason: str | None = None

    def json(self) -> str:
        """Its members as JSON, without the braces around them."""
        said: dict[str, object] = {
            "room": self.room,
            "position": self.position,
            "recovered": self.reason is None,
        }
        if self.reason is not None:
            said["reason"] = self.reason
        return msgspec.json.encode(said).decode()[1:-1]


def position_of(message: Encoded) -> str:
    """The position of a publication."""
    return _placed(message.text).position


def answer(beginning: Beginning, messages: Sequence[Encoded]) -> bytes:
    """The body of a hold's answer."""
    publications = ",".join(message.text for message in messages)
    return f'{{{beginning.json()},"publications":[{publications}]}}\n'.encode()


class Format(NamedTuple):
    """How a stream is written."""

    content_type: str
    opening: Callable[[Beginning], bytes]
    publications: Callable[[Sequence[Encoded]], bytes]
    heartbeat: Callable[[str | None], bytes]
    """Takes the position up to which everything was sent."""
    ending: Callable[[str, str], bytes] = lambda code, reason: b""
    """Takes why the gateway ends it, as a code and a sentence."""


def _event_opening(beginning: Beginning) -> bytes:
    where = f"id: {beginning.position}\n" if beginning.position else ""
    said = f"event: subscribed\ndata: {{{beginning.json()}}}\n\n"
    return f"retry: {_RETRY_MS}\n{where}{said}".encode()


def _events(messages: Sequence[Encoded]) -> bytes:
    parts = (f"id: {position_of(message)}\ndata: {message.text}\n\n" for message in messages)
    return "".join(parts).encode()


def _event_heartbeat(position: str | None) -> bytes:
    # An id without data is remembered and no event.
    return f"id: {position}\n\n".encode() if position else b":\n\n"


def _line_opening(beginning: Beginning) -> bytes:
    return f'{{"type":"subscribed",{beginning.json()}}}\n'.encode()


def _lines(messages: Sequence[Encoded]) -> bytes:
    return "".join(f"{message.text}\n" for message in messages).encode()


def _line_heartbeat(position: str | None) -> bytes:
    return msgspec.json.encode({"type": "position", "position": position}) + b"\n"


def _room_opening(beginning: Beginning) -> bytes:
    where = f"id: {beginning.position}\n" if beginning.position else ""
    said = ""
    if beginning.reason is not None:
        members = {
            "room": beginning.room,
            "position": beginning.position,
            "reason": beginning.reason,
        }
        said = f"event: reset\ndata: {msgspec.json.encode(members).decode()}\n"
    return f"retry: {_RETRY_MS}\n{where}{said}\n".encode()


def _room_heartbeat(position: str | None) -> bytes:
    return b":\n" + _event_heartbeat(position) if position else b":\n\n"


def _room_ending(code: str, reason: str) -> bytes:
    said = msgspec.json.encode({"code": code, "reason": reason}).decode()
    return f"event: end\ndata: {said}\n\n".encode()


ROOM_EVENTS: Final = Format(
    "text/event-stream", _room_opening, _events, _room_heartbeat, _room_ending
)
"""How a room's own event stream is written: what is no publication has a name of its own."""

FORMATS: Final[dict[Mode, Format]] = {
    "sse": Format("text/event-stream", _event_opening, _events, _event_heartbeat),
    "json-lines": Format("application/x-ndjson", _line_opening, _lines, _line_heartbeat),
}

"""One room, or the rooms of one session, followed: a subscriber that keeps what it is told until
the next look."""

from collections import deque
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec
from msgspec import Raw

from roomline.core.codec import ProtocolError
from roomline.core.codes import Unsubscribed
from roomline.core.outbox import Encoded
from roomline.node import Node

KEPT: Final = 200
"""Publications that are kept from one look to the next; the rest is counted."""
DATA_SHOWN: Final = 2000
"""Characters that are shown of the data of one publication."""


class _Told(msgspec.Struct):
    """What is shown of a publication (docs/protocol.rst)."""

    room: str
    position: str
    kind: str
    time: str | None
    data: Raw


_decode = msgspec.json.Decoder(_Told).decode


class _Follower:
    """A subscriber of one room, let in by an inspector token."""

    user = None

    def __init__(self, following: "Following", room: str) -> None:
        self.room = room
        self._following = following

    def push(self, message: Encoded) -> None:
        self._following.told(message)

    def end(self, reason: Unsubscribed) -> None:
        self._following.ended(self)


class Following:
    """What is followed by one looker. `rooms` says which rooms these are now; `data` whether their
    publications are shown with their contents."""

    def __init__(self, node: Node, rooms: Callable[[], Collection[str]], *, data: bool) -> None:
        self._node = node
        self._rooms = rooms
        self._data = data
        self._followers: dict[str, _Follower] = {}
        self._kept: deque[Encoded] = deque(maxlen=KEPT)
        self._missed = 0

    def look(self) -> dict[str, Any]:
        """What has come since the last look, oldest first, and how many more that were too many.
        Whoever looks must look again, or `close`."""
        obstacle = self._keep_up()
        kept, missed = list(self._kept), self._missed
        self._kept.clear()
        self._missed = 0
        shown = [self._shown(message) for message in kept]
        return {"publications": shown, "missed": missed, "obstacle": obstacle}

    def close(self) -> None:
        """Follow no more."""
        for follower in list(self._followers.values()):
            self.ended(follower)

    # What followers are told.

    def told(self, message: Encoded) -> None:
        """A room has a publication."""
        self._missed += len(self._kept) == KEPT
        self._kept.append(message)

    def ended(self, follower: _Follower) -> None:
        """A room is followed no more; if it is still wanted, the next look follows it anew."""
        self._node.guests.leave(follower)
        self._followers.pop(follower.room, None)

    def _keep_up(self) -> str | None:
        """Follow what is to be followed now; gives what is in the way."""
        wanted = set(self._rooms())
        for room in self._followers.keys() - wanted:
            self.ended(self._followers[room])
        for room in wanted - self._followers.keys():
            follower = _Follower(self, room)
            try:
                self._node.guests.attach(follower, None)
            except ProtocolError as error:
                return error.reason
            self._followers[room] = follower
        return None

    def _shown(self, message: Encoded) -> dict[str, Any]:
        told = _decode(message.text)
        data = bytes(told.data)
        shown = {
            "room": told.room,
            "position": told.position,
            "kind": told.kind,
            "time": told.time,
            "bytes": len(data),
        }
        if self._data:
            shown["data"] = data.decode()[:DATA_SHOWN]
        return shown

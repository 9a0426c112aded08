"""What was revoked of users and rooms: the generation below which their tokens count no more.

Values only: who may revoke, and where revocations come from, is decided elsewhere. They only ever
deny, in whatever order they are told, and as often as they are.
"""

from collections import OrderedDict
from typing import Final

from roomline.revocations import Revocation, UserRevoked
from roomline.tokens import LEEWAY, MAX_LIFETIME

FORGET_AFTER: Final = MAX_LIFETIME + LEEWAY + 3600
"""Seconds after which no token from before a revocation can still be good. The last hour is for
a signer that read the generation and took its time until it signed."""


class Revocations:
    """The latest generation of each revoked user and room, for as long as it can matter.

    Times are in seconds since the epoch, of the clock that tokens' expiry is judged by: were it
    set forward, tokens would expire with what is forgotten here.
    """

    def __init__(self) -> None:
        self._users = _Generations()
        self._rooms = _Generations()

    def __len__(self) -> int:
        return len(self._users) + len(self._rooms)

    def add(self, revocation: Revocation, now: float) -> bool:
        """Take note of a revocation; False: one at least as new was known."""
        if isinstance(revocation, UserRevoked):
            return self._users.add(revocation.user_id, revocation.generation, now)
        return self._rooms.add(revocation.room, revocation.generation, now)

    def denies_user(self, user_id: str, generation: int) -> bool:
        """Whether tokens of this user and generation count no more."""
        return generation < self._users.latest(user_id)

    def denies_room(self, room: str, generation: int) -> bool:
        """Whether what tokens of this generation say about the room counts no more."""
        return generation < self._rooms.latest(room)

    def forget(self, now: float) -> None:
        """Drop what is so old that it can deny nothing any more."""
        self._users.forget(now - FORGET_AFTER)
        self._rooms.forget(now - FORGET_AFTER)


class _Generations:
    """A generation by name, in the order in which they were learnt."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def latest(self, name: str) -> int:
        known = self._known.get(name)
        return 0 if known is None else known[0]

    def add(self, name: str, generation: int, now: float) -> bool:
        if generation <= self.latest(name):
            return False
        self._known[name] = (generation, now)
        self._known.move_to_end(name)
        return True

    def forget(self, until: float) -> None:
        while self._known:
            name, (_, learnt) = next(iter(self._known.items()))
            if learnt > until:
                return
            del self._known[name]

"""The publications of one room that a node still holds, oldest first, bounded."""

import sys
from collections import deque
from itertools import islice, takewhile
from typing import NamedTuple

from roomline.core.outbox import Encoded

_OVERHEAD = 600
"""Bytes that a publication costs beside its texts: objects, slots, its place in the history."""


class Publication(NamedTuple):
    """One publication of a room's log, ready to be sent. `time` is in seconds since the epoch."""

    offset: int
    position: str
    time: float
    message: Encoded

    @property
    def cost(self) -> int:
        """Bytes of memory, with the two frames that a transport may keep beside the text."""
        return 3 * sys.getsizeof(self.message.text) + _OVERHEAD


class History:
    """At most `limit` publications, none older than `max_age` seconds.

    `evicted` is the offset of the newest publication that is not held any more (-1: none):
    whoever stands before it cannot be continued from here.
    """

    __slots__ = ("_items", "cost", "evicted", "limit", "max_age")

    def __init__(self, limit: int, max_age: float) -> None:
        self.limit = limit
        self.max_age = max_age
        self.evicted = -1
        self.cost = 0
        self._items: deque[Publication] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def append(self, publication: Publication) -> None:
        """Add the room's newest publication."""
        self._items.append(publication)
        self.cost += publication.cost
        while len(self._items) > self.limit:
            self._evict()

    def expire(self, now: float) -> None:
        """Let go of what is too old at `now`."""
        while self._items and self._items[0].time < now - self.max_age:
            self._evict()

    def shrink(self, cost: float) -> None:
        """Let go of the oldest until the rest costs at most `cost` bytes."""
        while self._items and self.cost > cost:
            self._evict()

    def since(self, offset: int) -> list[Publication] | None:
        """Everything after `offset`, or None if some of it is not held any more."""
        if offset < self.evicted:
            return None
        found = list(takewhile(lambda item: item.offset > offset, reversed(self._items)))
        found.reverse()
        return found

    def latest(self, count: int) -> list[Publication]:
        """The newest `count` publications, oldest first."""
        return list(islice(self._items, max(0, len(self._items) - count), None))

    def _evict(self) -> None:
        publication = self._items.popleft()
        self.cost -= publication.cost
        self.evicted = publication.offset

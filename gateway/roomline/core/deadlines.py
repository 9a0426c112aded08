"""When to look at which session next."""

import heapq
import itertools
import math
from typing import Generic, Protocol, TypeVar


class Watched(Protocol):
    """Whatever has a deadline, in seconds since the epoch."""

    closed: bool
    watched: float
    """Kept by `Deadlines`: when it looks next; infinite if not at all."""

    @property
    def deadline(self) -> float | None:
        """When something is due; None: never."""


T = TypeVar("T", bound=Watched)


class Deadlines(Generic[T]):
    """One heap for all sessions.

    A deadline that moved to later is noticed when the earlier one comes, so that prolonging
    costs nothing.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._tiebreak = itertools.count()
        self._purge_at = 1000

    def watch(self, item: T) -> None:
        """Take note of the item's deadline: to be called whenever it may have come closer."""
        deadline = item.deadline
        if deadline is None or deadline >= item.watched or item.closed:
            return
        item.watched = deadline
        heapq.heappush(self._heap, (deadline, next(self._tiebreak), item))
        if len(self._heap) > self._purge_at:
            # Items that are closed would otherwise stay until their deadlines.
            self._heap = [entry for entry in self._heap if not entry[2].closed]
            heapq.heapify(self._heap)
            self._purge_at = 1000 + 2 * len(self._heap)

    def due(self, now: float) -> list[T]:
        """The items to look at, which are not watched any more until `watch` is called again."""
        items = []
        while self._heap and self._heap[0][0] <= now:
            item = heapq.heappop(self._heap)[2]
            item.watched = math.inf
            if not item.closed:
                items.append(item)
        return items

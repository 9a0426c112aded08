"""Connections that threads take turns with: nobody shares one, and nobody keeps one.

Threads come and go (under ASGI each request has its own), so none of them owns a connection.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What a pool keeps."""

    def close(self) -> None:
        """Let go of it; takes no time that a publisher would notice."""


C = TypeVar("C", bound=Closable)


class AllTaken(Exception):
    """Other threads had all of a pool's turns for too long."""


@dataclass
class Turn(Generic[C]):
    """One thread's turn; `connection` is for the next one when it ends.

    None at the beginning: none was idle, open one. None at the end: it is not to be used again,
    and whoever had the turn has closed it.
    """

    connection: C | None


class Pool(Generic[C]):
    """At most `size` connections, and as many turns at the same time.

    One that was idle for more than `idle_seconds` is closed when a turn begins.
    """

    def __init__(self, size: int, idle_seconds: float) -> None:
        self._size = size
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition()
        self._turns = 0
        self._idle: list[tuple[float, C]] = []
        """Since when, and what; the last one was used last."""

    @contextlib.contextmanager
    def turn(self, deadline: float) -> Iterator[Turn[C]]:
        """A turn, which is waited for until the deadline (monotonic); then raises `AllTaken`."""
        with self._changed:
            left = max(0.0, deadline - time.monotonic())
            if not self._changed.wait_for(lambda: self._turns < self._size, left):
                raise AllTaken
            self._turns += 1
            too_old = self._take_idle(time.monotonic() - self._idle_seconds)
            turn = Turn(self._idle.pop()[1] if self._idle else None)
        try:
            for connection in too_old:
                connection.close()
            yield turn
        finally:
            with self._changed:
                self._turns -= 1
                if turn.connection is not None:
                    self._idle.append((time.monotonic(), turn.connection))
                self._changed.notify()

    def close_idle(self) -> None:
        """Close what nobody uses at this moment."""
        with self._changed:
            idle = self._take_idle(time.monotonic())
        for connection in idle:
            connection.close()

    def _take_idle(self, since: float) -> list[C]:
        """Those that have been idle since then, which are no longer in the pool."""
        taken = [connection for moment, connection in self._idle if moment <= since]
        self._idle = [entry for entry in self._idle if entry[0] > since]
        return taken

"""Many deadlines, one timer: heartbeats and expiries of all sessions."""

import asyncio
import logging
from collections import deque
from typing import Protocol

log = logging.getLogger(__name__)

_PER_TURN = 200


class Due(Protocol):
    """Something with a deadline."""

    due: float
    slot: int | None
    """The wheel's own; None while not watched."""

    def on_due(self, now: float) -> None:
        """The deadline has passed; the wheel does not watch any more."""


class Wheel:
    """Calls `on_due` at, or up to `resolution` seconds after, each deadline.

    Deadlines are kept in slots of one resolution each. Putting one off costs nothing: it is
    noticed when the old slot comes. The timer runs only while something is watched, and at most
    200 deadlines are served in one turn of the event loop, so that connections that arrive
    together do not make the others wait behind their heartbeats.
    """

    def __init__(self, resolution: float) -> None:
        self._resolution = resolution
        self._slots: dict[int, set[Due]] = {}
        self._next = 0
        self._ready: deque[tuple[Due, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._serving: asyncio.Handle | None = None
        self._closed = False

    def watch(self, item: Due) -> None:
        """Watch `item` until its `due`, or from now on for a `due` that has changed."""
        if self._closed:
            return
        slot = int(item.due / self._resolution) + 1
        if item.slot is not None:
            if item.slot <= slot:
                return
            self.forget(item)
        loop = asyncio.get_running_loop()
        now = int(loop.time() / self._resolution)
        if self._timer is None:
            self._next = now
            self._timer = loop.call_later(self._resolution, self._tick)
        item.slot = max(slot, self._next)
        self._slots.setdefault(item.slot, set()).add(item)

    def forget(self, item: Due) -> None:
        """Do not watch `item` any more."""
        if item.slot is None:
            return
        slot = self._slots.get(item.slot)
        if slot is not None:
            slot.discard(item)
            if not slot:
                del self._slots[item.slot]
        item.slot = None

    def close(self) -> None:
        """Forget everything, now and from now on, and stop the timer."""
        self._closed = True
        for items in self._slots.values():
            for item in items:
                item.slot = None
        self._slots.clear()
        self._ready.clear()
        for handle in (self._timer, self._serving):
            if handle is not None:
                handle.cancel()
        self._timer = self._serving = None

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = int(loop.time() / self._resolution)
        while self._next <= now:
            for item in self._slots.pop(self._next, ()):
                self._ready.append((item, self._next))
            self._next += 1
        if self._ready and self._serving is None:
            self._serve()
        self._timer = loop.call_later(self._resolution, self._tick) if self._slots else None

    def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._serving = None
        for _ in range(min(_PER_TURN, len(self._ready))):
            item, slot = self._ready.popleft()
            if item.slot != slot:
                continue  # forgotten, or watched for another time, since
            item.slot = None
            now = loop.time()
            if item.due > now:
                self.watch(item)
                continue
            try:
                item.on_due(now)
            except Exception:
                log.exception("a deadline could not be served")
        if self._ready:
            self._serving = loop.call_soon(self._serve)

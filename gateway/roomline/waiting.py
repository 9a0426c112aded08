"""Commands that cannot be answered yet: bounded in count, bytes and time."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from roomline.core.limits import NodeLimits
from roomline.core.messages import Command
from roomline.live import LiveSession


class _Waiting(NamedTuple):
    command: Command
    size: int
    deadline: float


class WaitingCommands:
    """A queue for each session that has commands waiting, so that its commands keep their order.

    Times are of a monotonic clock, in seconds.
    """

    def __init__(self, limits: NodeLimits) -> None:
        self._limits = limits
        self._queues: dict[LiveSession, deque[_Waiting]] = {}
        self._size = 0

    def __contains__(self, live: LiveSession) -> bool:
        return live in self._queues

    def add(self, live: LiveSession, command: Command, size: int, now: float) -> bool:
        """Let `command`, of `size` bytes, wait; False: too much waits already."""
        queue = self._queues.get(live, ())
        if len(queue) >= self._limits.waiting or self._size + size > self._limits.waiting_bytes:
            return False
        deadline = now + self._limits.waiting_timeout
        self._queues.setdefault(live, deque()).append(_Waiting(command, size, deadline))
        self._size += size
        return True

    def leave(self, live: LiveSession) -> None:
        """The session has ended: forget what it asked."""
        for item in self._queues.pop(live, ()):
            self._size -= item.size

    def release(self, now: float, answer: Callable[[LiveSession, Command, bool], bool]) -> None:
        """Offer each session's commands, oldest first, until `answer` returns False.

        `answer` gets whether the command has waited for as long as it may, and must then answer.
        """
        for live in list(self._queues):
            # Answering may end sessions, this one too.
            while queue := self._queues.get(live):
                command, size, deadline = queue[0]
                if not answer(live, command, now >= deadline):
                    break
                if live in self._queues:
                    queue.popleft()
                    self._size -= size
                    if not queue:
                        del self._queues[live]

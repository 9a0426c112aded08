"""Commands that wait until the node has read far enough in the log, bounded in count and time."""

import math
from collections.abc import Callable
from typing import NamedTuple

from roomline.core.limits import NodeLimits
from roomline.core.messages import Command, Connect, History, Ping, Subscribe
from roomline.core.position import Position
from roomline.live import LiveSession

READ_THE_LOG = Connect | Subscribe | History
"""Commands whose answer depends on what has been read of the log."""


class _Waiting(NamedTuple):
    live: LiveSession
    command: Command
    awaited: float
    deadline: float


class WaitingCommands:
    """What cannot be answered yet, in the order of arrival.

    `awaited` is the lowest offset that something waits for, so that reading on costs one
    comparison an entry.
    """

    def __init__(self, limits: NodeLimits) -> None:
        self._limits = limits
        self._waiting: list[_Waiting] = []
        self.awaited = math.inf

    def must_wait(self, live: LiveSession, command: Command, read_to: float) -> bool:
        """Whether `command` has to wait while the node has read up to offset `read_to`.

        Commands wait behind a waiting one of the same session, so that they keep their order.
        """
        if isinstance(command, Ping):
            return False
        return live.waiting > 0 or awaited_offset(command) > read_to

    def add(self, live: LiveSession, command: Command, now: float) -> bool:
        """Let `command` wait; False: too many do."""
        full = len(self._waiting) >= self._limits.waiting_in_total
        if full or live.waiting >= self._limits.waiting:
            return False
        live.waiting += 1
        self._keep(
            _Waiting(live, command, awaited_offset(command), now + self._limits.waiting_timeout)
        )
        return True

    def release(
        self, read_to: float, now: float, answer: Callable[[LiveSession, Command], None]
    ) -> None:
        """Call `answer` for each command that can be answered now, or has waited long enough."""
        todo, self._waiting = self._waiting, []
        self.awaited = math.inf
        blocked: set[LiveSession] = set()
        for item in todo:
            live = item.live
            if live.closed:
                continue
            if now < item.deadline and (live in blocked or item.awaited > read_to):
                blocked.add(live)
                self._keep(item)
                continue
            live.waiting -= 1
            answer(live, item.command)

    def _keep(self, item: _Waiting) -> None:
        self._waiting.append(item)
        self.awaited = min(self.awaited, item.awaited)


def awaited_offset(command: Command) -> float:
    """The offset that must have been read before `command` can be answered; minus infinity: the
    log does not matter to it."""
    if not isinstance(command, READ_THE_LOG):
        return -math.inf
    since = command.since if isinstance(command, Subscribe) else None
    position = Position.parse(since) if since is not None else None
    return -1 if position is None else position.offset

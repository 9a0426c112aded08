"""Answers the commands of sessions: now, or as soon as the node has read what they depend on."""

from collections.abc import Callable

from roomline.core import messages
from roomline.core.codes import ErrorCode
from roomline.core.deadlines import Deadlines
from roomline.core.messages import Command
from roomline.effects import Effects, room_of
from roomline.live import LiveSession
from roomline.readings import Readings
from roomline.waiting import WaitingCommands

_UNREAD = "this client has not read what was sent to it"


class Commands:
    """The commands of one node's sessions, each in its session's order.

    `deadlines` is told of what answers change. `clock` gives seconds since the epoch, `timer`
    those of a clock that nobody sets.
    """

    def __init__(
        self,
        readings: Readings,
        effects: Effects,
        waiting: WaitingCommands,
        deadlines: Deadlines[LiveSession],
        clock: Callable[[], float],
        timer: Callable[[], float],
    ) -> None:
        self._readings = readings
        self._effects = effects
        self._waiting = waiting
        self._deadlines = deadlines
        self._clock = clock
        self._timer = timer

    def take(self, live: LiveSession, command: Command, size: int) -> None:
        """Answer a command of `size` bytes, or let it wait."""
        # A ping asks how things stand now. All else keeps its order.
        queued = live in self._waiting and not isinstance(command, messages.Ping)
        if not queued and self._answer(live, command, False):
            return
        if not self._waiting.add(live, command, size, self._timer()):
            reason = "too many commands wait already"
            self._effects.fail(live, command, ErrorCode.CATCHING_UP, reason)

    def release(self) -> None:
        """Answer what waits, as far as that can be done by now."""
        self._waiting.release(self._timer(), self._answer_waiting)

    def _answer_waiting(self, live: LiveSession, command: Command, overdue: bool) -> bool:
        with self._effects.sparing_others(live):
            return self._answer(live, command, overdue)
        return True

    def _answer(self, live: LiveSession, command: Command, overdue: bool) -> bool:
        """Answer a command, unless it can be answered better soon and is not `overdue`."""
        if refusal := self._readings.refusal(command):
            self._effects.fail(live, command, ErrorCode.UNAVAILABLE, refusal)
            return True
        obstacle = self._obstacle(live, command)
        if obstacle is None or self._readings.in_no_log(obstacle, overdue):
            self._effects.run(live, live.session.handle(command, self._clock()), room_of(command))
            self._deadlines.watch(live)
            return True
        if overdue:
            self._effects.fail(live, command, ErrorCode.CATCHING_UP, obstacle)
        return overdue

    def _obstacle(self, live: LiveSession, command: Command) -> str | None:
        """Why a command cannot be answered now."""
        if isinstance(command, messages.Ping):
            return None
        if live.outbox.size > live.outbox.limit // 2:
            # Replies, pages above all, are for clients that read them.
            return _UNREAD
        return self._readings.obstacle(command)

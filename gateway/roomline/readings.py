"""How far a node has read both its logs, the rooms' and that of revocations: whether it is ready,
and what it cannot answer yet."""

from collections.abc import Callable
from typing import Final

from roomline.core import messages
from roomline.core.codec import ProtocolError
from roomline.core.codes import ErrorCode
from roomline.core.limits import NodeLimits
from roomline.core.messages import Command
from roomline.core.position import Position
from roomline.core.rooms import Rooms
from roomline.reading import Reading

_READ_THE_LOG = messages.Connect | messages.Subscribe | messages.History
"""Commands whose answer depends on what has been read of the log."""
_NEED_THE_LOG = _READ_THE_LOG | messages.Refresh
"""Commands that a node refuses while it is cut off: a revocation might be waiting in the log."""

READY: Final = "ready"

_CUT_OFF = "this node cannot read the log now"
_CATCHING_UP = "this node is still reading the log"
_REVOCATIONS = "this node is still reading revocations"
_AHEAD = "this node has not read the log up to that position"


class Readings:
    """Both readings, and what follows from them. `timer` gives seconds of a clock that nobody
    sets."""

    def __init__(self, rooms: Rooms, limits: NodeLimits, timer: Callable[[], float]) -> None:
        self.log = Reading(timer, limits.unreadable_timeout)
        self.revocations = Reading(timer, limits.unreadable_timeout)
        self._rooms = rooms

    @property
    def status(self) -> str:
        """``ready``, or which of the two has not been read to its end."""
        if self.log.cut_off:
            return "the log cannot be read"
        if self.revocations.cut_off:
            return "revocations cannot be read"
        if not self.log.caught_up:
            return "catching up with the log"
        return READY if self.revocations.caught_up else "catching up with revocations"

    @property
    def ready(self) -> bool:
        """Whether both have been read, and can be read on."""
        return self.status == READY

    @property
    def cut_off(self) -> bool:
        """Whether one of them cannot be read now."""
        return self.log.cut_off or self.revocations.cut_off

    @property
    def behind(self) -> dict[str, float]:
        """Seconds for which each log has not been known to be read to its end; 0: it is."""
        return {"rooms": self.log.behind, "control": self.revocations.behind}

    def refusal(self, command: Command) -> str | None:
        """Why a command is refused at once."""
        return _CUT_OFF if self._cut_off_long and isinstance(command, _NEED_THE_LOG) else None

    def obstacle(self, command: Command) -> str | None:
        """Why a command cannot be answered yet."""
        if isinstance(command, _NEED_THE_LOG) and not self.revocations.caught_up:
            return _REVOCATIONS
        if not isinstance(command, _READ_THE_LOG):
            return None
        return self._unread(command.since if isinstance(command, messages.Subscribe) else None)

    def unreadable(self, since: str | None, overdue: bool) -> ProtocolError | None:
        """What to say to somebody who is not a session and wants to continue from a position."""
        if self._cut_off_long:
            return ProtocolError(ErrorCode.UNAVAILABLE, _CUT_OFF)
        unread = self._unread(since)
        if unread is not None and not self.in_no_log(unread, overdue):
            return ProtocolError(ErrorCode.CATCHING_UP, unread)
        if not self.revocations.caught_up:
            return ProtocolError(ErrorCode.CATCHING_UP, _REVOCATIONS)
        return None

    def in_no_log(self, obstacle: str, overdue: bool) -> bool:
        """Whether a position that was waited for is in no log: the index will say so."""
        return overdue and obstacle is _AHEAD and not self.log.cut_off

    @property
    def _cut_off_long(self) -> bool:
        return self.log.cut_off_long or self.revocations.cut_off_long

    def _unread(self, since: str | None) -> str | None:
        """Why what follows a position cannot be told yet."""
        if not self.log.caught_up:
            return _CATCHING_UP
        position = Position.parse(since) if since is not None else None
        return _AHEAD if position is not None and self._rooms.index.ahead(position) else None

"""Whether a position can be continued from: proved by the entries this node has read."""

from array import array
from bisect import bisect_left

from roomline.core.codes import Unrecoverable
from roomline.core.position import BEGINNING, Position


class LogIndex:
    """The offsets and fingerprints of the newest log entries, read without a break.

    16 bytes an entry, of all rooms, so that the position of a client in a quiet room can be
    checked too. `first_offset` is the offset that the first entry of a new log gets.
    """

    def __init__(self, capacity: int, first_offset: int) -> None:
        self._capacity = capacity
        self._first_offset = first_offset
        self.clear()

    def clear(self) -> None:
        """Forget everything: what comes next is another log, or does not follow what came."""
        self._offsets = array("q")
        self._fingerprints = array("Q")
        self._from_beginning: bool | None = None
        self.last = BEGINNING

    def append(self, position: Position) -> None:
        """Add the next entry of the log."""
        if self._from_beginning is None:
            self._from_beginning = position.offset == self._first_offset
        self._offsets.append(position.offset)
        self._fingerprints.append(position.fingerprint)
        self.last = position
        # In large steps, because removing from the front moves all the rest.
        if len(self._offsets) >= self._capacity + self._capacity // 4:
            surplus = len(self._offsets) - self._capacity
            del self._offsets[:surplus]
            del self._fingerprints[:surplus]
            self._from_beginning = False

    def ahead(self, position: Position) -> bool:
        """Whether `position` may come from a node that has read further than this one."""
        return position.partition == self.last.partition and position.offset > self.last.offset

    def doubt(self, position: Position) -> Unrecoverable | None:
        """Why `position` cannot be continued from; None: all that follows it was read here."""
        if position == BEGINNING:
            # An empty log has no fingerprint: what this node read must go back to its first entry.
            return None if self._from_beginning is not False else Unrecoverable.TRIMMED
        if position.partition != self.last.partition:
            return Unrecoverable.NOT_IN_LOG
        place = bisect_left(self._offsets, position.offset)
        if place < len(self._offsets) and self._offsets[place] == position.offset:
            good = self._fingerprints[place] == position.fingerprint
            return None if good else Unrecoverable.NOT_IN_LOG
        return Unrecoverable.NOT_IN_LOG if place or not self._offsets else Unrecoverable.TRIMMED

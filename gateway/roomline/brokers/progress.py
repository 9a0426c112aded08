"""How far the log has been read, and where to go on: the rules of resuming, without any I/O."""

from dataclasses import dataclass, field
from typing import NamedTuple

from roomline.broker import Start
from roomline.wire import Envelope, fingerprint_of

STEPS_BEFORE_LEAPS = 64


class Entry(NamedTuple):
    """One entry of the log."""

    offset: int
    envelope: Envelope


@dataclass
class Progress:
    """Where reading stands in one partition.

    A stream is silent about what it has lost: whoever asks for an offset that was trimmed gets
    the oldest entry there is, and whoever asks past the end waits. So the last entry is asked for
    again and compared (`proof`) before reading goes on behind it.
    """

    start: Start
    last: Entry | None = None
    """The last entry that was delivered, or that stood in the log when reading "next" began."""
    beyond: int | None = field(default=None, init=False)
    """The offset to go on at, past entries that cannot be read."""

    @property
    def next(self) -> Start:
        """Where to attach, given that `last` was found in its place."""
        if self.beyond is not None:
            return self.beyond
        return self.start if self.last is None else self.last.offset + 1

    def lacks(self, offset: int) -> bool:
        """Whether an entry at this offset should have been delivered and was not, for certain."""
        where = self.next
        return where == "first" or (isinstance(where, int) and offset >= where)

    def proof(self, found: Entry | None) -> str | None:
        """Compare what stands at the last entry's offset; None, or why history is lost."""
        assert self.last is not None
        offset = self.last.offset
        if found is None:
            return f"the log ends before offset {offset}, up to which it was read"
        if found.offset != offset:
            return (
                f"offset {offset}, up to which it was read, is gone: {found.offset} is found there"
            )
        if fingerprint_of(found.envelope) != fingerprint_of(self.last.envelope):
            return f"another entry stands at offset {offset}: the log was replaced"
        return None

    def restart(self) -> None:
        """Forget everything: read from the oldest entry."""
        self.start, self.last, self.beyond = "first", None, None

    def passes(self, offset: int) -> bool:
        """Whether an entry at this offset stands behind those that cannot be read."""
        return self.beyond is not None and offset >= self.beyond

    def delivered(self, entry: Entry) -> None:
        """Note an entry before it is handed on."""
        self.last = entry
        self.beyond = None

    def step(self) -> int:
        """Go on one offset further than where reading just failed; returns the new one.

        Usually the entry that cannot be read is the one behind the last. When none was read, in a
        log that was trimmed, its offset is unknown and may be large: then steps become leaps,
        because skipping entries that could be read beats never reading again.
        """
        failed = self.next
        if not isinstance(failed, int):
            failed = 0
        elif self.last is None and not isinstance(self.start, int) and failed > STEPS_BEFORE_LEAPS:
            failed *= 2
        self.beyond = failed + 1
        return self.beyond


@dataclass
class CatchUp:
    """Whether all that stood in the log when reading began has been delivered.

    The start of the log's last chunk tells at least how far that is; once it is reached, a pause
    tells that the rest of the chunk is in too. Before that no silence, however long, means
    anything but that reading has stalled. Under traffic there is no pause, but then the first
    entry appended after reading began has an offset, and what is before it stood there.
    """

    start: Start
    """Where reading began."""
    pause: float
    """Seconds without a delivery after which a burst has ended."""
    silence: float
    """Seconds without any delivery after which nothing is there, or nothing moves."""
    since: float
    """When reading began, and then when the last delivery was noticed."""
    end: int | None = None
    """The first offset of the log's last chunk, if known."""
    appended: int | None = None
    """The offset of the first entry appended after reading began, if known."""
    _seen: int | None = field(default=None, init=False)

    def done(self, last: int | None, now: float) -> bool:
        """Given the last delivered offset and the time in seconds.

        Silence proves little where the connection itself is silent: whoever asks makes sure that
        it is alive, and asks again.
        """
        if last != self._seen:
            self._seen, self.since = last, now
        if last is not None and self.appended is not None and last >= self.appended:
            return True
        if self.end is None or (last is None and not self._certainly_before(self.end)):
            return self.silent(now)
        return last is not None and last >= self.end and now - self.since >= self.pause

    def _certainly_before(self, offset: int) -> bool:
        return self.start == "first" or (isinstance(self.start, int) and self.start <= offset)

    def silent(self, now: float) -> bool:
        """Whether nothing has been delivered for as long as `silence`."""
        return now - self.since >= self.silence

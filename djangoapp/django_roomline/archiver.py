"""The archiver: follows the log, proves that it continues what was archived, and stores it.

::

    progress ─▶ read from a little before it ─▶ is its last entry still there?
                                                  │ yes            │ no
                                                  ▼                ▼
                                   store what follows it     a new epoch, from the oldest entry

What it reads again before that entry is what repeats are recognised by, as gateways do.
"""

import logging
import time
from collections.abc import Sequence
from typing import Final

from django.db import Error as DatabaseError
from django.db import close_old_connections
from roomline.repeats import Repeats
from roomline.wire import fingerprint_of

from django_roomline import conf
from django_roomline.archive_store import AnotherArchiver, Found, Store
from django_roomline.logreader import Entry, LogReader, LogUnreadable, reader_of
from django_roomline.models import NOTHING, ArchiveProgress
from django_roomline.pauses import Pauses
from django_roomline.stopping import Stop

BATCH: Final = 500
READ_SECONDS: Final = 0.5
"""How long one look at the log lasts: so soon is a signal to stop obeyed."""
OTHER_SECONDS: Final = 5.0
"""How long to leave the archive to an archiver that was faster."""
REPORT_SECONDS: Final = 10.0

_logger = logging.getLogger("django_roomline")


class HistoryLost(Exception):
    """The log does not continue what was archived; the text says why.

    `before` is the first offset of what there is, if that is known.
    """

    def __init__(self, reason: str, before: int | None = None) -> None:
        super().__init__(reason)
        self.before = before


class LookAgain(Exception):
    """Entries may be missing before this one: look whether the last one is still there."""


class Thread:
    """What is known of the log since the reader was started: which entries are new and follow.

    A log is silent about what it has lost: whoever asks for an offset that was trimmed gets the
    oldest entry, and whoever asks past the end gets none. So the last archived entry has to come
    by, the same as it was, before anything behind it counts; and where offsets jump while reading,
    retention may have overtaken the reader, so that it has to come by once more.
    """

    def __init__(self, offset: int, fingerprint: int, window: int, step: int) -> None:
        self.proven = offset == NOTHING
        self.begun = False
        """Whether any entry came by."""
        self._last = offset
        self._fingerprint = fingerprint
        self._repeats = Repeats(window)
        self._step = step
        self._may_jump = True
        """With the last entry there, all behind it are: retention takes the oldest first."""

    def take(self, entry: Entry) -> Found | None:
        """The entry if it is new; raises `HistoryLost` or `LookAgain`."""
        self.begun = True
        offset, envelope = entry
        new = self.proven
        if not new:
            if envelope is None:
                return None
            if offset >= self._last:
                self._prove(offset, fingerprint_of(envelope))
        elif offset <= self._last:
            return None
        elif not self._may_jump and offset > self._last + self._step:
            raise LookAgain
        if self.proven:
            self._last = offset
            self._may_jump = not new or envelope is None
        repeated = envelope is not None and self._repeats.seen(
            offset, envelope.room, envelope.message_id
        )
        return Found(offset, envelope, repeated) if new else None

    def _prove(self, offset: int, fingerprint: int) -> None:
        if offset > self._last:
            raise HistoryLost(
                f"offset {self._last}, up to which it was archived, is gone: {offset} is found"
                " there",
                offset,
            )
        if fingerprint != self._fingerprint:
            raise HistoryLost(f"another entry stands at offset {offset}: the log was replaced")
        self.proven = True

    def silent(self) -> None:
        """Nothing more comes; raises `HistoryLost` if the last entry should have come by now."""
        if self.begun and not self.proven:
            raise HistoryLost(
                f"the log ends before offset {self._last}, up to which it was archived"
            )


class Archiver:
    """Brings the log into the archive, until stopped or until there is nothing more."""

    def __init__(
        self, reader: LogReader, store: Store, stop: Stop, *, window: int, batch: int = BATCH
    ) -> None:
        self.stored = 0
        """Publications that this archiver has stored."""
        self._reader = reader
        self._store = store
        self._stop = stop
        self._window = window
        self._batch = batch
        self._pauses = Pauses()
        self._reported = 0.0

    def run(self) -> None:
        """Archive until asked to stop. What goes wrong is logged and tried again."""
        while not self._stop.asked:
            # Not in `follow`, which may run in a transaction of its caller's.
            close_old_connections()
            try:
                self.follow(once=False)
            except AnotherArchiver as error:
                _logger.warning("%s: waiting for %g seconds", error, OTHER_SECONDS)
                self._stop.wait(OTHER_SECONDS)
            except (LogUnreadable, DatabaseError) as error:
                self._wait_after(str(error))
            except Exception as error:
                _logger.exception("archiving failed in an unforeseen way")
                self._wait_after(repr(error))
            finally:
                self.close()

    def close(self) -> None:
        """Let go of the log."""
        self._reader.close()

    def follow(self, *, once: bool) -> None:
        """Archive until asked to stop, or until nothing more is in the log.

        Raises `LogUnreadable`, `AnotherArchiver`, `django.db.Error`.
        """
        progress = self._store.progress()
        at = self._a_little_before(progress)
        while not self._stop.asked:
            self._reader.start(at)
            thread = Thread(progress.offset, progress.fingerprint, self._window, self._reader.step)
            try:
                if progress.log and progress.log != self._reader.log:
                    raise HistoryLost("another log is there now")
                if self._read(progress, thread, from_oldest=at is None, once=once):
                    return
                # Perhaps a shorter log, which ends before where reading began.
                at = None
            except LookAgain:
                at = self._a_little_before(progress)
            except HistoryLost as lost:
                _logger.warning("the archive begins a new epoch: %s", lost)
                self._store.begin_epoch(progress, lost.before, str(lost))
                at = None

    def _a_little_before(self, progress: ArchiveProgress) -> int | None:
        if progress.offset == NOTHING:
            return None
        return max(progress.offset - self._window, self._reader.first_offset)

    def _read(
        self, progress: ArchiveProgress, thread: Thread, *, from_oldest: bool, once: bool
    ) -> bool:
        """Store what comes. False: nothing came of a log that may have something further down."""
        patience = min(READ_SECONDS, self._reader.silence) if once else READ_SECONDS
        heard = time.monotonic()
        waiting: list[Found] = []
        while not self._stop.asked:
            entries = self._reader.read(self._batch, patience)
            if entries:
                heard = time.monotonic()
                self._pauses.reset()
                self._take(progress, thread, entries, waiting)
            elif time.monotonic() - heard >= self._reader.silence:
                thread.silent()
                if not (thread.proven or from_oldest):
                    return False
                if once:
                    return True
                heard = time.monotonic()
        return True

    def _take(
        self,
        progress: ArchiveProgress,
        thread: Thread,
        entries: Sequence[Entry],
        waiting: list[Found],
    ) -> None:
        """Store what is new of these; what nobody can read waits for an entry behind it."""
        try:
            for entry in entries:
                if found := thread.take(entry):
                    waiting.append(found)
        finally:
            ready = len(waiting)
            while ready and waiting[ready - 1].envelope is None:
                ready -= 1
            if ready:
                self._add(progress, waiting[:ready])
                del waiting[:ready]

    def _add(self, progress: ArchiveProgress, found: Sequence[Found]) -> None:
        # A later epoch has said why it begins where it does.
        begins = progress.epoch == 1 and progress.offset == NOTHING
        late = begins and found[0].offset > self._reader.first_offset
        gap = "the log was trimmed before the archive began" if late else None
        before = progress.stored
        self._store.add(progress, self._reader.log, found, gap)
        self.stored += progress.stored - before
        if time.monotonic() - self._reported >= REPORT_SECONDS:
            self._reported = time.monotonic()
            _logger.info("%d publications archived, up to %d", progress.stored, progress.offset)

    def _wait_after(self, problem: str) -> None:
        _logger.warning("the archive waits: %s", problem)
        self._stop.wait(self._pauses.next())


def archiver_of(settings: conf.Settings, stop: Stop) -> Archiver:
    """The archiver that ``ROOMLINE`` describes; its ``ARCHIVE`` is there."""
    assert settings.archive is not None
    return Archiver(
        reader_of(settings),
        Store(settings.archive.publishers | {settings.broker_user}),
        stop,
        window=settings.archive.dedup_window,
    )

"""The thread that follows an embedded log, and appends to it for a gateway.

It does everything that touches the file, so that a slow disk never holds up the event loop. It
sleeps until there is something to append or `POLL_SECONDS` have passed, appends what waits in one
transaction, and reads what is new, its own appends at once. The event loop watches it: a disk that
stands still leaves nobody waiting.

::

    publish ──▶ waiting ──▶ LogThread ──▶ SqliteLog
    listener ◀── call_soon_threadsafe ◀───┘
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from roomline.broker import (
    BrokerError,
    BrokerUnavailable,
    Listener,
    PublishUnconfirmed,
    Start,
)
from roomline.brokers.loopcalls import LoopCalls, LoopEnded
from roomline.sqlitelog import (
    Extent,
    LogError,
    LogReplaced,
    LogUnavailable,
    LogUnconfirmed,
    LogUnusable,
    SqliteLog,
)
from roomline.wire import Envelope, fingerprint_of

POLL_SECONDS: Final = 0.005
"""How often the log is asked whether another process has changed it."""
TRIM_SECONDS: Final = 30.0
MAX_WAITING: Final = 1000
"""Publications that wait for the disk; more are answered `BrokerUnavailable`."""
APPEND_BATCH: Final = 500
READ_BATCH: Final = 500
DELIVERIES_PER_TURN: Final = 100
DEFAULT_BYTES_PER_TURN: Final = 256 * 2**10
"""How much is delivered in one turn of the event loop, in entries and in bytes of their bodies:
others get their turn while a long log is read, and what clients are sent is written once a turn,
so that only so much can pile up for one that reads fast."""
CLOSE_SECONDS: Final = 5.0
"""How long `close` waits; more than an append waits for a locked file."""
WATCH_SECONDS: Final = 1.0
STILL_TURNS: Final = 10
"""So often `WATCH_SECONDS` without a sign of the thread, and the disk stands still: more than
all locked files together may take."""
STANDS_STILL: Final = "the disk of the log stands still"

_BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

_logger = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """A publication for the log, and whom to tell."""

    envelope: Envelope
    confirmed: asyncio.Future[None]


class LogThread:
    """The thread and what it owns: the log, and how far it has been read.

    The two sides share `waiting`, `_closing`, `_delivering`, `_turns` and `_stood_still`; all else
    the thread tells the event loop by callbacks.
    """

    def __init__(
        self,
        open_log: Callable[[], SqliteLog],
        loop: asyncio.AbstractEventLoop,
        listener: Listener,
        start: Start,
        bytes_per_turn: int,
        poll_seconds: float,
    ) -> None:
        self._thread = threading.Thread(target=self._run, name="roomline-log", daemon=True)
        self.started: asyncio.Future[None] = loop.create_future()
        self.ended = asyncio.Event()
        self.waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()  # None: just wake up
        self._appending: list[Waiting] = []
        self._open_log = open_log
        self._loop = loop
        self._tell = LoopCalls(loop)
        self._listener = listener
        self._bytes_per_turn = bytes_per_turn
        self._poll_seconds = poll_seconds
        self._closing = False
        self._delivering = False  # a batch is with the event loop: nothing else is read or told
        self._turns = 0  # the thread's sign of life
        self._stood_still = False  # as the event loop found, until the thread knows it

        self._start: Start | None = start  # until the log could be opened
        self._log: SqliteLog | None = None
        self._epoch = ""
        self._position = 0  # everything up to this offset has been handed to the event loop
        self._fingerprint: int | None = None  # of the entry there, if it was handed over
        self._target: int | None = None  # having read up to here is having caught up
        self._changes: int | None = None  # the log's number when it was last read to its end
        self._trim_at = 0.0
        self._trouble = ""  # why the log cannot be read, as the listener was told
        self._failures = 0
        self._retry_at = 0.0

    # The event loop's side.

    def start(self) -> None:
        """Begin; `started` says when reading has begun."""
        self._thread.start()
        self._watch_in_loop(self._turns, 0)

    def refusal(self) -> str | None:
        """Why nothing is appended now."""
        if self._closing or self.ended.is_set():
            return "this log was closed, or its thread has failed"
        if self._stood_still:
            return STANDS_STILL
        if self.waiting.qsize() >= MAX_WAITING:
            return f"{MAX_WAITING} publications wait for the disk already, more are not taken"
        return None

    def append(self, waiting: Waiting) -> None:
        """Append this soon, if there is no `refusal`, and say how that ended."""
        self.waiting.put(waiting)

    async def close(self) -> None:
        self._closing = True
        self.waiting.put(None)
        try:
            await asyncio.wait_for(self.ended.wait(), CLOSE_SECONDS)
        except TimeoutError:
            _logger.warning("the log did not let go within %s seconds", CLOSE_SECONDS)
            self._end_in_loop()

    def _deliver_in_loop(self, entries: deque[tuple[int, Envelope]], caught_up: bool) -> None:
        size = 0
        for count in range(min(len(entries), DELIVERIES_PER_TURN)):
            if self._closing:
                return
            offset, envelope = entries[0]
            size += len(envelope.body)
            if count and size > self._bytes_per_turn:
                break
            entries.popleft()
            self._listener.deliver(0, offset, envelope)
        if entries:
            self._loop.call_soon(self._deliver_in_loop, entries, caught_up)
            return
        if caught_up:
            self._notify_in_loop(self._listener.caught_up)
        self._delivering = False
        self.waiting.put(None)

    def _notify_in_loop(self, callback: Callable[..., None], *reason: str) -> None:
        if not self._closing:
            callback(*reason)

    def _end_in_loop(self) -> None:
        """Nothing more comes from the thread: leave nobody waiting."""
        self.ended.set()
        self._give_up("the log was closed")
        _finish(self.started, BrokerError("the log was closed before it could be read"))

    def _give_up(self, reason: str) -> None:
        _settle(self._appending, PublishUnconfirmed(f"{reason}: this may or may not be written"))
        _settle(self._take(MAX_WAITING), BrokerUnavailable(f"{reason}: this was not written"))

    def _watch_in_loop(self, turns: int, still: int) -> None:
        """Leave nobody waiting for a thread that has made no turn since the last look.

        Looks are counted, not seconds: a process that was stopped itself has not looked.
        """
        if self._closing or self.ended.is_set():
            return
        still = still + 1 if turns == self._turns else 0
        if still == STILL_TURNS:
            self._stood_still = True
            self._listener.cut_off(STANDS_STILL)
            _finish(self.started)
        if self._stood_still:
            self._give_up(STANDS_STILL)
        self._loop.call_later(WATCH_SECONDS, self._watch_in_loop, self._turns, still)

    # The thread's side.

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turn()
            while self._append(self._take(APPEND_BATCH)):
                pass
        except LoopEnded:
            _logger.warning("the event loop ended and its log was not closed")
        except Exception:
            # A defect. The node must not look ready while nobody reads.
            _logger.exception("the thread that reads the log has failed")
            self._tell(self._notify_in_loop, self._listener.cut_off, "the log's thread has failed")
        finally:
            try:
                self._let_go()
            finally:
                with contextlib.suppress(LoopEnded):
                    self._tell(self._end_in_loop)

    def _turn(self) -> None:
        self._turns += 1
        if self._stood_still:
            self._stood_still = False
            self._trouble = STANDS_STILL
            self._let_go()  # so that it is opened anew, and reading has to catch up
        if self._log is None and not self._delivering and time.monotonic() >= self._retry_at:
            self._attempt(self._begin)
        to_read = self._log is not None and self._changes is None and not self._delivering
        self._append(self._take(APPEND_BATCH, 0.0 if to_read else self._poll_seconds))
        if self._log is not None and not self._delivering:
            self._attempt(self._read)
            self._trim()

    def _attempt(self, act: Callable[[], None]) -> None:
        """Do something with the log. If that fails, let go of it and tell the listener."""
        try:
            act()
        except LogError as error:
            first = self._start is not None and self._failures == 0
            self._let_go()
            if first and isinstance(error, LogUnusable):
                self._closing = True
                self._tell(_finish, self.started, BrokerError(str(error)))
                return
            wait = _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
            self._retry_at = time.monotonic() + wait
            self._failures += 1
            # A replaced file is worth a reset, not an alarm, if it can be opened.
            if not self._trouble and not isinstance(error, LogReplaced):
                self._trouble = str(error)
                self._tell(self._notify_in_loop, self._listener.cut_off, self._trouble)
            if first:
                self._tell(_finish, self.started)

    def _begin(self) -> None:
        """Open the log, and find where to read on."""
        self._log = log = self._open_log()
        extent = log.extent()
        if self._start is not None:
            self._epoch = extent.epoch
            self._position = _first_to_read(log, extent, self._start) - 1
            self._start = None
            self._tell(_finish, self.started)
        elif not self._continues(log, extent):
            self._reset(extent, "the log was replaced")
        self._target = extent.last
        self._changes = None

    def _continues(self, log: SqliteLog, extent: Extent) -> bool:
        """Whether the log still has the entry at our position, as far as can be known."""
        if extent.epoch != self._epoch or extent.last < self._position:
            return False
        entry = log.read(self._position - 1, 1)
        if self._fingerprint is None or not entry or entry[0][0] != self._position:
            return True  # trimmed: `_read` finds whether anything was missed
        return fingerprint_of(entry[0][1]) == self._fingerprint

    def _reset(self, extent: Extent, reason: str) -> None:
        self._epoch = extent.epoch
        self._position = extent.first - 1
        self._fingerprint = None
        self._target = extent.last
        self._changes = None
        self._tell(self._notify_in_loop, self._listener.log_reset, reason)

    def _read(self) -> None:
        """Hand the next batch to the event loop, if there is one."""
        log = self._opened()
        changes = log.changes()
        if changes == self._changes:
            return
        entries = log.read(self._position, READ_BATCH)
        extent = log.extent()
        self._failures, self._trouble = 0, ""
        if extent.epoch != self._epoch or extent.last < self._position:
            self._reset(extent, "the log was replaced")
            return
        # Trimming can overtake between the two questions: an entry in hand was not missed.
        missing = not entries or entries[0][0] != self._position + 1
        if missing and extent.first > self._position + 1:
            self._reset(
                extent,
                f"the log was trimmed to offset {extent.first} while this node had read"
                f" to {self._position} only",
            )
            return
        if entries:
            self._position = entries[-1][0]
            self._fingerprint = fingerprint_of(entries[-1][1])
        if len(entries) < READ_BATCH:
            self._changes = changes
        caught_up = self._target is not None and (not entries or self._position >= self._target)
        if caught_up:
            self._target = None
        if entries or caught_up:
            self._delivering = True
            self._tell(self._deliver_in_loop, deque(entries), caught_up)

    def _append(self, batch: list[Waiting]) -> bool:
        """Append what publishers handed over and tell them; False: it was nothing."""
        if not batch:
            return False
        self._appending = batch
        error: BrokerError | None = None
        try:
            self._opened().append([waiting.envelope for waiting in batch])
        except LogUnconfirmed as problem:
            error = PublishUnconfirmed(str(problem))
        except LogError as problem:
            error = BrokerUnavailable(str(problem))
        except Exception as problem:
            # A defect, or no memory. Whoever publishes must not wait for ever.
            _logger.exception("appending to the log failed in an unforeseen way")
            error = PublishUnconfirmed(f"unforeseen: {problem!r}")
        self._changes = None  # read at once: the log's number ignores our own appends
        self._tell(_settle, batch, error)
        self._appending = []
        return True

    def _trim(self) -> None:
        # Not before having caught up: a node must not delete what it has yet to read.
        if self._log is None or self._target is not None or time.monotonic() < self._trim_at:
            return
        try:
            if self._log.trim(time.time()):
                return  # there may be more, in the next turn
        except LogError as error:
            _logger.warning("%s; trying again in %s seconds", error, TRIM_SECONDS)
        self._trim_at = time.monotonic() + TRIM_SECONDS

    def _take(self, limit: int, patience: float = 0.0) -> list[Waiting]:
        """What waits, after waiting up to `patience` seconds for the first of it."""
        batch: list[Waiting] = []
        try:
            waiting = self.waiting.get(timeout=patience)
            while True:
                if waiting is not None:
                    batch.append(waiting)
                if len(batch) == limit:
                    return batch
                waiting = self.waiting.get_nowait()
        except queue.Empty:
            return batch

    def _opened(self) -> SqliteLog:
        if self._log is None:
            raise LogUnavailable(self._trouble or "the log is being opened")
        return self._log

    def _let_go(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None


def _first_to_read(log: SqliteLog, extent: Extent, start: Start) -> int:
    if start == "first":
        return extent.first
    if start == "next":
        return extent.last + 1
    if isinstance(start, datetime):
        return log.offset_at(start)
    return max(start, extent.first)


def _settle(batch: Iterable[Waiting], error: BrokerError | None = None) -> None:
    for waiting in batch:
        _finish(waiting.confirmed, error)


def _finish(future: asyncio.Future[None], error: BrokerError | None = None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)

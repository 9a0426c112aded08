"""Reading the log from Django: one small interface, the embedded log, and which of both it is."""

import contextlib
import time
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from roomline.sqlitelog import LogError, SqliteLog
from roomline.wire import Envelope

from django_roomline import conf

_POLL_SECONDS: Final = 0.05


class LogUnreadable(Exception):
    """The log cannot be read for now; the text is for operators. Start again later."""


class Entry(NamedTuple):
    """One entry of the log. No envelope: nobody can read what stands there."""

    offset: int
    envelope: Envelope | None


class LogReader(Protocol):
    """A reader of the log's one partition, which changes nothing in it.

    It tells what comes, in order; whether that continues what somebody has read before is for them
    to prove: a log that was trimmed or re-created does not say so (see `archiver.Thread`).
    """

    first_offset: int
    """What the first entry of a new log gets."""
    step: int
    """How far apart neighbours may be without anything missing between them."""
    silence: float
    """Seconds without an entry after which there is none for now, as far as one can know."""
    log: str
    """Since `start`: the name of this very log; empty if it has none."""

    def start(self, at: int | None) -> None:
        """Read from the oldest entry, or from the oldest that stands at `at` or behind it.

        Raises `LogUnreadable`.
        """

    def read(self, limit: int, timeout: float) -> list[Entry]:
        """The next entries, at most `limit`, as soon as there are any; none after `timeout`
        seconds. Raises `LogUnreadable`."""

    def close(self) -> None:
        """Let go of the log. Idempotent; does not raise."""


class EmbeddedReader:
    """Reads the SQLite file at `path`."""

    first_offset = 1
    step = 1
    silence = 0.0

    def __init__(self, path: str) -> None:
        self.log = ""
        self._path = path
        self._file: SqliteLog | None = None
        self._last = 0

    def start(self, at: int | None) -> None:
        """See `LogReader.start`."""
        self.close()
        # Opening it would make it; that is for those who write.
        if not Path(self._path).exists():
            raise LogUnreadable(f"{self._path} is not there: nothing was published yet")
        try:
            self._file = SqliteLog(self._path)
            self.log = self._file.extent().epoch
        except LogError as error:
            self.close()
            raise LogUnreadable(str(error)) from error
        self._last = 0 if at is None else at - 1

    def read(self, limit: int, timeout: float) -> list[Entry]:
        """See `LogReader.read`."""
        if self._file is None:
            raise LogUnreadable("reading was not started")
        deadline = time.monotonic() + timeout
        try:
            changes = self._file.changes()
            while not (found := self._file.read(self._last, limit)):
                while self._file.changes() == changes:
                    if time.monotonic() >= deadline:
                        return []
                    time.sleep(_POLL_SECONDS)
                changes = self._file.changes()
        except LogError as error:
            raise LogUnreadable(str(error)) from error
        self._last = found[-1][0]
        return [Entry(offset, envelope) for offset, envelope in found]

    def close(self) -> None:
        """See `LogReader.close`."""
        if self._file is not None:
            with contextlib.suppress(LogError):
                self._file.close()
            self._file = None


def reader_of(settings: conf.Settings) -> LogReader:
    """The reader for the broker in ``ROOMLINE``."""
    if settings.embedded_path is not None:
        return EmbeddedReader(settings.embedded_path)
    # Only who uses RabbitMQ has pika.
    from django_roomline.amqp_reader import AmqpReader

    return AmqpReader(settings.broker)

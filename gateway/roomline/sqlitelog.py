"""The embedded log: an append-only SQLite file that the processes of one machine share.

Standard library only, so that Django appends to the same file as the gateway. The file is the
authority: whoever may write it may state any `Envelope.publisher`.

Errors and durability are those of `roomline.sqlitefile`. Positions of clients carry a fingerprint,
so that a tail that a power cut has taken is noticed.
"""

import os
import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from roomline.sqlitefile import (
    BUSY_SECONDS,
    Form,
    LogError,
    LogReplaced,
    LogUnavailable,
    LogUnconfirmed,
    LogUnusable,
    SqliteFile,
    check_filesystem,
)
from roomline.wire import (
    MAX_BODY_BYTES,
    Envelope,
    InvalidData,
    Sender,
    check_room,
    envelope_of,
    properties_of,
    shorten,
)

__all__ = [
    "BUSY_SECONDS",
    "CONTROL_SUFFIX",
    "DEFAULT_RETENTION_BYTES",
    "DEFAULT_RETENTION_SECONDS",
    "MIN_RETENTION_BYTES",
    "PUBLISHER",
    "TRIM_BATCH",
    "Extent",
    "LogError",
    "LogReplaced",
    "LogUnavailable",
    "LogUnconfirmed",
    "LogUnusable",
    "SqliteLog",
    "check_envelope",
    "check_filesystem",
]

DEFAULT_RETENTION_SECONDS: Final = 7 * 86_400
DEFAULT_RETENTION_BYTES: Final = 256 * 2**20
"""About a million short publications: what a node reads at its start in well under 30 s."""
MIN_RETENTION_BYTES: Final = 2**20
CONTROL_SUFFIX: Final = ".control"
"""Behind the path of the rooms' log it makes that of the log of revocations."""
PUBLISHER: Final = "roomline"
"""What the log states as `Envelope.publisher` of all that is appended: there is no broker that
would know users, and who may write to the file is trusted."""
TRIM_BATCH: Final = 1000
"""The most entries that one call of `SqliteLog.trim` deletes: a millisecond or two of work, so
that publishers hardly wait for it."""

_ENTRY_OVERHEAD = 100  # bytes of an entry besides its body, near enough for retention by size

# `appended` is in milliseconds and never decreases with the offset, also when the clock is set
# back: so reading from a time is a binary search and needs no index.
_SCHEMA = """
CREATE TABLE log (epoch TEXT NOT NULL);
INSERT INTO log VALUES (lower(hex(randomblob(16))));
CREATE TABLE publications (
    offset INTEGER PRIMARY KEY AUTOINCREMENT,
    appended INTEGER NOT NULL,
    room TEXT NOT NULL,
    body BLOB NOT NULL CHECK (typeof(body) = 'blob'),
    message_id TEXT,
    time INTEGER,
    kind TEXT NOT NULL CHECK (kind IN ('message', 'system', 'admin')),
    sender_id TEXT,
    sender_name TEXT,
    key TEXT,
    publisher TEXT
);
"""
_FORM = Form("log", int.from_bytes(b"Rlog"), 1, _SCHEMA)
_COLUMNS = "room, body, message_id, time, kind, sender_id, sender_name, key, publisher"
_INSERT = f"INSERT INTO publications (appended, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
_READ = f"SELECT offset, {_COLUMNS} FROM publications WHERE offset > ? ORDER BY offset LIMIT ?"  # noqa: S608
_APPENDED = "SELECT offset, appended FROM publications WHERE offset >= ? ORDER BY offset LIMIT 1"
# The newest entry is never trimmed, as a RabbitMQ stream never removes its last segment: whoever
# reads an empty log takes it for one that was never written, in which "before the first entry" is
# a position that has missed nothing.
_OLDEST = """
SELECT offset, appended, length(body) FROM publications
    WHERE offset < (SELECT max(offset) FROM publications) ORDER BY offset LIMIT ?
"""
# An empty table has no smallest offset; the first is then the one that comes next.
_EXTENT = """
SELECT epoch, coalesce((SELECT min(offset) FROM publications), last + 1), last FROM
    log, (SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'publications'), 0) AS last)
"""


class Extent(NamedTuple):
    """Which log this is and what it holds.

    `epoch` is random text made with the file. `first` is the oldest retained offset, 1 before any
    was given; `last` is the newest offset ever given, 0 before any.
    """

    epoch: str
    first: int
    last: int


class SqliteLog(SqliteFile):
    """One connection to the log at `path`; see `SqliteFile`.

    Retention (seconds, bytes of the file) matters to whoever calls `trim` only. Offsets begin at
    1 and are never given twice.

    Raises `LogUnusable` or `LogUnavailable`; every method raises a `LogError`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        retention_seconds: float = DEFAULT_RETENTION_SECONDS,
        retention_bytes: int = DEFAULT_RETENTION_BYTES,
        timeout: float = BUSY_SECONDS,
    ) -> None:
        if retention_seconds <= 0:
            raise ValueError(f"retention is {retention_seconds} seconds, accepted is more than 0")
        if retention_bytes < MIN_RETENTION_BYTES:
            raise ValueError(
                f"retention is {retention_bytes} bytes, accepted is {MIN_RETENTION_BYTES} or more"
            )
        self._retention_ms = int(retention_seconds * 1000)
        self._retention_bytes = retention_bytes
        super().__init__(path, _FORM, timeout)

    def append(self, envelopes: Sequence[Envelope], timeout: float = BUSY_SECONDS) -> list[int]:
        """Append in one transaction, all or nothing; returns their offsets, which increase.

        Waits at most `timeout` seconds, in all, for other threads and for other processes; the
        disk takes the time that it takes. Raises `LogUnavailable` after that, and
        `roomline.wire.InvalidName` or `InvalidData` for an envelope that `check_envelope` refuses.
        """
        rows = [_row_of(envelope) for envelope in envelopes]
        with self._using("append to", timeout=timeout) as connection:
            with self._transaction(connection):
                latest = connection.execute(
                    "SELECT appended FROM publications ORDER BY offset DESC LIMIT 1"
                ).fetchone()
                appended = max(int(time.time() * 1000), latest[0] if latest else 0)
                connection.executemany(_INSERT, [(appended, *row) for row in rows])
                # AUTOINCREMENT gives one more than ever given before, and nobody else writes.
                last: int = _extent(connection).last
            return list(range(last - len(rows) + 1, last + 1))

    def read(self, after: int, limit: int) -> list[tuple[int, Envelope]]:
        """At most `limit` entries with their offsets, from the oldest retained one above `after`.

        An empty list: there are none for now.
        """
        with self._using("read") as connection:
            return [_entry(row) for row in connection.execute(_READ, (after, limit))]

    def extent(self) -> Extent:
        """Which log this is, and its first and last offset, all of one moment."""
        with self._using("read") as connection:
            return _extent(connection)

    def offset_at(self, moment: datetime) -> int:
        """The first offset that was appended at or after an aware `moment`.

        Of those retained; the next one to be given if there is none.
        """
        if moment.tzinfo is None:
            raise ValueError(f"the time {moment} has no time zone, and one is needed")
        milliseconds = moment.timestamp() * 1000
        with self._using("read") as connection:
            extent = _extent(connection)
            low, high = extent.first, extent.last + 1
            while low < high:
                middle = (low + high) // 2
                entry = connection.execute(_APPENDED, (middle,)).fetchone()
                if entry is None or entry[1] >= milliseconds:
                    high = middle
                else:
                    low = entry[0] + 1
            return low

    def trim(self, now: float) -> int:
        """Delete the oldest entries that retention does not cover; returns how many.

        The newest entry stays, however old or large. `now` is in seconds since the epoch. At most
        `TRIM_BATCH` at once: call again until it returns 0. The file does not shrink; what was
        freed is used again.
        """
        expired = int(now * 1000) - self._retention_ms
        with self._using("trim") as connection:
            # Looked at first without the write lock: most often there is nothing to do.
            if _last_to_trim(connection, expired, self._retention_bytes) is None:
                return 0
            with self._transaction(connection):
                last = _last_to_trim(connection, expired, self._retention_bytes)
                if last is None:
                    return 0
                return connection.execute(
                    "DELETE FROM publications WHERE offset <= ?", (last,)
                ).rowcount


def check_envelope(envelope: Envelope) -> None:
    """Raise `roomline.wire.InvalidName` or `InvalidData` for what the log does not take."""
    check_room(envelope.room)
    if len(envelope.body) > MAX_BODY_BYTES:
        raise InvalidData(
            f"the body is {len(envelope.body)} bytes, at most {MAX_BODY_BYTES} are taken"
        )
    sender = envelope.sender or ("", "")
    for text in (envelope.message_id, envelope.key, envelope.publisher, *sender):
        try:
            (text or "").encode()
        except UnicodeEncodeError:
            raise InvalidData(f"{shorten(text)} is text that UTF-8 cannot carry") from None


def _row_of(envelope: Envelope) -> tuple[str | bytes | int | None, ...]:
    check_envelope(envelope)
    # What is over-long or of another type counts as absent, exactly as it would after a trip
    # through RabbitMQ.
    kept = envelope_of(envelope.room, envelope.body, properties_of(envelope))
    return (
        kept.room,
        kept.body,
        kept.message_id,
        kept.time,
        kept.kind,
        *(kept.sender or (None, None)),
        kept.key,
        kept.publisher,
    )


def _entry(row: tuple[Any, ...]) -> tuple[int, Envelope]:
    offset, room, body, message_id, sent, kind, sender_id, sender_name, key, publisher = row
    sender = None if sender_id is None else Sender(sender_id, sender_name)
    return offset, Envelope(room, body, message_id, sent, kind, sender, key, publisher)


def _extent(connection: sqlite3.Connection) -> Extent:
    return Extent(*connection.execute(_EXTENT).fetchone())


def _last_to_trim(connection: sqlite3.Connection, expired: int, retention_bytes: int) -> int | None:
    """The last of the next `TRIM_BATCH` entries that is too old or too much, if any is."""
    pages, free, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    excess = (pages - free) * page_bytes - retention_bytes
    last = None
    for offset, appended, size in connection.execute(_OLDEST, (TRIM_BATCH,)):
        if appended >= expired and excess <= 0:
            break
        last = offset
        excess -= size + _ENTRY_OVERHEAD
    return last

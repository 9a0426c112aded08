"""The embedded log: an append-only SQLite file that the processes of one machine share.

Standard library only, so that Django appends to the same file as the gateway. The file is the
authority: whoever may write it may state any `Envelope.publisher`.

::

    LogError
    ├── LogUnusable      not a log that can be used here: trying again does not help
    ├── LogReplaced      the path does not name the file that was opened any more: open it anew
    ├── LogUnavailable   locked, disk full, ...: nothing was appended, try again
    └── LogUnconfirmed   the operating system failed during a commit: outcome unknown

Durability: WAL with ``synchronous=NORMAL``. What `SqliteLog.append` has returned survives the
death of every process; a power cut may take the last moments with it, as it may with a RabbitMQ
stream on a single machine. The file stays consistent in any case, and positions of clients carry
a fingerprint, so that a lost tail is noticed.
"""

import contextlib
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

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

DEFAULT_RETENTION_SECONDS: Final = 7 * 86_400
DEFAULT_RETENTION_BYTES: Final = 256 * 2**20
"""About a million short publications: what a node reads at its start in well under 30 s."""
MIN_RETENTION_BYTES: Final = 2**20
CONTROL_SUFFIX: Final = ".control"
"""Behind the path of the rooms' log it makes that of the log of revocations."""
BUSY_SECONDS: Final = 2.0
"""How long anything here waits for other threads and processes, unless told otherwise."""
TRIM_BATCH: Final = 1000
"""The most entries that one call of `SqliteLog.trim` deletes: a millisecond or two of work, so
that publishers hardly wait for it."""

_APPLICATION_ID = int.from_bytes(b"Rlog")
_SCHEMA_VERSION = 1
_ENTRY_OVERHEAD = 100  # bytes of an entry besides its body, near enough for retention by size
_NETWORK_FILESYSTEMS = frozenset(
    {"afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "gfs2"}
    | {"glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb2", "smb3", "smbfs"}
)

# `appended` is in milliseconds and never decreases with the offset, also when the clock is set
# back: so reading from a time is a binary search and needs no index.
_SCHEMA = f"""
CREATE TABLE log (epoch TEXT NOT NULL);
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
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
"""
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


class LogError(Exception):
    """What the embedded log raises; its text is for operators."""


class LogUnusable(LogError):
    """The path is not a Roomline log that can be used here; trying again does not help."""


class LogReplaced(LogError):
    """The file was deleted or replaced after it was opened: open the log anew."""


class LogUnavailable(LogError):
    """The log cannot be used for now. Nothing was appended; try again."""


class LogUnconfirmed(LogError):
    """The commit failed half-way: the envelopes may or may not be in the log."""


class Extent(NamedTuple):
    """Which log this is and what it holds.

    `epoch` is random text made with the file. `first` is the oldest retained offset, 1 before any
    was given; `last` is the newest offset ever given, 0 before any.
    """

    epoch: str
    first: int
    last: int


class SqliteLog:
    """One connection to the log at `path`, which is created if it is not there.

    Safe to use from several threads, which then wait for each other. Not to be carried across a
    fork (SQLite's own rule): the child opens its own, and using its parent's is refused. Opening
    waits at most `timeout` seconds for other processes.
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
        self.path = Path(path).absolute()
        self._retention_ms = int(retention_seconds * 1000)
        self._retention_bytes = retention_bytes
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self._polls = 0
        deadline = time.monotonic() + timeout
        _check_path(self.path)
        with self._translated("open"):
            self._connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False
            )
            try:
                _prepare(self._connection, self.path, deadline)
                self._file = _identity(self.path)
            except BaseException:
                self._connection.close()
                raise

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

    def first_offset(self) -> int:
        """The oldest retained offset; 1 before any was given."""
        return self.extent().first

    def last_offset(self) -> int:
        """The newest offset ever given; 0 before any."""
        return self.extent().last

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

    def changes(self) -> int:
        """A number that is another one whenever somebody else has changed the log since.

        For polling: cheap, and only every 32nd call looks whether the file was replaced. Appends
        of this very object do not count: who follows the log either knows of its own, or uses a
        second `SqliteLog` for them.
        """
        self._polls += 1
        with self._using("read", look=self._polls % 32 == 0) as connection:
            number: int = connection.execute("PRAGMA data_version").fetchone()[0]
            return number

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

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        with self._lock:
            self._closed = True
            if os.getpid() == self._pid:
                self._connection.close()

    @contextlib.contextmanager
    def _using(
        self, action: str, look: bool = True, timeout: float = BUSY_SECONDS
    ) -> Iterator[sqlite3.Connection]:
        """The connection for one action, if it still is one to the file at the path.

        The wait for other threads and SQLite's own for other processes share the time-out.
        """
        if os.getpid() != self._pid:
            raise LogUnusable(
                f"{self.path} was opened by process {self._pid} and cannot be used in process"
                f" {os.getpid()}: open the log after the fork"
            )
        deadline = time.monotonic() + timeout
        if not self._lock.acquire(timeout=max(0.0, timeout)):
            raise LogUnavailable(
                f"cannot {action} {self.path}: other threads kept it busy for {timeout:g} seconds"
            )
        try:
            if self._closed:
                raise LogUnusable(f"{self.path} was closed: it cannot be used any more")
            # SQLite would go on appending to a deleted file that nobody will ever read.
            if look and (self._file is None or _identity(self.path) != self._file):
                raise LogReplaced(f"{self.path} was deleted or replaced after it was opened")
            with self._translated(action):
                _wait_until(self._connection, deadline)
                yield self._connection
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            sort = LogUnusable if code in _HOPELESS else LogUnavailable
            raise sort(f"cannot {action} {self.path}: {error}") from error

    @contextlib.contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR:
                raise LogUnconfirmed(f"the commit to {self.path} failed: {error}") from error
            raise


_HOPELESS = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_ERROR,
    }
)


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


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _wait_until(connection: sqlite3.Connection, deadline: float) -> None:
    """Let SQLite wait for locks of other connections until then, by the monotonic clock."""
    left = max(0.0, deadline - time.monotonic())
    connection.execute(f"PRAGMA busy_timeout = {int(left * 1000)}")


def _prepare(connection: sqlite3.Connection, path: Path, deadline: float) -> None:
    """Make the file a log in WAL mode, or find that it is one.

    Any number of processes may do this at the same time.
    """
    _wait_until(connection, deadline)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {16 * 2**20}")
    if _is_empty(connection):
        _wait_until(connection, deadline)
        connection.execute("BEGIN IMMEDIATE")
        if _is_empty(connection):  # else another process was faster
            for statement in _SCHEMA.strip().split(";\n"):
                connection.execute(statement.rstrip(";"))
            connection.execute("INSERT INTO log VALUES (?)", (secrets.token_hex(16),))
        _wait_until(connection, deadline)
        connection.execute("COMMIT")
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise LogUnusable(f"{path} is a SQLite database but not a Roomline log: name another file")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != _SCHEMA_VERSION:
        raise LogUnusable(
            f"{path} is a log of version {version}, this Roomline reads version {_SCHEMA_VERSION}:"
            " upgrade Roomline or name another file"
        )
    _use_wal(connection, deadline)


def _is_empty(connection: sqlite3.Connection) -> bool:
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application_id: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return tables == 0 and application_id == 0


def _use_wal(connection: sqlite3.Connection, deadline: float) -> None:
    # SQLite does not wait by itself when another connection is just switching.
    while True:
        _wait_until(connection, deadline)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _check_path(path: Path) -> None:
    """Raise `LogUnusable` for a path where no log can be, with what is wrong about it."""
    if not path.parent.is_dir():
        raise LogUnusable(f"{path} cannot be a log: {path.parent} is not a directory")
    if path.exists() and not path.is_file():
        raise LogUnusable(f"{path} cannot be a log: it is not a regular file")
    # SQLite keeps its write-ahead log beside the file, so the directory must be writable too.
    for wanted in (path, path.parent):
        if wanted.exists() and not os.access(wanted, os.R_OK | os.W_OK):
            raise LogUnusable(f"{path} cannot be a log: {wanted} is not writable for this process")
    with contextlib.suppress(FileNotFoundError):  # not Linux: cannot be known
        check_filesystem(path.resolve(), Path("/proc/mounts").read_text(errors="replace"))


def check_filesystem(path: Path, mounts: str) -> None:
    """Raise `LogUnusable` if `path` (resolved) is on a network file system.

    `mounts` is the text of ``/proc/mounts``. The processes that share a log share memory
    (SQLite's WAL index), so they must run on one machine.
    """
    depth, filesystem = 0, ""
    for line in mounts.splitlines():
        _, escaped, sort, *_ = line.split(" ")
        # Blanks and backslashes in names are written as three octal digits.
        mount_point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), escaped)
        if len(mount_point) >= depth and path.is_relative_to(mount_point):
            depth, filesystem = len(mount_point), sort  # of equals the later one lies on top
    if filesystem in _NETWORK_FILESYSTEMS:
        raise LogUnusable(
            f"{path} is on a network file system ({filesystem}): the embedded log serves one"
            " machine and wants a local disk; for several machines use RabbitMQ as the broker"
        )

"""A SQLite file that the processes of one machine share: opened, looked after, and its errors.

Standard library only, so that Django uses the same files as the gateway.

::

    LogError
    ├── LogUnusable      not a file that can be used here: trying again does not help
    ├── LogReplaced      the path does not name the file that was opened any more: open it anew
    ├── LogUnavailable   locked, disk full, ...: nothing was written, try again
    └── LogUnconfirmed   the operating system failed during a commit: outcome unknown

Durability: WAL with ``synchronous=NORMAL``. What was committed survives the death of every
process; a power cut may take the last moments with it, as it may with RabbitMQ on a single
machine. The file stays consistent in any case.
"""

import contextlib
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

BUSY_SECONDS: Final = 2.0
"""How long anything here waits for other threads and processes, unless told otherwise."""

_NETWORK_FILESYSTEMS = frozenset(
    {"afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "gfs2"}
    | {"glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb2", "smb3", "smbfs"}
)


class LogError(Exception):
    """What an embedded log, and the files beside it, raise; the text is for operators."""


class LogUnusable(LogError):
    """The path is no Roomline file that can be used here; trying again does not help."""


class LogReplaced(LogError):
    """The file was deleted or replaced after it was opened: open it anew."""


class LogUnavailable(LogError):
    """The file cannot be used for now. Nothing was written; try again."""


class LogUnconfirmed(LogError):
    """The commit failed half-way: what was written may or may not be there."""


class Form(NamedTuple):
    """What a file is: its name in errors, SQLite's application id, the version and the statements
    of its schema."""

    what: str
    application_id: int
    version: int
    schema: str


class SqliteFile:
    """One connection to the file at `path`, which is created if it is not there.

    Safe to use from several threads, which then wait for each other. Not to be carried across a
    fork (SQLite's own rule): the child opens its own, and using its parent's is refused. Opening
    waits at most `timeout` seconds for other processes.

    Raises `LogUnusable` or `LogUnavailable`; every method raises a `LogError`.
    """

    def __init__(
        self, path: str | os.PathLike[str], form: Form, timeout: float = BUSY_SECONDS
    ) -> None:
        self.path = Path(path).absolute()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self._polls = 0
        deadline = time.monotonic() + timeout
        check_path(self.path, form.what)
        _create(self.path)
        with self._translated("open"):
            self._connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False
            )
            try:
                _prepare(self._connection, self.path, form, deadline)
                self._file = _identity(self.path)
            except BaseException:
                self._connection.close()
                raise

    def changes(self) -> int:
        """A number that is another one whenever somebody else has changed the file since.

        For polling: cheap, and only every 32nd call looks whether the file was replaced. Writes
        of this very object do not count: who follows the file either knows of its own, or uses a
        second object for them.
        """
        self._polls += 1
        with self._using("read", look=self._polls % 32 == 0) as connection:
            number: int = connection.execute("PRAGMA data_version").fetchone()[0]
            return number

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
                f" {os.getpid()}: open it after the fork"
            )
        deadline = time.monotonic() + timeout
        if not self._lock.acquire(timeout=max(0.0, timeout)):
            raise LogUnavailable(
                f"cannot {action} {self.path}: other threads kept it busy for {timeout:g} seconds"
            )
        try:
            if self._closed:
                raise LogUnusable(f"{self.path} was closed: it cannot be used any more")
            # SQLite would go on writing to a deleted file that nobody will ever read.
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
            if connection.in_transaction:  # a full disk, for one, has ended it already
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


def _prepare(connection: sqlite3.Connection, path: Path, form: Form, deadline: float) -> None:
    """Give the file its form, in WAL mode, or find that it has it.

    Any number of processes may do this at the same time.
    """
    _wait_until(connection, deadline)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {16 * 2**20}")
    if _is_empty(connection):
        _wait_until(connection, deadline)
        connection.execute("BEGIN IMMEDIATE")
        if _is_empty(connection):  # else another process was faster
            for statement in form.schema.strip().split(";\n"):
                connection.execute(statement.rstrip(";"))
            connection.execute(f"PRAGMA application_id = {form.application_id}")
            connection.execute(f"PRAGMA user_version = {form.version}")
        _wait_until(connection, deadline)
        connection.execute("COMMIT")
    if connection.execute("PRAGMA application_id").fetchone()[0] != form.application_id:
        raise LogUnusable(
            f"{path} is a SQLite database but not a Roomline {form.what}: name another file"
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != form.version:
        raise LogUnusable(
            f"{path} is a {form.what} of version {version}, this Roomline reads version"
            f" {form.version}: upgrade Roomline or name another file"
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


def _create(path: Path) -> None:
    """Make the file, if it is not there, so that only its owner and its group may read it; what
    SQLite puts beside it has the same mode."""
    # If it cannot be made, SQLite says so.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o660))


def check_path(path: Path, what: str) -> None:
    """Raise `LogUnusable` for a path where no such file can be, with what is wrong about it."""
    try:
        path.stat()
    except PermissionError as error:
        raise LogUnusable(
            f"{path} cannot be a {what}: this process may not look there ({error})"
        ) from None
    except OSError:
        pass  # which is said below, or it is not there yet
    if not path.parent.is_dir():
        raise LogUnusable(f"{path} cannot be a {what}: {path.parent} is not a directory")
    if path.exists() and not path.is_file():
        raise LogUnusable(f"{path} cannot be a {what}: it is not a regular file")
    # SQLite keeps its write-ahead log beside the file, so the directory must be writable too.
    for wanted in (path, path.parent):
        if wanted.exists() and not os.access(wanted, os.R_OK | os.W_OK):
            raise LogUnusable(
                f"{path} cannot be a {what}: {wanted} is not writable for this process"
            )
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

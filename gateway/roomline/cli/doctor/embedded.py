"""The embedded log: may this process use the files, is the disk local, and is there space?"""

import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from roomline.cli.doctor.findings import Finding, ok, problem, warning
from roomline.config import Settings
from roomline.sqlitefile import check_path
from roomline.sqlitelog import CONTROL_SUFFIX, LogError, SqliteLog
from roomline.sqlitequeue import QUEUE_SUFFIX

_WAL_BYTES: Final = 64 << 20
"""What the write-ahead logs beside the files may take for a while, and nobody should miss."""


def look_at_file(path: str, settings: Settings) -> Iterator[Finding]:
    """The log at `path`, and the files beside it. None of them is made."""
    files = {"log": Path(path).absolute(), "log of revocations": Path(path + CONTROL_SUFFIX)}
    if settings.requests:
        files["queue of requests"] = Path(path + QUEUE_SUFFIX)
    for what, file in files.items():
        try:
            check_path(file.absolute(), what)
        except LogError as error:
            yield problem(
                "file",
                str(error),
                "make the folder, give the gateway's user the right to write into it, or name"
                " another path in the setting broker; several machines need a RabbitMQ",
            )
            return
        if file.exists():
            yield from _look_at_rights(what, file)
    log = files["log"]
    if log.exists():
        yield _look_inside(log)
    else:
        yield ok("file", f"{log} is not there yet: the gateway makes it, and may")
    yield _look_at_space(log, settings.retention_bytes)


def _look_at_rights(what: str, file: Path) -> Iterator[Finding]:
    status = file.stat()
    mode, owner = stat.filemode(status.st_mode), _name_of(status.st_uid)
    if status.st_mode & stat.S_IWOTH:
        yield problem(
            "file",
            f"everybody on this machine may write the {what} {file} ({mode}), and thereby publish"
            " in anybody's name",
            f"chmod o-rw {file}",
        )
    elif status.st_mode & stat.S_IROTH:
        yield warning(
            "file",
            f"everybody on this machine may read the {what} {file} ({mode})",
            f"chmod o-r {file}, unless that is meant to be so",
        )
    if status.st_uid != os.geteuid():
        yield warning(
            "file",
            f"the {what} {file} belongs to {owner}, and this command was started by"
            f" {_name_of(os.geteuid())}: whether the gateway may use it was not seen",
            "run this command as the user that the gateway runs as",
        )


def _look_inside(path: Path) -> Finding:
    try:
        log = SqliteLog(path)
        try:
            extent = log.extent()
        finally:
            log.close()
    except LogError as error:
        return problem("file", str(error), "name another file in the setting broker, or upgrade")
    held = extent.last - extent.first + 1
    return ok("file", f"{path} is a log with {held} entries, on a local disk, and may be written")


def _look_at_space(log: Path, retention: int) -> Finding:
    free = shutil.disk_usage(log.parent).free
    wanted = max(0, retention - (log.stat().st_size if log.exists() else 0)) + _WAL_BYTES
    says = f"{free >> 20} MiB are free where {log.name} is, and it may still grow"
    if free < _WAL_BYTES:
        return problem(
            "disk",
            f"{says}: publications will be refused",
            "free space, or lower retention_bytes",
        )
    if free < wanted:
        return warning(
            "disk",
            f"{says} by {wanted >> 20} MiB until retention_bytes trims it",
            "free space, or lower retention_bytes",
        )
    return ok("disk", says)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"

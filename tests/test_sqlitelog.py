"""The embedded log: what it keeps, gives back, trims and refuses."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from roomline import sqlitefile
from roomline.sqlitelog import (
    MIN_RETENTION_BYTES,
    TRIM_BATCH,
    LogReplaced,
    LogUnavailable,
    LogUnusable,
    SqliteLog,
    check_filesystem,
)
from roomline.wire import MAX_BODY_BYTES, Envelope, InvalidData, InvalidName, Sender

from tests.support.disk import fill, small_disk

ONE = Envelope("chat.lobby", b"1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rooms.log"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(path)
    yield log
    log.close()


def remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


# Appending and reading.


def test_offsets_begin_at_1_and_are_dense(log: SqliteLog):
    assert log.append([ONE, ONE]) == [1, 2]
    assert log.append([ONE]) == [3]
    assert log.append([]) == []
    assert [offset for offset, _ in log.read(0, 10)] == [1, 2, 3]


def test_reading_goes_on_after_an_offset_up_to_the_limit(log: SqliteLog):
    envelopes = [Envelope("chat.lobby", b"%d" % number) for number in range(5)]
    log.append(envelopes)
    assert log.read(0, 2) == [(1, envelopes[0]), (2, envelopes[1])]
    assert log.read(2, 10) == [(3, envelopes[2]), (4, envelopes[3]), (5, envelopes[4])]
    assert log.read(5, 10) == []
    assert log.read(99, 10) == []


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
envelopes = st.builds(
    Envelope,
    room=st.from_regex(r"[A-Za-z0-9_-]{1,9}(\.[a-z0-9]{1,9}){0,2}", fullmatch=True),
    body=st.binary(max_size=300),
    message_id=st.none() | texts,
    time=st.none() | st.integers(1, 253_402_300_799_999),
    kind=st.sampled_from(["message", "system", "admin"]),
    sender=st.none() | st.builds(Sender, texts, texts),
    key=st.none() | texts,
    publisher=st.none() | texts,
)


@settings(max_examples=60)
@given(batch=st.lists(envelopes, min_size=1, max_size=5))
def test_every_envelope_comes_back_as_it_was(log: SqliteLog, batch: list[Envelope]):
    offsets = log.append(batch)
    assert log.read(offsets[0] - 1, len(batch)) == list(zip(offsets, batch, strict=True))


def test_what_is_over_long_counts_as_absent_as_after_rabbitmq(log: SqliteLog):
    log.append([ONE._replace(message_id="x" * 256, key="", sender=Sender("y" * 65, "Ann"), time=0)])
    assert log.read(0, 1) == [(1, ONE)]


def test_one_bad_envelope_leaves_nothing_of_its_batch(log: SqliteLog):
    with pytest.raises(InvalidData, match=f"{MAX_BODY_BYTES + 1} bytes, at most {MAX_BODY_BYTES}"):
        log.append([ONE, ONE._replace(body=bytes(MAX_BODY_BYTES + 1))])
    with pytest.raises(InvalidName, match="not a room name"):
        log.append([ONE, ONE._replace(room="chat.lobby\n")])
    with pytest.raises(InvalidData, match="UTF-8 cannot carry"):
        log.append([ONE, ONE._replace(key="\ud800")])
    assert log.extent().last == 0
    assert log.append([ONE._replace(body=bytes(MAX_BODY_BYTES))]) == [1]


def test_the_extent_of_an_empty_and_of_a_filled_log(log: SqliteLog):
    assert log.extent()[1:] == (1, 0)
    log.append([ONE, ONE])
    assert log.extent()[1:] == (1, 2)


def test_another_object_reads_what_one_appended_and_sees_that_it_changed(
    path: Path, log: SqliteLog
):
    other = SqliteLog(path)
    before, own_before = other.changes(), log.changes()
    assert other.changes() == before
    log.append([ONE])
    assert other.changes() != before
    assert log.changes() == own_before, "its own appends do not count"
    assert other.read(0, 10) == [(1, ONE)]
    other.close()


def test_threads_may_share_one_log(log: SqliteLog):
    given: list[int] = []

    def work() -> None:
        for _ in range(50):
            given.extend(log.append([ONE, ONE]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 401))


# Reading from a time.


def at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def test_the_offset_at_a_time(log: SqliteLog, monkeypatch: pytest.MonkeyPatch):
    for seconds in (10.0, 10.0, 10.5, 12.25):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
        log.append([ONE])
    for moment, offset in [(0, 1), (10_000, 1), (10_001, 3), (10_500, 3), (12_250, 4), (12_251, 5)]:
        assert log.offset_at(at(moment)) == offset, moment


def test_the_offset_at_a_time_in_an_empty_or_trimmed_log(log: SqliteLog):
    assert log.offset_at(at(0)) == 1
    log.append([ONE, ONE, ONE])
    assert log.trim(time.time() + 10**7) == 2
    assert log.offset_at(at(0)) == 3


def test_a_clock_that_is_set_back_does_not_hide_what_came_after(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
):
    for seconds in (100.0, 50.0, 101.0):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
        log.append([ONE])
    assert log.offset_at(at(60_000)) == 1
    assert log.offset_at(at(100_001)) == 3


def test_a_time_without_zone_is_refused(log: SqliteLog):
    with pytest.raises(ValueError, match="no time zone"):
        log.offset_at(datetime(2026, 1, 1))


# Retention.


def test_what_is_too_old_is_trimmed_in_batches_and_offsets_go_on(path: Path):
    log = SqliteLog(path, retention_seconds=60)
    log.append([ONE] * (TRIM_BATCH + 200))
    now = time.time()
    assert log.trim(now + 59) == 0
    assert [log.trim(now + 61) for _ in range(3)] == [TRIM_BATCH, 199, 0]
    last = TRIM_BATCH + 200
    assert log.extent()[1:] == (last, last)
    log.close()
    log = SqliteLog(path)
    assert log.append([ONE]) == [last + 1]
    assert log.extent().first == last
    log.close()


@pytest.mark.parametrize("count", [1, 2, TRIM_BATCH, TRIM_BATCH + 1])
def test_the_newest_entry_is_never_trimmed(path: Path, count: int):
    log = SqliteLog(path, retention_seconds=60, retention_bytes=MIN_RETENTION_BYTES)
    log.append([ONE] * count)
    much_later = time.time() + 10**7
    while log.trim(much_later):
        pass
    assert log.read(0, 10) == [(count, ONE)], "older than is kept"
    log.append([ONE._replace(body=bytes(MAX_BODY_BYTES))] * 20)
    while log.trim(much_later):
        pass
    assert [offset for offset, _ in log.read(0, 10)] == [count + 20]
    log.close()


def test_an_empty_log_has_nothing_to_trim(log: SqliteLog):
    assert log.trim(time.time() + 10**7) == 0
    assert log.extent()[1:] == (1, 0)


def test_what_is_too_much_is_trimmed_from_the_oldest_end(path: Path):
    log = SqliteLog(path, retention_bytes=MIN_RETENTION_BYTES)
    for _ in range(11):
        log.append([ONE._replace(body=bytes(5_000))] * 100)
    trimmed = 0
    while count := log.trim(time.time()):
        trimmed += count
    kept = len(log.read(0, 2000))
    assert trimmed + kept == 1100
    assert log.extent().first == trimmed + 1
    assert 0.8 * MIN_RETENTION_BYTES < kept * 5_000 < MIN_RETENTION_BYTES
    size = path.stat().st_size
    for _ in range(11):
        log.append([ONE._replace(body=bytes(5_000))] * 100)
        while log.trim(time.time()):
            pass
    assert path.stat().st_size <= size, "what was freed is used again"
    log.close()


@pytest.mark.parametrize(
    "retention",
    [{"retention_seconds": 0}, {"retention_bytes": MIN_RETENTION_BYTES - 1}],
)
def test_a_retention_that_keeps_nothing_is_refused(path: Path, retention: dict[str, int]):
    with pytest.raises(ValueError, match=r"retention is .* accepted is"):
        SqliteLog(path, **retention)


# The file.


def test_the_log_survives_its_process_being_killed(path: Path):
    code = (
        "import os, sys\n"
        "from roomline.sqlitelog import SqliteLog\n"
        "from roomline.wire import Envelope\n"
        "log = SqliteLog(sys.argv[1])\n"
        "log.append([Envelope('chat.lobby', b'1')])\n"
        "log._connection.execute('BEGIN IMMEDIATE')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=30)
    assert killed.returncode == -9
    log = SqliteLog(path)
    assert log.read(0, 10) == [(1, ONE)]
    assert log.append([ONE]) == [2]
    log.close()


def test_many_processes_may_create_and_append_at_once(path: Path):
    code = (
        "import sys\n"
        "from roomline.sqlitelog import SqliteLog\n"
        "from roomline.wire import Envelope\n"
        "log = SqliteLog(sys.argv[1])\n"
        "print(log.extent().epoch, *[log.append([Envelope('a', b'')])[0] for _ in range(20)])\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert len({output[0] for output in outputs}) == 1, "one epoch"
    assert sorted(int(offset) for output in outputs for offset in output[1:]) == [*range(1, 81)]


def test_of_many_that_find_no_log_one_creates_it(tmp_path: Path):
    epochs: list[tuple[int, str]] = []

    def create(number: int, together: threading.Barrier) -> None:
        together.wait(30)
        log = SqliteLog(tmp_path / f"{number}.log")
        epochs.append((number, log.extent().epoch))
        log.close()

    for number in range(10):
        together = threading.Barrier(4)
        threads = [threading.Thread(target=create, args=(number, together)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(epochs) == 40, "nobody failed"
    assert len(set(epochs)) == 10


def test_a_deleted_log_is_noticed_rather_than_appended_to(path: Path, log: SqliteLog):
    log.append([ONE])
    remove(path)
    with pytest.raises(LogReplaced, match="deleted or replaced"):
        log.append([ONE])
    successor = SqliteLog(path)
    with pytest.raises(LogReplaced):
        log.read(0, 1)
    with pytest.raises(LogReplaced):
        _ = [log.changes() for _ in range(32)]
    assert successor.extent()[1:] == (1, 0)
    successor.append([ONE])
    log.close()
    assert successor.read(0, 10) == [(1, ONE)], "closing the old one leaves the new one alone"
    successor.close()


def test_a_recreated_log_has_another_epoch(path: Path):
    epochs = set()
    for _ in range(2):
        log = SqliteLog(path)
        epochs.add(log.extent().epoch)
        log.close()
        remove(path)
    assert len(epochs) == 2


def test_a_lock_that_stays_is_an_error_in_bounded_time(path: Path, log: SqliteLog):
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(LogUnavailable, match=r"cannot append to .*locked"):
        log.append([ONE])
    assert time.monotonic() - began < 10
    assert log.read(0, 1) == [], "reading does not wait for writers"
    holder.execute("ROLLBACK")
    holder.close()
    assert log.append([ONE]) == [1]


def test_threads_do_not_wait_for_each_other_longer_than_the_time_out(path: Path, log: SqliteLog):
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    took: list[float] = []

    def append() -> None:
        began = time.monotonic()
        with pytest.raises(LogUnavailable, match=r"cannot append to .*(locked|busy)"):
            log.append([ONE], timeout=0.3)
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=append) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    holder.execute("ROLLBACK")
    holder.close()
    assert len(took) == 5
    assert max(took) < 1.0
    assert log.append([ONE], timeout=0.3) == [1]


def test_opening_waits_for_other_processes_no_longer_than_the_time_out(path: Path):
    maker = sqlite3.connect(path, isolation_level=None)
    maker.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    with pytest.raises(LogUnavailable, match=r"cannot open .*locked"):
        SqliteLog(path, timeout=0.3)
    assert 0.2 < time.monotonic() - began < 1.0
    maker.execute("ROLLBACK")
    maker.close()
    SqliteLog(path, timeout=0.3).close()


def test_a_full_disk_is_an_error_and_the_log_goes_on_when_there_is_space(tmp_path: Path):
    with small_disk(tmp_path / "disk", 512) as disk:
        log = SqliteLog(disk / "rooms.log")
        log.append([ONE])
        filler = fill(disk)
        with pytest.raises(LogUnavailable, match="full"):
            log.append([ONE._replace(body=bytes(50_000))])
        assert log.read(0, 10) == [(1, ONE)], "reading goes on, and nothing was appended"
        filler.unlink()
        assert log.append([ONE]) == [2]
        log.close()


def test_a_closed_log_says_so(log: SqliteLog):
    log.close()
    log.close()
    with pytest.raises(LogUnusable, match="was closed"):
        log.read(0, 1)


def test_a_log_is_not_carried_across_a_fork(path: Path, log: SqliteLog):
    log.append([ONE])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            log.append([ONE])
        except LogUnusable:
            log.close()
            own = SqliteLog(path)
            status = 0 if own.append([ONE]) == [2] else 2
            own.close()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert log.append([ONE]) == [3]


# Paths where no log can be.


def test_a_missing_directory_is_named(tmp_path: Path):
    with pytest.raises(LogUnusable, match=r"missing is not a directory"):
        SqliteLog(tmp_path / "missing" / "rooms.log")


def test_a_directory_is_no_log(tmp_path: Path):
    with pytest.raises(LogUnusable, match="not a regular file"):
        SqliteLog(tmp_path)


def test_a_file_of_another_sort_is_left_alone(path: Path):
    path.write_bytes(b"Dear diary, " * 100)
    with pytest.raises(LogUnusable, match="not a database"):
        SqliteLog(path)
    assert path.read_bytes() == b"Dear diary, " * 100


def test_another_database_is_left_alone(path: Path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE auth_user (id)")
    connection.commit()
    connection.close()
    content = path.read_bytes()
    with pytest.raises(LogUnusable, match="SQLite database but not a Roomline log"):
        SqliteLog(path)
    assert path.read_bytes() == content


def test_a_newer_log_asks_for_an_upgrade(path: Path, log: SqliteLog):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(LogUnusable, match=r"log of version 2.*reads version 1.*upgrade"):
        SqliteLog(path)


def test_a_log_that_is_not_writable_is_named(path: Path):
    SqliteLog(path).close()
    path.chmod(0o444)
    path.parent.chmod(0o755)
    code = (
        "import os, sys\n"
        "from roomline.sqlitelog import LogUnusable, SqliteLog\n"
        "if os.geteuid() == 0:\n"
        "    os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    SqliteLog(sys.argv[1])\n"
        "except LogUnusable as error:\n"
        "    print(error)\n"
    )
    # A descriptor's path, because the directories above are not open to everybody.
    directory = os.open(path.parent, os.O_RDONLY)
    found = subprocess.run(
        [sys.executable, "-c", code, f"/proc/self/fd/{directory}/{path.name}"],
        pass_fds=[directory],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    os.close(directory)
    assert "is not writable" in found.stdout


MOUNTS = """\
/dev/vda1 / ext4 rw,relatime 0 0
server:/export /srv nfs4 rw,vers=4.2 0 0
/dev/vdb1 /srv/local xfs rw 0 0
//files/share /mnt/with\\040blank cifs rw 0 0
systemd-1 /net autofs rw 0 0
server:/net /net nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "filesystem"),
    [
        ("/srv/rooms.log", "nfs4"),
        ("/srv/deep/er/rooms.log", "nfs4"),
        ("/mnt/with blank/rooms.log", "cifs"),
        ("/net/rooms.log", "nfs"),
    ],
)
def test_a_network_file_system_is_refused_and_rabbitmq_is_named(path: str, filesystem: str):
    with pytest.raises(LogUnusable, match=rf"\({filesystem}\).*RabbitMQ"):
        check_filesystem(Path(path), MOUNTS)


@pytest.mark.parametrize("path", ["/rooms.log", "/srv/local/rooms.log", "/srv2/rooms.log"])
def test_a_local_disk_is_taken(path: str):
    check_filesystem(Path(path), MOUNTS)


def test_a_log_on_a_network_file_system_is_not_created(path: Path, monkeypatch: pytest.MonkeyPatch):
    # Every file system of this machine counts as one on a network.
    mounts = Path("/proc/mounts").read_text()
    sorts = {line.split(" ")[2] for line in mounts.splitlines()}
    monkeypatch.setattr(sqlitefile, "_NETWORK_FILESYSTEMS", sorts)
    with pytest.raises(LogUnusable, match="RabbitMQ"):
        SqliteLog(path)
    assert not path.exists()


def test_only_the_owner_and_the_group_may_read_a_new_log(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log")
    log.append([Envelope("chat.a", b"1")])
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.glob("log*")}
    log.close()
    assert len(modes) == 1
    assert not modes.pop() & 0o007

"""The archiver on the embedded log: each publication once, as clients saw it, whatever happens."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from django_roomline.archive_store import AnotherArchiver, Store
from django_roomline.archiver import Archiver
from django_roomline.logreader import EmbeddedReader, LogUnreadable
from django_roomline.models import ArchivedPublication, ArchiveGap, ArchiveProgress
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from roomline.core.limits import NodeLimits
from roomline.core.policy import Namespace, Rule
from roomline.core.rooms import Rooms
from roomline.sqlitelog import SqliteLog
from roomline.wire import Envelope, Sender

WINDOW = 50
PUBLISHER = "roomline"
ANN = Sender("7", "Ann")

pytestmark = pytest.mark.usefixtures("db")


class NeverStop:
    """Archive until nothing more comes."""

    asked = False

    def wait(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


class Log:
    """A log that can be appended to, re-created and trimmed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, *envelopes: Envelope) -> None:
        log = SqliteLog(self.path)
        log.append(envelopes)
        log.close()

    def numbers(self, *numbers: int, room: str = "chat.a") -> None:
        """Publications of numbers, each with an id of its own."""
        self.append(*(Envelope(room, b"%d" % n, f"{room}-{n}", 1000 + n) for n in numbers))

    def read(self) -> list[tuple[int, Envelope]]:
        log = SqliteLog(self.path)
        try:
            return log.read(0, 100_000)
        finally:
            log.close()

    def delete(self) -> None:
        for path in self.path.parent.glob(self.path.name + "*"):
            path.unlink()

    def forget(self, up_to: int) -> None:
        """As retention does it."""
        log = SqliteLog(self.path)
        log._connection.execute("DELETE FROM publications WHERE offset <= ?", (up_to,))
        log.close()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "rooms.sqlite3")


def archive(log: Log, batch: int = 7) -> int:
    """Archive all there is with a new archiver; how many were stored."""
    reader = EmbeddedReader(str(log.path))
    archiver = Archiver(
        reader, Store(frozenset({PUBLISHER})), NeverStop(), window=WINDOW, batch=batch
    )
    try:
        archiver.follow(once=True)
    finally:
        archiver.close()
    return archiver.stored


def stored(room: str | None = None) -> list[dict[str, Any]]:
    rows = ArchivedPublication.objects.order_by("id")
    if room is not None:
        rows = rows.filter(room=room)
    return [json.loads(text) for text in rows.values_list("publication", flat=True)]


def data(room: str | None = None) -> list[Any]:
    return [publication["data"] for publication in stored(room)]


def seen_by_clients(log: Log) -> list[dict[str, Any]]:
    """What a gateway pushes of this log, by its own code."""
    namespace = Namespace(Rule.PUBLIC, Rule.PUBLIC, 1000, 1e9)
    limits = NodeLimits(dedup_window=WINDOW)
    rooms = Rooms({"chat": namespace, "news": namespace}, frozenset({PUBLISHER}), limits, 1)
    texts = []
    for offset, envelope in log.read():
        if room := rooms.append(0, offset, envelope, 0.0):
            texts.append(room.history.latest(1)[0].message.text)
    return [json.loads(text) for text in texts]


def test_each_is_stored_once_and_as_clients_see_it(log: Log) -> None:
    log.numbers(*range(20))
    log.append(
        Envelope("news.b", b'{"text": "h\\u00e9"}', "m1", 5000, "admin", Sender("7", "Ann"), "k"),
        Envelope(
            "news.b", b'{"text": 1}', "m2", 6000, "admin", Sender("7", "Ann"), None, PUBLISHER
        ),
        Envelope("news.b", b"from a console"),
        Envelope("news.b", b"\xff\x00"),
    )
    log.numbers(3, 21)  # 3 is a repeat
    assert archive(log) == 25
    assert stored() == seen_by_clients(log)
    assert data("chat.a") == [*range(20), 21]
    assert [row["previous"] for row in stored("news.b")][1:] == [
        row["position"] for row in stored("news.b")
    ][:-1]
    senders = ArchivedPublication.objects.filter(room="news.b").order_by("id")
    assert list(senders.values_list("sender_id", flat=True)) == ["", "7", "", ""]


def test_it_goes_on_where_it_was_and_still_knows_repeats(log: Log) -> None:
    for first in range(0, 40, 10):
        log.numbers(*range(first, first + 10))
        log.numbers(first + 9)  # again
        archive(log)
        assert archive(log) == 0
    log.numbers(0)  # within the window of offsets
    assert archive(log) == 0
    assert data() == list(range(40))
    assert not ArchiveGap.objects.exists()


def test_a_repeat_from_outside_the_window_is_one_for_nobody(log: Log) -> None:
    log.numbers(1)
    log.numbers(*range(100, 100 + WINDOW + 5))
    archive(log)
    log.numbers(1)
    archive(log)
    assert stored() == seen_by_clients(log)
    assert data().count(1) == 2


def test_a_re_created_log_begins_a_new_epoch(log: Log) -> None:
    log.numbers(*range(10))
    archive(log)
    log.delete()
    log.numbers(*range(50, 53))
    archive(log)
    assert data() == [*range(10), 50, 51, 52]
    [gap] = ArchiveGap.objects.all()
    assert (gap.epoch, gap.after) == (2, 10)
    assert "another log" in gap.reason
    assert stored()[10]["previous"] is None
    assert ArchiveProgress.objects.get().epoch == 2


def test_what_was_trimmed_before_it_was_archived_is_a_gap(log: Log) -> None:
    log.numbers(*range(10))
    archive(log)
    log.numbers(*range(10, 30))
    log.forget(20)
    archive(log)
    assert data() == [*range(10), *range(20, 30)]
    [gap] = ArchiveGap.objects.all()
    assert (gap.epoch, gap.after, gap.before) == (2, 10, 21)
    assert "offset 10, up to which it was archived, is gone" in gap.reason


def test_what_was_trimmed_after_it_was_archived_is_none(log: Log) -> None:
    log.numbers(*range(30))
    archive(log)
    log.forget(20)
    log.numbers(30)
    archive(log)
    assert data() == list(range(31))
    assert not ArchiveGap.objects.exists()


def test_a_log_that_had_been_trimmed_before_the_archive_began(log: Log) -> None:
    log.numbers(*range(10))
    log.forget(4)
    archive(log)
    assert data() == list(range(4, 10))
    [gap] = ArchiveGap.objects.all()
    assert (gap.after, gap.before) == (-1, 5)


def test_a_second_archiver_is_noticed_and_stores_nothing_twice(log: Log) -> None:
    log.numbers(*range(10))
    first = Store(frozenset())
    progress = first.progress()
    assert archive(log) == 10
    archiver = Archiver(EmbeddedReader(str(log.path)), first, NeverStop(), window=WINDOW)
    first.progress = lambda: progress  # type: ignore[method-assign]  # what it had read before
    with pytest.raises(AnotherArchiver, match="archives this log as well"):
        archiver.follow(once=True)
    archiver.close()
    assert data() == list(range(10))


def test_its_caller_s_transaction_stays(log: Log) -> None:
    """As in a project's own tests: unless the database is in memory, closing would end it."""
    log.numbers(1)
    with patch.object(connection, "close") as close:
        archive(log)
    assert not close.called


def test_control_and_bad_rooms_are_not_for_the_archive(log: Log) -> None:
    log.numbers(1)
    connection = SqliteLog(log.path)
    for room in ("control.user", "no room", ""):
        connection._connection.execute(
            "INSERT INTO publications (appended, room, body, kind) VALUES (1, ?, x'31', 'message')",
            (room,),
        )
    connection.close()
    log.numbers(2)
    assert archive(log) == 2
    assert data() == [1, 2]


def test_a_log_that_is_not_there_is_said_and_not_made(log: Log) -> None:
    with pytest.raises(LogUnreadable, match="nothing was published yet"):
        archive(log)
    assert not log.path.exists()


ODD = st.binary(max_size=300) | st.sampled_from(
    [
        b"\x00",
        b'"\\u0000"',
        b'"\\ud800"',
        b"[" * 5000,
        b"1" * 3000,
        b"1e999",
        b"-0.0",
        b'{"a":1,"a":2}',
        "\u2028\U0001f98a</script>".encode(),
    ]
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(bodies=st.lists(ODD, min_size=1, max_size=8), name=st.text(max_size=20))
def test_nothing_stops_it(tmp_path_factory: pytest.TempPathFactory, bodies: Any, name: str) -> None:
    log = Log(tmp_path_factory.mktemp("odd") / "rooms.sqlite3")
    name = name.encode("utf-8", "replace").decode() or "x"
    ArchivedPublication.objects.all().delete()
    ArchiveProgress.objects.all().delete()
    log.append(
        *(
            Envelope("chat.a", body, None, None, "message", Sender(name, name), name, PUBLISHER)
            for body in bodies
        )
    )
    assert archive(log) == len(bodies)
    assert stored() == seen_by_clients(log)


@pytest.fixture
def many(log: Log) -> Log:
    log.numbers(*range(30))
    log.numbers(*range(10), room="chat.b")
    archive(log)
    old = ArchivedPublication.objects.filter(id__lte=12) | ArchivedPublication.objects.filter(
        id__gt=30, id__lte=34
    )
    old.update(archived=timezone.now() - timedelta(days=10))
    return log


def test_what_is_old_is_deleted(many: Log, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("roomline_archive_trim", days=9, room="chat.b")
    assert "4 publications deleted" in capsys.readouterr().out
    assert data("chat.b") == list(range(4, 10))
    call_command("roomline_archive_trim", days=9)
    assert "12 publications deleted" in capsys.readouterr().out
    assert data("chat.a") == list(range(12, 30))
    many.numbers(31)
    assert archive(many) == 1, "what was deleted does not come again"


@pytest.mark.parametrize(
    ("options", "text"),
    [({"days": -1}, "--days is -1"), ({"days": 1, "room": "no room"}, "not a room name")],
)
def test_bad_retention_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(CommandError, match=text):
        call_command("roomline_archive_trim", **options)


def test_without_the_setting_there_is_no_archive() -> None:
    with pytest.raises(CommandError, match="ROOMLINE has no ARCHIVE"):
        call_command("roomline_archive", once=True)

"""publish() into the embedded log: what is written, when, and what is refused."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django_roomline import BrokerUnavailable, publish
from django_roomline.models import Room
from django_roomline.publishing import disconnect
from roomline.sqlitelog import SqliteLog
from roomline.wire import MAX_BODY_BYTES, Envelope, InvalidData, InvalidName

Entries = Callable[[], list[Envelope]]


@pytest.fixture
def entries(tmp_path: Path, roomline: Any) -> Any:
    """The log that publish() writes to: what is in it now."""
    path = tmp_path / "rooms.sqlite3"
    roomline(BROKER=f"embedded:{path}")

    def read() -> list[Envelope]:
        log = SqliteLog(path)
        try:
            return [envelope for _, envelope in log.read(0, 1000)]
        finally:
            log.close()

    yield read
    disconnect()


def test_a_publication_is_in_the_log(entries: Entries) -> None:
    before = int(time.time() * 1000)
    publish("chat.lobby", {"text": "héllo"}, kind="system")
    (envelope,) = entries()
    assert envelope.room == "chat.lobby"
    assert envelope.body == '{"text":"héllo"}'.encode()
    assert envelope.kind == "system"
    assert envelope.publisher == "roomline"
    assert envelope.message_id
    assert envelope.time is not None
    assert before <= envelope.time <= int(time.time() * 1000)
    assert envelope.sender is None


def test_two_publications_are_in_order_and_differ(entries: Entries) -> None:
    publish("a", 1)
    publish("a", 1)
    first, second = entries()
    assert first.message_id != second.message_id


def test_published_when_the_transaction_commits(entries: Entries) -> None:
    with transaction.atomic():
        publish("a", "later")
        publish("a", "now", on_commit=False)
        assert [envelope.body for envelope in entries()] == [b'"now"']
    assert [envelope.body for envelope in entries()] == [b'"now"', b'"later"']


def test_what_is_rolled_back_is_not_published(entries: Entries) -> None:
    with transaction.atomic():
        publish("a", "no")
        transaction.set_rollback(True)
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            publish("a", 1 / 0)
        publish("a", "yes")
    assert [envelope.body for envelope in entries()] == [b'"yes"']


def test_data_is_taken_as_it_is_at_the_call(entries: Entries) -> None:
    data = {"n": 1}
    with transaction.atomic():
        publish("a", data)
        data["n"] = 2
    assert [envelope.body for envelope in entries()] == [b'{"n":1}']


@pytest.mark.parametrize("room", ["", "a b", "chat.*", "a" * 201])
def test_a_bad_room_is_said_at_the_call(entries: Entries, room: str) -> None:
    with transaction.atomic(), pytest.raises(InvalidName):
        publish(room, 1)
    assert entries() == []


@pytest.mark.parametrize("data", [object(), float("nan"), {1: {2}}, "x" * MAX_BODY_BYTES])
def test_bad_data_is_said_at_the_call(entries: Entries, data: Any) -> None:
    with transaction.atomic(), pytest.raises(InvalidData):
        publish("a", data)
    assert entries() == []


def test_a_bad_kind_is_said_at_the_call(entries: Entries) -> None:
    kind: Any = "shout"
    with pytest.raises(ValueError, match="'shout', accepted are message, system, admin"):
        publish("a", 1, kind=kind)


def test_a_log_that_cannot_be_used_is_said(roomline: Any) -> None:
    roomline(BROKER="embedded:/nonexistent/rooms.sqlite3")
    with pytest.raises(BrokerUnavailable, match="/nonexistent"):
        publish("a", 1)


def test_what_was_saved_stays_saved_when_publishing_fails(roomline: Any) -> None:
    roomline(BROKER="embedded:/nonexistent/rooms.sqlite3")
    block = transaction.atomic()
    block.__enter__()
    Room.objects.create(name="saved", title="Saved")
    publish("saved", 1)
    with pytest.raises(BrokerUnavailable):
        block.__exit__(None, None, None)
    assert Room.objects.get(name="saved").delete()[0] == 1


def test_a_log_that_was_replaced_is_opened_anew(entries: Entries, tmp_path: Path) -> None:
    publish("a", "old")
    for path in tmp_path.glob("rooms.sqlite3*"):
        path.unlink()
    publish("a", "new")
    assert [envelope.body for envelope in entries()] == [b'"new"']


def test_threads_share_the_log(entries: Entries) -> None:
    threads = [threading.Thread(target=publish, args=("a", n, "message", False)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(envelope.body for envelope in entries()) == [b"%d" % n for n in range(8)]


def test_a_fork_opens_its_own(entries: Entries) -> None:
    publish("a", "parent")
    child = os.fork()
    if child == 0:
        try:
            publish("a", "child", on_commit=False)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    publish("a", "parent again")
    bodies = [envelope.body for envelope in entries()]
    assert bodies == [b'"parent"', b'"child"', b'"parent again"']


def test_the_setting_may_change(entries: Entries, tmp_path: Path, roomline: Any) -> None:
    publish("a", 1)
    disconnect()
    roomline(BROKER=f"embedded:{tmp_path / 'other.sqlite3'}")
    publish("a", 2)
    disconnect()
    assert [envelope.body for envelope in entries()] == [b"1"]
    other = SqliteLog(tmp_path / "other.sqlite3")
    assert [envelope.body for _, envelope in other.read(0, 9)] == [b"2"]
    other.close()

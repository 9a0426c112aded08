"""publish() into the embedded log: what is written, when, and what is refused."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django_roomline import BrokerUnavailable, conf, publish
from django_roomline.publishing import PRINCIPAL, disconnect
from django_roomline.revocations import revoke_user
from django_roomline.testing import recording
from roomline.sqlitelog import CONTROL_SUFFIX, SqliteLog
from roomline.wire import (
    MAX_BODY_BYTES,
    MAX_KEY_LENGTH,
    Envelope,
    InvalidData,
    InvalidName,
    Sender,
    message_id_of,
)

Entries = Callable[[], list[Envelope]]


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


def test_a_key_makes_the_message_id(entries: Entries) -> None:
    for room in ("a", "a", "b"):
        publish(room, 1, key="order-7")
    first, repeat, other = entries()
    assert first.message_id == repeat.message_id == message_id_of(PRINCIPAL, "a", "order-7")
    assert other.message_id != first.message_id, "a key is one of its room"
    assert first.key == "order-7"


def test_it_is_from_whom_the_project_says(entries: Entries, users: dict[str, Any]) -> None:
    member, staff = users["member"], users["staff"]
    publish("a", 1, sender=member, on_commit=False)
    publish("a", 2, sender=staff, on_commit=False)
    publish("a", 3, sender=Sender("robot", "R" * 300), on_commit=False)
    assert [envelope.sender for envelope in entries()] == [
        Sender(str(member.pk), "Ann"),
        Sender(str(staff.pk), "sue"),
        Sender("robot", "R" * 200),
    ]


def test_a_bad_sender_is_said_at_the_call(entries: Entries) -> None:
    with transaction.atomic(), pytest.raises(InvalidName, match="user id 'no body'"):
        publish("a", 1, sender=Sender("no body", "Nobody"))
    assert entries() == []


@pytest.mark.parametrize("key", ["", "k" * (MAX_KEY_LENGTH + 1), 7, "\ud800"])
def test_a_bad_key_is_said_at_the_call(entries: Entries, key: Any) -> None:
    with transaction.atomic(), pytest.raises(ValueError, match="key"):
        publish("a", 1, key=key)
    assert entries() == []


def test_a_log_that_cannot_be_used_is_said(roomline: Any) -> None:
    roomline(BROKER="embedded:/nonexistent/rooms.sqlite3")
    with pytest.raises(BrokerUnavailable, match="/nonexistent"):
        publish("a", 1)


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


def test_a_locked_file_holds_no_thread_longer_than_the_time_out(
    entries: Entries, tmp_path: Path, roomline: Any
) -> None:
    roomline(BROKER=f"embedded:{tmp_path / 'rooms.sqlite3'}", PUBLISH_TIMEOUT=0.4)
    publish("a", 1)
    holder = sqlite3.connect(tmp_path / "rooms.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    took: list[float] = []

    def work() -> None:
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable, match=r"locked|busy"):
            publish("a", 2, on_commit=False)
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    holder.execute("ROLLBACK")
    holder.close()
    assert len(took) == 5
    assert max(took) < 1.2
    publish("a", 3)
    assert [envelope.body for envelope in entries()] == [b"1", b"3"]


def test_disconnecting_leaves_other_threads_alone(entries: Entries) -> None:
    errors: list[BaseException] = []
    over = threading.Event()
    published: list[int] = []

    def work() -> None:
        try:
            while not over.is_set():
                publish("a", 1, on_commit=False)
                published.append(1)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 0.7
    while time.monotonic() < until:
        disconnect()
        time.sleep(0.001)
    over.set()
    for thread in threads:
        thread.join(10)
    assert not errors
    assert len(entries()) == len(published) > 10


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


def test_what_tests_publish_goes_nowhere_unless_the_project_wants_it(
    entries: Entries, roomline: Callable[..., None]
) -> None:
    publish("chat.a", 1)
    roomline(PUBLISH_IN_TESTS=False)
    publish("chat.a", 2)
    revoke_user("7")
    disconnect()
    with pytest.raises(InvalidName):
        publish("no room", 3)
    with recording() as recorded:
        publish("chat.a", 4)
    assert recorded.to("chat.a") == [4]
    assert [entry.body for entry in entries()] == [b"1"]
    assert not Path(f"{conf.current().embedded_path}{CONTROL_SUFFIX}").exists()

"""What a transaction publishes: when, what of it, and how its failures are told."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import TestCase
from django_roomline import (
    BrokerUnavailable,
    PublicationsFailed,
    PublishError,
    PublishUnconfirmed,
    publish,
)
from django_roomline.commits import publish_on_commit
from django_roomline.models import Room
from roomline.wire import Envelope

Entries = Callable[[], list[Envelope]]


def bodies(entries: Entries) -> list[bytes]:
    return [envelope.body for envelope in entries()]


def test_published_when_the_transaction_commits(entries: Entries) -> None:
    with transaction.atomic():
        publish("a", "later")
        publish("a", "now", on_commit=False)
        assert bodies(entries) == [b'"now"']
    assert bodies(entries) == [b'"now"', b'"later"']


def test_what_is_rolled_back_is_not_published(entries: Entries) -> None:
    with transaction.atomic():
        publish("a", "no")
        transaction.set_rollback(True)
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            publish("a", 1 / 0)
        publish("a", "yes")
    assert bodies(entries) == [b'"yes"']


def test_a_savepoint_takes_back_its_own_only_and_the_order_stays(entries: Entries) -> None:
    with transaction.atomic():
        publish("a", 1)
        with transaction.atomic():
            publish("a", 2)
        with transaction.atomic():
            publish("a", "no")
            transaction.set_rollback(True)
        publish("a", 3)
        with transaction.atomic():
            publish("a", "nor this")
            transaction.set_rollback(True)
    assert bodies(entries) == [b"1", b"2", b"3"]


def test_each_database_has_its_own_transaction(entries: Entries) -> None:
    with transaction.atomic(using="other"):
        publish("a", "not in this transaction")
        publish("a", "rolled back", using="other")
        transaction.set_rollback(True, using="other")
    with transaction.atomic(using="other"):
        publish("a", "later", using="other")
        assert len(entries()) == 1
    assert bodies(entries) == [b'"not in this transaction"', b'"later"']


def test_what_was_saved_stays_saved_when_publishing_fails(roomline: Any) -> None:
    roomline(BROKER="embedded:/nonexistent/rooms.sqlite3")
    block = transaction.atomic()
    block.__enter__()
    Room.objects.create(name="saved", title="Saved")
    publish("saved", 1)
    with pytest.raises(BrokerUnavailable):
        block.__exit__(None, None, None)
    assert Room.objects.get(name="saved").delete()[0] == 1


class Recorder:
    """Takes what is sent, and fails for the rooms that it is told to fail for."""

    def __init__(self, **failing: PublishError) -> None:
        self.failing = failing
        self.tried: list[str] = []
        self.seconds = 0.0
        self.timeouts: list[float] = []

    def __call__(self, envelope: Envelope, timeout: float) -> None:
        self.tried.append(envelope.room)
        self.timeouts.append(timeout)
        if envelope.room in self.failing:
            time.sleep(self.seconds)
            raise self.failing[envelope.room]

    def commit(self, *rooms: str, timeout: float = 5.0) -> None:
        """A transaction that publishes to these rooms."""
        with transaction.atomic():
            for room in rooms:
                publish_on_commit(Envelope(room, b"1"), None, timeout, self)


def test_one_failure_is_raised_as_it_is_after_all_were_tried() -> None:
    error = PublishUnconfirmed("nobody knows")
    send = Recorder(b=error)
    with pytest.raises(PublishUnconfirmed) as caught:
        send.commit("a", "b", "c")
    assert caught.value is error
    assert send.tried == ["a", "b", "c"]
    send.commit("a", "c")  # and that was all


def test_several_failures_are_raised_as_one() -> None:
    away, unknown = BrokerUnavailable("away"), PublishUnconfirmed("nobody knows")
    send = Recorder(a=away, c=unknown)
    with pytest.raises(PublishError) as caught:
        send.commit("a", "b", "c")
    assert send.tried == ["a", "b", "c"]
    assert isinstance(caught.value, PublicationsFailed)
    assert caught.value.exceptions == (away, unknown)
    assert "2 of the 3 publications of a transaction failed: to a: away; to c: nobody knows" in str(
        caught.value
    )


def test_a_thousand_failures_make_a_short_text() -> None:
    send = Recorder(a=BrokerUnavailable("away"))
    with pytest.raises(PublicationsFailed, match="and 990 more") as caught:
        send.commit(*["a"] * 1000)
    assert len(caught.value.exceptions) == 1000
    assert len(str(caught.value)) < 500


def test_an_end_that_a_savepoint_took_does_not_silence_a_failure() -> None:
    send = Recorder(a=BrokerUnavailable("away"))

    @transaction.atomic
    def work() -> None:
        publish_on_commit(Envelope("a", b"1"), None, 5.0, send)
        with transaction.atomic():
            publish_on_commit(Envelope("b", b"1"), None, 5.0, send)
            transaction.set_rollback(True)

    with pytest.raises(BrokerUnavailable):
        work()
    assert send.tried == ["a"]


def test_hooks_of_others_up_to_the_last_publication_run() -> None:
    ran: list[str] = []
    send = Recorder(a=BrokerUnavailable("away"))

    @transaction.atomic
    def work() -> None:
        transaction.on_commit(lambda: ran.append("before"))
        publish_on_commit(Envelope("a", b"1"), None, 5.0, send)
        transaction.on_commit(lambda: ran.append("between"))
        publish_on_commit(Envelope("b", b"1"), None, 5.0, send)
        transaction.on_commit(lambda: ran.append("behind"))

    with pytest.raises(BrokerUnavailable):
        work()
    assert send.tried == ["a", "b"]
    assert ran == ["before", "between"]


def test_a_hook_of_others_that_raises_leaves_nothing_for_the_next_transaction(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def stumble() -> None:
        raise ZeroDivisionError

    send = Recorder(a=BrokerUnavailable("away"))

    @transaction.atomic
    def work() -> None:
        publish_on_commit(Envelope("a", b"1"), None, 5.0, send)
        transaction.on_commit(stumble)
        publish_on_commit(Envelope("b", b"1"), None, 5.0, send)

    with pytest.raises(ZeroDivisionError):
        work()
    assert "publishing to room a failed: away" in caplog.text
    send.commit("c")
    assert send.tried == ["a", "c"]


def test_failures_of_one_transaction_share_one_time_out() -> None:
    send = Recorder(a=BrokerUnavailable("away"))
    send.seconds = 0.15
    began = time.monotonic()
    with pytest.raises(PublicationsFailed, match="not tried") as caught:
        send.commit("b", *["a"] * 10, timeout=0.25)
    assert time.monotonic() - began < 1.0
    assert len(caught.value.exceptions) == 10
    assert send.tried == ["b", "a", "a"]
    assert send.timeouts[:2] == [0.25, 0.25], "what succeeds costs the others nothing"
    assert send.timeouts[2] < 0.11


def test_outside_of_a_transaction_it_is_at_once() -> None:
    send = Recorder(a=BrokerUnavailable("away"))
    with pytest.raises(BrokerUnavailable):
        publish_on_commit(Envelope("a", b"1"), None, 5.0, send)
    assert not connection.run_on_commit


def test_djangos_test_tool_sees_publications(entries: Entries) -> None:
    with transaction.atomic():  # as a TestCase has it around each test
        publish("a", "never")
        for number in range(2):
            with TestCase.captureOnCommitCallbacks(execute=True):
                publish("a", number)
            assert len(entries()) == number + 1
        transaction.set_rollback(True)
    assert bodies(entries) == [b"0", b"1"]

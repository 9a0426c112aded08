"""The transactional outbox: what publish() writes to it, and what the relay makes of it."""

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_roomline import (
    BrokerUnavailable,
    PublishRejected,
    PublishReturned,
    PublishUnconfirmed,
    conf,
    publish,
)
from django_roomline import relay as relay_module
from django_roomline.leases import Hold
from django_roomline.models import DatabaseTime, Lease, OutboxMessage
from django_roomline.pauses import FIRST_PAUSE, LONGEST_PAUSE
from django_roomline.relay import LEASE, Outcome, Relay
from roomline.wire import MAX_BODY_BYTES, Envelope, InvalidData, InvalidName, Sender

Entries = Callable[[], list[Envelope]]


@pytest.fixture(autouse=True)
def empty_again() -> Iterator[None]:
    """No test leaves anything in the tables."""
    yield
    for name in ("default", "other"):
        OutboxMessage.objects.using(name).all().delete()
        Lease.objects.using(name).all().delete()


class Patience:
    """Stops a relay after so many waits, and keeps how long each was to be."""

    def __init__(self, waits: int = 0) -> None:
        self.asked = False
        self.pauses: list[float] = []
        self._waits = waits

    def wait(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.asked = len(self.pauses) >= self._waits


class Log:
    """Takes what is sent and fails as told, by the room."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors
        self.sent: list[Envelope] = []
        self.then: Callable[[], object] = lambda: None

    def __call__(self, envelope: Envelope, timeout: float) -> None:
        assert timeout > 0
        namespace = envelope.room.partition(".")[0]
        if namespace in self.errors:
            raise self.errors[namespace]
        self.sent.append(envelope)
        self.then()

    @property
    def bodies(self) -> list[bytes]:
        return [envelope.body for envelope in self.sent]

    def relay(self, stop: Any = None, **options: Any) -> Relay:
        return Relay("default", stop or Patience(), send=self, **options)


def waiting() -> list[str]:
    return list(OutboxMessage.objects.filter(refused=False).values_list("room", flat=True))


def test_it_is_a_row_until_the_relay_comes(entries: Entries) -> None:
    before = int(time.time() * 1000)
    sender = Sender("7", "Añn")
    publish(*("chat.lobby", {"text": "héllo"}, "system"), key="order-7", outbox=True, sender=sender)
    (message,) = OutboxMessage.objects.all()
    assert not entries()
    assert Relay("default", Patience()).drain() is Outcome.DONE
    (envelope,) = entries()
    assert envelope == message.envelope()._replace(publisher="roomline")
    assert envelope.body == '{"text":"héllo"}'.encode()
    assert (envelope.room, envelope.kind, envelope.key) == ("chat.lobby", "system", "order-7")
    assert envelope.sender == sender
    assert envelope.time is not None
    assert before <= envelope.time <= int(time.time() * 1000)
    assert not OutboxMessage.objects.exists()


def test_what_is_rolled_back_was_never_there(entries: Entries) -> None:
    with transaction.atomic():
        publish("a", 1, outbox=True)
        with transaction.atomic():
            publish("a", "no", outbox=True)
            transaction.set_rollback(True)
        publish("a", 2, outbox=True)
    with transaction.atomic():
        publish("a", "nor this", outbox=True)
        transaction.set_rollback(True)
    Relay("default", Patience()).drain()
    assert [envelope.body for envelope in entries()] == [b"1", b"2"]


def test_each_database_has_its_own(entries: Entries) -> None:
    publish("a", "other's", outbox=True, using="other")
    assert Relay("default", Patience()).drain() is Outcome.DONE
    assert not entries()
    Relay("other", Patience()).drain()
    assert [envelope.body for envelope in entries()] == [b'"other\'s"']


def test_the_setting_decides_where_a_call_does_not(entries: Entries, roomline: Any) -> None:
    roomline(OUTBOX=True, BROKER=conf.current().broker)
    publish("a", "in a row")
    publish("a", "at once", on_commit=False)
    publish("a", "when it commits", outbox=False)
    assert [envelope.body for envelope in entries()] == [b'"at once"', b'"when it commits"']
    assert [bytes(message.body) for message in OutboxMessage.objects.all()] == [b'"in a row"']


def test_at_once_and_by_the_outbox_contradict_each_other() -> None:
    with pytest.raises(ValueError, match=r"outbox=True contradicts on_commit=False"):
        publish("a", 1, on_commit=False, outbox=True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a b", 1), InvalidName),
        (("a", object()), InvalidData),
        (("a", "x" * MAX_BODY_BYTES), InvalidData),
        (("a", 1, "shout"), ValueError),
    ],
)
def test_bad_arguments_are_said_at_the_call(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        publish(*arguments, outbox=True)
    assert not OutboxMessage.objects.exists()


def test_a_broker_that_is_away_is_the_relays_affair(roomline: Any) -> None:
    roomline(BROKER="embedded:/nonexistent/rooms.sqlite3")
    publish("a", 1, outbox=True)
    with pytest.raises(BrokerUnavailable, match="/nonexistent"):
        Relay("default", Patience()).drain()
    assert waiting() == ["a"]


def test_more_than_a_batch_goes_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "BATCH", 3)
    log = Log()
    for number in range(10):
        publish("a", number, outbox=True)
    relay = log.relay()
    assert relay.drain() is Outcome.DONE
    assert log.bodies == [b"%d" % number for number in range(10)]
    assert relay.published == 10


def test_a_refused_one_is_kept_and_does_not_hold_up_others() -> None:
    log = Log(no=PublishRejected("not permitted"))
    for room in ("a", "no", "b"):
        publish(room, 1, outbox=True)
    relay = log.relay()
    assert relay.drain() is Outcome.DONE
    assert [envelope.room for envelope in log.sent] == ["a", "b"]
    (refused,) = OutboxMessage.objects.all()
    assert (refused.room, refused.refused, refused.error) == ("no", True, "not permitted")
    assert (relay.published, relay.refused) == (2, 1)
    log.errors.clear()
    assert log.relay().drain() is Outcome.DONE
    assert waiting() == [], "it is not tried by itself"
    assert len(log.sent) == 2


@pytest.mark.parametrize(
    "change", [{"room": "not a room"}, {"kind": "shout"}, {"body": b"x" * (MAX_BODY_BYTES + 1)}]
)
def test_a_row_that_was_written_by_hand_holds_up_nobody(change: dict[str, Any]) -> None:
    publish("a", 1, outbox=True)
    OutboxMessage.objects.update(**change)
    publish("b", 2, outbox=True)
    log = Log()
    assert log.relay().drain() is Outcome.DONE
    assert log.bodies == [b"2"]
    (refused,) = OutboxMessage.objects.all()
    assert refused.refused
    assert "accepted" in refused.error or "taken" in refused.error or "words" in refused.error


def test_a_namespace_without_a_log_waits_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "RETURNED_SECONDS", 0.2)
    log = Log(lost=PublishReturned("returned"))
    for number, room in enumerate(["lost.1", "a", "lost.2", "lostandfound", "lost.1", "lost"]):
        publish(room, number, outbox=True)
    relay = log.relay()
    assert relay.drain() is Outcome.RETURNED
    assert [envelope.room for envelope in log.sent] == ["a", "lostandfound"]
    assert waiting() == ["lost.1", "lost.2", "lost.1", "lost"]
    first = OutboxMessage.objects.all()[0]
    assert first.error == "returned", "to be seen in the admin"
    publish("b", 9, outbox=True)
    assert relay.drain() is Outcome.RETURNED
    log.errors.clear()
    deadline = time.monotonic() + 10
    while relay.drain() is not Outcome.DONE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert log.bodies == [b"1", b"3", b"9", b"0", b"2", b"4", b"5"]


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), PublishUnconfirmed("who knows")])
def test_nothing_overtakes_what_the_broker_did_not_take(error: Exception) -> None:
    log = Log(away=error)
    for room in ("a", "away", "b"):
        publish(room, 1, outbox=True)
    with pytest.raises(type(error)):
        log.relay().drain()
    assert waiting() == ["away", "b"], "what was confirmed is deleted, the rest is as it was"
    log.errors.clear()
    log.relay().drain()
    assert [envelope.room for envelope in log.sent] == ["a", "away", "b"]


def test_it_tries_again_less_and_less_often(caplog: pytest.LogCaptureFixture) -> None:
    publish("away", 1, outbox=True)
    log, stop = Log(away=BrokerUnavailable("nobody there")), Patience(12)
    log.relay(stop).run(0.5)
    for number, pause in enumerate(stop.pauses):
        bound = min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)
        assert bound / 2 <= pause <= bound
    assert "the outbox waits" in caplog.text
    assert "nobody there" in caplog.text
    stop = Patience(3)
    log.errors.clear()
    log.relay(stop).run(0.5)
    assert stop.pauses == [0.5] * 3
    assert log.bodies == [b"1"]


def test_a_database_that_fails_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish("a", 1, outbox=True)
    failures = [DatabaseError("gone"), DatabaseError("still gone")]

    def fail(execute: Any, *arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return execute(*arguments)

    log = Log()
    with connection.execute_wrapper(fail):
        log.relay(Patience(3)).run(0.5)
    assert log.bodies == [b"1"]
    assert "gone" in caplog.text


def test_asked_to_stop_it_ends_between_two_rows() -> None:
    for number in range(3):
        publish("a", number, outbox=True)
    log, stop = Log(), Patience()
    log.then = lambda: stop.wait(0)
    log.relay(stop).drain()
    assert log.bodies == [b"0"]
    assert len(waiting()) == 2
    log.then = lambda: None
    assert log.relay().drain() is Outcome.DONE, "the lease was let go of"
    assert log.bodies == [b"0", b"1", b"2"]


def test_one_works_and_the_others_stand_by() -> None:
    publish("a", 1, outbox=True)
    other = Hold(LEASE, "default", 30)
    assert other.take()
    log = Log()
    assert log.relay().drain() is Outcome.STANDING_BY
    assert log.bodies == []
    other.release()
    assert log.relay().drain() is Outcome.DONE
    assert log.bodies == [b"1"]


def test_one_that_died_is_followed_by_another() -> None:
    publish("a", 1, outbox=True)
    assert Hold(LEASE, "default", 0.3).take()
    log, deadline = Log(), time.monotonic() + 10
    while log.relay().drain() is Outcome.STANDING_BY:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert log.bodies == [b"1"]


@pytest.mark.parametrize("then", ["at work", "ready"])
def test_one_that_stood_still_publishes_no_more_of_what_it_has_read(then: str) -> None:
    for number in range(3):
        publish("a", number, outbox=True)
    log, other = Log(), Hold(LEASE, "default", 30)

    def stand_still() -> None:
        while not other.take():
            time.sleep(0.02)
        if then == "ready":
            other.release()

    log.then = stand_still
    assert log.relay(lease_seconds=0.2).drain() is Outcome.STANDING_BY
    assert log.bodies == [b"0"]
    assert len(waiting()) == 2


def test_a_lease_is_renewed_while_it_is_worked_with() -> None:
    for number in range(5):
        publish("a", number, outbox=True)
    log, other, stolen = Log(), Hold(LEASE, "default", 30), []

    def take_time() -> None:
        time.sleep(0.3)
        stolen.append(other.take())

    log.then = take_time
    assert log.relay(lease_seconds=1.0).drain() is Outcome.DONE
    assert len(log.sent) == 5
    assert stolen == [False] * 5


def test_a_lease_lasts_as_long_as_it_says() -> None:
    mine = Hold("work", "default", 0.3)
    assert mine.left == 0
    assert mine.take()
    assert 0 < mine.left <= 0.3
    assert mine.take(), "renewed"
    assert not Hold("work", "default", 30).take()
    assert Hold("other work", "default", 30).take()
    mine.release()
    assert mine.left == 0
    another = Hold("work", "default", 30)
    assert another.take()
    assert not mine.renew()
    mine.release()
    assert not Hold("work", "default", 30).take(), "what is another's is not released"
    another.release()
    assert not mine.renew(), "another has had it meanwhile"
    assert mine.take()


def test_the_database_tells_the_time_of_this_machine() -> None:
    Lease.objects.create(name="clock")
    Lease.objects.update(expires=DatabaseTime())
    assert abs(Lease.objects.get().expires / 1000 - time.time()) < 60


def test_an_unknown_database_is_an_error_that_says_so() -> None:
    with pytest.raises(DatabaseError, match="the database is oracle: SQLite, PostgreSQL"):
        DatabaseTime().as_sql(None, SimpleNamespace(vendor="oracle"))


@pytest.fixture
def admin(users: dict[str, Any], client: Client) -> Client:
    """The browser of a superuser."""
    users["staff"].is_superuser = True
    users["staff"].save()
    client.force_login(users["staff"])
    return client


URL = "/admin/django_roomline/outboxmessage/"


def test_a_refused_one_is_seen_and_tried_again_in_the_admin(admin: Client) -> None:
    publish("no.way", {"text": "héllo"}, outbox=True)
    publish("waits", 1, outbox=True)
    log = Log(no=PublishRejected("not permitted"))
    log.relay().drain()
    publish("waits", 2, outbox=True)
    shown = admin.get(URL).content.decode()
    assert "no.way" in shown
    assert "not permitted" in shown
    (refused,) = OutboxMessage.objects.filter(refused=True)
    assert "héllo" in admin.get(f"{URL}{refused.pk}/change/").content.decode()
    chosen = [str(pk) for pk in OutboxMessage.objects.values_list("pk", flat=True)]
    form = {"action": "retry", "_selected_action": chosen}
    answer = admin.post(URL, form, follow=True).content.decode()
    assert "1 refused publication waits for the relay again." in answer
    log.errors.clear()
    log.relay().drain()
    assert log.bodies == [b"1", '{"text":"héllo"}'.encode(), b"2"]


def test_nothing_can_be_made_or_changed_in_the_admin(admin: Client) -> None:
    publish("a", 1, outbox=True)
    (message,) = OutboxMessage.objects.all()
    assert admin.get(f"{URL}add/").status_code == 403
    assert admin.post(f"{URL}{message.pk}/change/", {"room": "b"}).status_code == 403
    assert OutboxMessage.objects.get().room == "a"


def test_the_list_of_a_long_outbox_takes_few_queries_and_no_bodies(admin: Client) -> None:
    for number in range(3):
        publish("a", number, outbox=True)
    with CaptureQueriesContext(connection) as few:
        admin.get(URL)
    for number in range(50):
        publish("a", number, outbox=True)
    with CaptureQueriesContext(connection) as many:
        admin.get(URL)
    assert len(few) == len(many)
    assert not any('"body"' in query["sql"] for query in many)


def test_who_may_only_look_cannot_retry(client: Client, users: dict[str, Any]) -> None:
    users["staff"].user_permissions.add(Permission.objects.get(codename="view_outboxmessage"))
    client.force_login(users["staff"])
    publish("no", 1, outbox=True)
    OutboxMessage.objects.update(refused=True)
    form = {"action": "retry", "_selected_action": [str(OutboxMessage.objects.get().pk)]}
    client.post(URL, form)
    assert OutboxMessage.objects.get().refused

"""Events: what is told of, in which words, to which rooms, and what never happens to a request."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, transaction
from django.dispatch import Signal
from django.test import Client, TestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django_roomline import (
    BrokerUnavailable,
    PublishRejected,
    PublishReturned,
    builtin_events,
    events,
)
from django_roomline.admin_log import ADMIN_LOG
from django_roomline.builtin_events import LOGINS_PER_MINUTE
from django_roomline.events import MAX_TEXT, Limit, register_event
from django_roomline.identity import MAX_NAME
from django_roomline.models import OutboxMessage, Room
from django_roomline.testing import Recording, recording
from roomline.wire import InvalidName

paid = Signal()
ROOMS = "/admin/django_roomline/room/"
FORM = {"name": "chat.new", "title": "New", "readers": "everyone", "writers": "staff"}
FORM |= {"members-TOTAL_FORMS": "0", "members-INITIAL_FORMS": "0"}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No test inherits what another one has registered, counted, or made the broker rest for."""
    before = dict(events._sources)
    yield
    for name in events._sources.keys() - before.keys():
        signal, sender = events._sources.pop(name)
        signal.disconnect(sender=sender, dispatch_uid=(events.__name__, name))
    events.dropped.clear()
    events._rest = None, 0.0
    builtin_events.register()  # with limits that nobody has used yet


@pytest.fixture
def published() -> Iterator[Recording]:
    with recording() as recorded:
        yield recorded


@pytest.fixture
def admin(client: Client, users: dict[str, Any]) -> Client:
    """A browser of somebody who may do everything in the admin."""
    users["staff"].is_superuser = True
    users["staff"].save()
    client.force_login(users["staff"])
    return client


def committed() -> AbstractContextManager[Any]:
    """What the block does is committed, as far as hooks can tell."""
    return TestCase.captureOnCommitCallbacks(execute=True)


def test_an_entry_of_the_admins_log_is_a_sentence_for_staff(
    admin: Client, users: dict[str, Any], published: Recording
) -> None:
    with committed():
        assert admin.post(ROOMS + "add/", FORM).status_code == 302
    room = Room.objects.get()
    with committed():
        admin.post(f"{ROOMS}{room.pk}/change/", {**FORM, "title": "Newer"})
        admin.post(f"{ROOMS}{room.pk}/delete/", {"post": "yes"})
    sue = {"id": str(users["staff"].pk), "name": "sue"}
    shared = {"event": "admin_log", "model": "django_roomline.room", "user": sue}
    url = f"{ROOMS}{room.pk}/change/"
    assert published.to(ADMIN_LOG) == [
        {
            **shared,
            "text": "sue added room “New”",
            "action": "add",
            "object": "New",
            "url": url,
        },
        {
            **shared,
            "text": "sue changed room “Newer”: Changed Title.",
            "action": "change",
            "object": "Newer",
            "url": url,
        },
        {**shared, "text": "sue deleted room “Newer”", "action": "delete", "object": "Newer"},
    ]
    assert {one.kind for one in published.publications} == {"admin"}


def test_every_one_of_several_that_are_deleted_at_once_is_told(
    admin: Client, users: dict[str, Any], published: Recording
) -> None:
    Room.objects.bulk_create(Room(name=f"chat.{n}", title=f"Room {n}") for n in range(30))
    form = {
        "action": "delete_selected",
        "post": "yes",
        "_selected_action": list(Room.objects.values_list("pk", flat=True)),
    }
    with committed():
        assert admin.post(ROOMS, form).status_code == 302
    assert {data["object"] for data in published.to(ADMIN_LOG)} == {f"Room {n}" for n in range(30)}
    assert len(published.publications) == 30

    ContentType.objects.get_for_model(Room)
    entries = [_entry(users["staff"], f"{n}") for n in range(50)]
    with CaptureQueriesContext(connection) as queries, committed():
        LogEntry.objects.bulk_create(entries)
    users_read = [query for query in queries if 'FROM "auth_user"' in query["sql"]]
    assert len(users_read) <= 1, "one look at their user, however many they are"
    assert len(published.publications) == 80


def _entry(user: User, text: str, message: str = "") -> LogEntry:
    return LogEntry(
        user_id=user.pk,
        content_type=ContentType.objects.get_for_model(Room),
        object_id="1",
        object_repr=text,
        action_flag=CHANGE,
        change_message=message,
    )


def test_a_password_that_is_changed_in_the_admin_is_nowhere(
    admin: Client, users: dict[str, Any], published: Recording
) -> None:
    form = {"password1": "correct-horse-7", "password2": "correct-horse-7"}
    with committed():
        page = admin.post(f"/admin/auth/user/{users['member'].pk}/password/", form)
    assert page.status_code == 302
    (data,) = published.to(ADMIN_LOG)
    assert data["text"] == "sue changed user “ann”: Changed password."
    assert "horse" not in json.dumps(data)


def test_long_and_strange_entries_are_told_as_far_as_they_fit(
    users: dict[str, Any], published: Recording
) -> None:
    with committed():
        _entry(users["staff"], "<b>", "x" * 100_000).save()
    (data,) = published.to(ADMIN_LOG)
    assert data["text"].startswith("sue changed room “<b>”: xxx")
    assert len(data["text"]) == MAX_TEXT
    nowhere = _entry(users["staff"], "gone")
    nowhere.content_type = None
    nowhere.action_flag = 9
    with committed():
        nowhere.save()
        nowhere.save()
    assert [data["text"] for data in published.to(ADMIN_LOG)[1:]] == ["sue: ? “gone”"]
    assert not events.dropped


def test_what_is_loaded_or_rolled_back_did_not_happen(
    users: dict[str, Any], published: Recording, tmp_path: Any, roomline: Callable[..., None]
) -> None:
    roomline(EVENTS={"room_created": "a"})
    Room.objects.create(name="chat.a", title="A")
    _entry(users["staff"], "A").save()
    dump = tmp_path / "dump.json"
    call_command("dumpdata", "django_roomline.room", "admin.logentry", output=str(dump))
    with committed():
        call_command("loaddata", str(dump), verbosity=0)
        with transaction.atomic():
            Room.objects.create(name="chat.b", title="B")
            transaction.set_rollback(True)
    published.assert_nothing_published()


@pytest.mark.parametrize("rooms", [None, [], ["admin.log", "admin.changes"], "ops.log"])
def test_the_project_says_where_to(
    users: dict[str, Any],
    published: Recording,
    roomline: Callable[..., None],
    rooms: Any,
) -> None:
    roomline(EVENTS={"admin_log": rooms})
    with committed():
        _entry(users["staff"], "A").save()
    listed = [rooms] if isinstance(rooms, str) else rooms or []
    assert [one.room for one in published.publications] == listed


def test_logins_are_told_of_only_where_the_project_wants_it(
    client: Client, users: dict[str, Any], published: Recording, roomline: Callable[..., None]
) -> None:
    def come_and_go() -> None:
        client.post("/login/", {"username": "ann", "password": "nope-secret"})
        client.post("/login/", {"username": "ann", "password": "ann's"})
        client.post("/logout/")
        client.post("/logout/")

    with committed():
        come_and_go()
    published.assert_nothing_published()
    names = ("login", "logout", "login_failed")
    roomline(EVENTS=dict.fromkeys(names, "admin.logins"))
    with committed():
        come_and_go()
    ann = {"id": str(users["member"].pk), "name": "Ann"}
    assert published.to("admin.logins") == [
        {"event": "login_failed", "text": "A login as “ann” failed", "name": "ann"},
        {"event": "login", "text": "Ann logged in", "user": ann},
        {"event": "logout", "text": "Ann logged out", "user": ann},
    ]
    assert {one.kind for one in published.publications} == {"system"}
    assert "secret" not in str(published)


def test_a_name_that_was_tried_is_data(
    db: None, published: Recording, roomline: Callable[..., None]
) -> None:
    User.objects.create(username="<b>ann</b>")
    User.objects.create(username="x" * (MAX_NAME + 1))
    roomline(EVENTS={"login_failed": "a"})
    with committed():
        authenticate(username="<b>ann</b>", password="x")
        authenticate(username="x" * (MAX_NAME + 1), password="x")
    assert [data["name"] for data in published.to("a")] == ["<b>ann</b>", "x" * MAX_NAME]
    assert all(data["name"] in data["text"] for data in published.to("a"))


@pytest.mark.parametrize("name", ["my password", "ANN", "a\u202eb\x00c\nd", "x" * 9000])
def test_a_name_that_nobody_has_is_not_told(
    users: dict[str, Any], published: Recording, roomline: Callable[..., None], name: str
) -> None:
    roomline(EVENTS={"login_failed": "a"})
    with committed():
        authenticate(username=name, password="x")
    text = "A login with an unknown name failed"
    assert published.to("a") == [{"event": "login_failed", "text": text, "name": ""}]


def test_a_login_without_a_name(
    db: None, published: Recording, roomline: Callable[..., None]
) -> None:
    roomline(EVENTS={"login_failed": "a"})
    with committed():
        authenticate(username="", password="x")
        authenticate(token="only a token")
    event = {"event": "login_failed", "text": "A login failed", "name": ""}
    assert published.to("a") == [event, event]


def test_a_flood_of_failed_logins_does_not_flood_the_room(
    db: None,
    published: Recording,
    roomline: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    roomline(EVENTS={"login_failed": "a", "login": "a"})
    now = 1000.0
    monkeypatch.setattr(events, "monotonic", lambda: now)
    with committed():
        for number in range(LOGINS_PER_MINUTE + 70):
            authenticate(username=f"user{number}", password="x")
    assert len(published.to("a")) == LOGINS_PER_MINUTE
    now += 61
    with committed():
        authenticate(username="late", password="x")
        authenticate(username="later", password="x")
    late, later = published.to("a")[-2:]
    assert late["suppressed"] == 70
    assert "suppressed" not in later


def test_a_limit_is_of_any_minute() -> None:
    limit = Limit(2)
    assert [limit.allow(now) for now in (0, 30, 59, 60, 61, 90)] == [1, 1, 0, 1, 0, 1]
    assert limit.take_suppressed() == 2
    assert limit.take_suppressed() == 0


def test_rooms_that_come_and_go_are_told_of(
    db: None, published: Recording, roomline: Callable[..., None]
) -> None:
    roomline(EVENTS={"room_created": "system.rooms", "room_deleted": "system.rooms"})
    with committed():
        room = Room.objects.create(name="chat.a", title="A")
        room.title = "B"
        room.save()
        Room.objects.all().delete()
    shared = {"room": "chat.a"}
    assert published.to("system.rooms") == [
        {"event": "room_created", "text": "Room “A” was created", "title": "A", **shared},
        {"event": "room_deleted", "text": "Room “B” was deleted", "title": "B", **shared},
    ]


@pytest.mark.parametrize("by", ["action", "page", "save"])
def test_rooms_that_are_closed_and_opened_are_told_of_once(
    admin: Client, published: Recording, roomline: Callable[..., None], by: str
) -> None:
    roomline(EVENTS={"room_closed": "a", "room_opened": "a", "admin_log": None})
    room = Room.objects.create(name="chat.new", title="New")

    def set_closed(closed: bool) -> None:
        if by == "action":
            action = {"action": "close" if closed else "open", "_selected_action": [room.pk]}
            admin.post(ROOMS, action)
        elif by == "page":
            admin.post(f"{ROOMS}{room.pk}/change/", FORM | ({"closed": "on"} if closed else {}))
        else:
            room.closed = closed
            room.save()

    with committed():
        for closed in (True, True, False, False):
            set_closed(closed)
        room.refresh_from_db()
        room.save()
        Room.objects.create(name="chat.never", title="Never open", closed=True)
    shared = {"room": "chat.new", "title": "New"}
    assert published.to("a") == [
        {"event": "room_closed", "text": "Room “New” was closed", **shared},
        {"event": "room_opened", "text": "Room “New” was opened", **shared},
    ]


def test_a_project_has_events_of_its_own(
    db: None, published: Recording, roomline: Callable[..., None]
) -> None:
    event = register_event(
        *("order_paid", paid, lambda order, **_: f"Order {order} was paid" if order else None),
        data=lambda order, **_: {"order": order, "event": "not this", "text": "nor this"},
        room="chat.sales",
        sender=User,
    )
    with committed():
        paid.send(sender=User, order=7)
        paid.send(sender=User, order=0)
        paid.send(sender=Room, order=9)
    expected = {"event": "order_paid", "text": "Order 7 was paid", "order": 7}
    assert published.to("chat.sales") == [expected]
    roomline(EVENTS={"order_paid": None})
    assert event.rooms() == ()
    assert "order_paid" in events.known()


def test_apps_that_get_ready_again_are_told_of_once(
    users: dict[str, Any], published: Recording, roomline: Callable[..., None]
) -> None:
    with override_settings(INSTALLED_APPS=[*django_settings.INSTALLED_APPS]):
        pass
    roomline(EVENTS={"room_created": "a"})
    with committed():
        Room.objects.create(name="chat.a", title="A")
        LogEntry.objects.bulk_create([_entry(users["staff"], "A")])
        _entry(users["staff"], "B").save()
    assert len(published.to("a")) == 1
    assert len(published.to(ADMIN_LOG)) == 2


@pytest.mark.parametrize(
    ("name", "options", "error", "says"),
    [
        ("Order paid", {}, ValueError, "'Order paid' is not accepted"),
        ("login", {}, ValueError, "'login' is one of another signal"),
        ("order_paid", {"per_minute": 0}, ValueError, "per_minute is 0"),
        ("order_paid", {"room": "a b"}, InvalidName, "'a b' is not a room name"),
    ],
)
def test_what_no_event_can_be_is_said(
    name: str, options: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        register_event(name, paid, lambda **_: "", **options)


def broken(**_: Any) -> str:
    """A text that asks the database for a table that is not there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM nowhere")
    return "never"


def test_an_event_that_cannot_be_told_breaks_nothing(
    db: None, published: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    register_event("order_paid", paid, broken, room="a")
    with committed():
        paid.send(sender=None)
        Room.objects.create(name="chat.a", title="still possible")
    assert Room.objects.count() == 1
    published.assert_nothing_published()
    assert events.dropped["order_paid"] == 1
    assert "event order_paid was not published" in caplog.text
    assert "Traceback" in caplog.text


def test_data_that_are_no_json_break_nothing(db: None, published: Recording) -> None:
    register_event(
        "order_paid", paid, lambda **_: "Paid", data=lambda **_: {"a": object()}, room="a"
    )
    with committed():
        paid.send(sender=None)
    published.assert_nothing_published()
    assert events.dropped["order_paid"] == 1


def test_a_setting_that_is_wrong_breaks_nothing(
    users: dict[str, Any], roomline: Callable[..., None]
) -> None:
    roomline(EVENTS=7)
    with committed():
        _entry(users["staff"], "A").save()
        LogEntry.objects.bulk_create([_entry(users["staff"], "A")])
    assert LogEntry.objects.count() == 2
    assert events.dropped["admin_log"] == 2


def test_a_broker_that_is_away_is_not_waited_for_again(
    admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with recording(error=BrokerUnavailable("it is away")) as refused:
        with committed():
            assert admin.post(ROOMS + "add/", FORM).status_code == 302
        assert events.dropped["admin_log"] == 1
        refused.error = None
        with committed():
            admin.post(ROOMS + "add/", {**FORM, "name": "chat.newer"})
        refused.assert_nothing_published()
        assert events.dropped["admin_log"] == 2, "counted, and not tried"
        events._rest = None, 0.0
        with committed():
            admin.post(ROOMS + "add/", {**FORM, "name": "chat.newest"})
        assert len(refused.to(ADMIN_LOG)) == 1
    assert Room.objects.count() == 3
    said = [record for record in caplog.records if record.name == "django_roomline"]
    assert [(record.levelno, record.exc_info) for record in said] == [(logging.WARNING, None)] * 2
    assert "it is away" in said[0].getMessage()
    assert "the broker has failed just before" in said[1].getMessage()


@pytest.mark.parametrize("error", [PublishReturned("no log"), PublishRejected("not permitted")])
def test_a_room_that_is_refused_holds_up_no_other(
    users: dict[str, Any], roomline: Callable[..., None], error: Exception
) -> None:
    roomline(EVENTS={"admin_log": ["a", "b"]})
    with recording() as recorded:
        publish = recorded.publish

        def refuse_a(envelope: Any, timeout: float) -> None:
            if envelope.room == "a":
                raise error
            publish(envelope, timeout)

        recorded.publish = refuse_a  # type: ignore[method-assign]
        with committed():
            _entry(users["staff"], "A").save()
    assert [one.room for one in recorded.publications] == ["b"]
    assert events.dropped["admin_log"] == 1


def test_many_events_take_no_longer_than_one_may(
    users: dict[str, Any],
    roomline: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    roomline(PUBLISH_TIMEOUT=5)
    now = 0.0
    monkeypatch.setattr(events, "monotonic", lambda: now)
    with recording() as recorded:
        publish = recorded.publish

        def slow(envelope: Any, timeout: float) -> None:
            nonlocal now
            now += 2.0
            publish(envelope, timeout)

        recorded.publish = slow  # type: ignore[method-assign]
        with committed():
            LogEntry.objects.bulk_create([_entry(users["staff"], f"{n}") for n in range(10)])
    assert len(recorded.publications) == 3
    assert events.dropped["admin_log"] == 7
    assert "event admin_log was not published 7 times" in caplog.text


def test_with_the_outbox_an_event_is_a_row_of_the_same_transaction(
    users: dict[str, Any], roomline: Callable[..., None]
) -> None:
    roomline(OUTBOX=True)
    with transaction.atomic():
        _entry(users["staff"], "A").save()
        assert OutboxMessage.objects.filter(room=ADMIN_LOG, kind="admin").count() == 1
        transaction.set_rollback(True)
    assert not OutboxMessage.objects.exists()
    _entry(users["staff"], "A").save()
    body = json.loads(bytes(OutboxMessage.objects.get().body))
    assert body["text"] == "sue changed room “A”"


def test_another_broker_is_tried_at_once(users: dict[str, Any]) -> None:
    with recording(error=BrokerUnavailable("away")), committed():
        _entry(users["staff"], "A").save()
    with recording() as recorded, committed():
        _entry(users["staff"], "B").save()
    assert len(recorded.to(ADMIN_LOG)) == 1


def test_a_broker_without_its_library_breaks_nothing(
    users: dict[str, Any], roomline: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    roomline(BROKER="amqp://never.invalid/")
    monkeypatch.setitem(sys.modules, "django_roomline.amqp", None)
    with committed():
        _entry(users["staff"], "A").save()
    assert events.dropped["admin_log"] == 1

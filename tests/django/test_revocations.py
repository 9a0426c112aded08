"""What takes rights away, and what gateways are told of it."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, Permission, User
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.signals import post_delete, pre_delete
from django.test import Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_roomline import BrokerUnavailable, conf, publish
from django_roomline.models import (
    ArchivedPublication,
    Generation,
    Lease,
    Member,
    OutboxMessage,
    Room,
)
from django_roomline.publishing import replaced_by
from django_roomline.revocations import revoke_room, revoke_user
from django_roomline.testing import recording, relay_outbox
from roomline.revocations import RoomRevoked, UserRevoked, revocations_of
from roomline.sqlitelog import CONTROL_SUFFIX, SqliteLog
from roomline.tokens import Keyring, verify_connection, verify_room
from roomline.wire import Envelope, InvalidName, body_of

from tests.django.people.models import Courier, Person

KEYS = Keyring({"test": "t" * 32})


class Told:
    """A publisher that remembers revocations, and the generation when each was published."""

    def __init__(self) -> None:
        self.revocations: list[UserRevoked | RoomRevoked] = []

    def publish(self, envelope: Envelope, timeout: float) -> None:
        for revocation in revocations_of(envelope):
            assert revocation.generation == Generation.current(), "it was begun before it is told"
            self.revocations.append(revocation)

    def disconnect(self) -> None:
        """There is nothing to close."""

    @property
    def subjects(self) -> list[str]:
        """Whom they were about: a user's id, a room's name, with "closed"."""
        return [
            each.user_id
            if isinstance(each, UserRevoked)
            else each.room + (" closed" if each.closed else "")
            for each in self.revocations
        ]


@pytest.fixture
def told(transactional_db: None) -> Iterator[Told]:
    told = Told()
    with replaced_by(told):
        yield told


@pytest.fixture
def transactional_db() -> Iterator[None]:
    """Each statement commits by itself; what the test made is deleted after it."""
    yield
    with recording():
        for model in (Member, Room, Group, User, Session, Generation, OutboxMessage, Lease):
            model.objects.all().delete()


@pytest.fixture
def ann(told: Told) -> User:
    return User.objects.create_user("ann", password="ann's")


@pytest.fixture
def room(told: Told) -> Room:
    return Room.objects.create(name="chat.a", title="A", readers="members", writers="members")


def test_generations_only_rise(transactional_db: None) -> None:
    Generation.objects.all().delete()
    first = Generation.bump()
    assert first > 1_700_000_000, "larger than those of any database before"
    assert [Generation.bump() for _ in range(3)] == [first + 1, first + 2, first + 3]
    assert Generation.current() == first + 3


def test_a_new_database_is_not_outranked_by_an_old_control_log(transactional_db: None) -> None:
    Generation.objects.all().delete()
    before = int(time.time())
    first = Generation.current()
    assert before <= first <= time.time()
    assert Generation.current() == first
    assert Generation.bump() == first + 1


@pytest.mark.parametrize(
    "change",
    [
        lambda user: user.set_password("another"),
        lambda user: setattr(user, "is_active", False),
        lambda user: setattr(user, "is_staff", True),
        lambda user: setattr(user, "is_superuser", True),
    ],
)
def test_a_user_who_changes(told: Told, ann: User, change: Callable[[User], None]) -> None:
    change(ann)
    ann.save()
    assert told.subjects == [str(ann.pk)]
    ann.save()
    assert len(told.revocations) == 1, "nothing has changed"


def test_what_takes_nothing_from_a_user(told: Told, ann: User) -> None:
    group = Group.objects.create(name="readers")
    ann.groups.add(group)
    ann.first_name = "Ann"
    ann.save()
    assert told.revocations == []


def test_a_login_costs_no_query(told: Told, ann: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        ann.save(update_fields=["last_login"])
    assert len(queries) == 1


def test_a_user_who_is_deleted(told: Told, ann: User) -> None:
    key = str(ann.pk)
    ann.delete()
    assert told.subjects == [key]


@pytest.mark.parametrize("model", [Person, Courier])
def test_a_user_who_goes_by_another_model(told: Told, model: type[User]) -> None:
    user = model.objects.create_user("ann")
    assert told.subjects == []
    key = str(user.pk)
    user.is_active = False
    user.save()
    assert told.subjects == [key]
    user.delete()
    assert told.subjects == [key] * 2


def test_a_user_who_logs_out(told: Told, ann: User, client: Client) -> None:
    client.force_login(ann)
    stolen = client.cookies["sessionid"].value

    def tell(envelope: Envelope, timeout: float) -> None:
        # With what is left of the session nobody gets a token of the new generation.
        late = Client()
        late.cookies["sessionid"] = stolen
        assert late.get("/roomline/token").json()["user"]["id"].startswith("guest-")
        Told.publish(told, envelope, timeout)

    told.publish = tell  # type: ignore[method-assign]
    client.post("/logout/")
    assert told.subjects == [str(ann.pk)]


@pytest.mark.parametrize(
    "remove",
    [
        lambda user, group: user.groups.remove(group),
        lambda user, group: group.user_set.remove(user),
        lambda user, group: user.groups.clear(),
        lambda user, group: group.user_set.clear(),
        lambda user, group: group.delete(),
    ],
)
def test_a_user_who_leaves_a_group(
    told: Told, ann: User, remove: Callable[[User, Group], None]
) -> None:
    group = Group.objects.create(name="readers")
    ann.groups.add(group)
    remove(ann, group)
    assert told.subjects == [str(ann.pk)]


def change_room(**values: Any) -> Callable[[Room], None]:
    def change(room: Room) -> None:
        for name, value in values.items():
            setattr(room, name, value)
        room.save()

    return change


@pytest.mark.parametrize(
    ("change", "subjects"),
    [
        (change_room(readers="staff"), ["chat.a"]),
        (change_room(writers="staff"), ["chat.a"]),
        (change_room(closed=True), ["chat.a closed"]),
        (change_room(closed=True, readers="staff"), ["chat.a closed"]),
        (change_room(name="chat.b"), ["chat.a closed"]),
        (change_room(title="Another"), []),
        (lambda room: room.delete(), ["chat.a closed"]),
    ],
)
def test_a_room_that_changes(
    told: Told, room: Room, change: Callable[[Room], None], subjects: list[str]
) -> None:
    change(room)
    assert told.subjects == subjects


def test_opening_a_room_takes_nothing_away(told: Told, room: Room) -> None:
    change_room(closed=True)(room)
    change_room(closed=False)(room)
    assert told.subjects == ["chat.a closed"]


def test_members_who_go_or_may_no_longer_write(told: Told, room: Room, ann: User) -> None:
    member = Member.objects.create(room=room, user=ann)
    assert told.revocations == []
    member.may_write = False
    member.save()
    member.delete()
    assert told.subjects == ["chat.a", "chat.a"]
    Member.objects.create(room=room, user=ann)
    room.delete()
    assert told.subjects[2:] == ["chat.a closed"], "and not once more for its members"
    room = Room.objects.create(name="chat.a", title="A")
    Member.objects.create(room=room, user=ann)
    Room.objects.filter(pk=room.pk).delete()
    assert told.subjects[3:] == ["chat.a closed"]


def test_a_member_who_is_moved_to_another_room(told: Told, room: Room, ann: User) -> None:
    member = Member.objects.create(room=room, user=ann)
    member.room = Room.objects.create(name="chat.b", title="B", readers="members")
    member.save()
    assert sorted(told.subjects) == ["chat.a", "chat.b"]


def test_it_is_told_when_it_is_committed(told: Told, ann: User) -> None:
    with transaction.atomic():
        ann.is_active = False
        ann.save()
        assert told.revocations == []
        transaction.set_rollback(True)
    assert told.revocations == []
    with transaction.atomic():
        revoke_user(ann.pk)
        revoke_room("object.shop.order.7")
        assert told.revocations == []
    assert told.subjects == [str(ann.pk), "object.shop.order.7"]


def test_bad_subjects_are_refused_at_once(told: Told) -> None:
    with pytest.raises(InvalidName):
        revoke_user("no id")
    with pytest.raises(InvalidName):
        revoke_room("no room")
    assert told.revocations == []


def test_a_broker_that_is_away_breaks_nothing(ann: User, caplog: pytest.LogCaptureFixture) -> None:
    with recording(error=BrokerUnavailable("away")):
        ann.is_active = False
        ann.save()
    assert not User.objects.get(pk=ann.pk).is_active
    assert "1 of 1 revocations were not published" in caplog.text


def test_with_the_outbox_it_waits_in_the_same_transaction(
    told: Told, ann: User, room: Room, roomline: Any
) -> None:
    roomline(OUTBOX=True)
    with transaction.atomic():
        ann.is_active = False
        ann.save()
        transaction.set_rollback(True)
    assert relay_outbox() == 0
    ann.save()
    revoke_room("chat.b", closed=True)
    assert told.revocations == []
    assert list(OutboxMessage.objects.values_list("room", flat=True)) == [
        "control.user",
        "control.room",
    ]
    before = Generation.current()
    assert relay_outbox() == 2
    assert told.subjects == [str(ann.pk), "chat.b closed"]
    assert [each.generation for each in told.revocations] == [before + 1, before + 2]


def test_with_the_outbox_a_broker_that_is_away_loses_nothing(
    told: Told, ann: User, roomline: Any
) -> None:
    roomline(OUTBOX=True)
    with recording(error=BrokerUnavailable("away")):
        ann.is_active = False
        ann.save()
        with pytest.raises(BrokerUnavailable):
            relay_outbox()
    late = Generation.current()  # of tokens that are given meanwhile
    assert relay_outbox() == 1
    assert told.subjects == [str(ann.pk)]
    assert told.revocations[0].generation > late


def test_what_is_no_revocation_is_refused_by_the_relay(told: Told, roomline: Any) -> None:
    roomline(OUTBOX=True)

    def typed(**body: Any) -> None:
        envelope = Envelope("control.user", body_of(body), message_id=uuid.uuid4().hex, time=1)
        OutboxMessage.of(envelope).save()

    typed(users=["no id"])
    revoke_user("7")
    typed(users=["7"], generation=0)
    assert relay_outbox() == 2
    assert told.subjects == ["7", "7"], "a generation that was typed does not count"
    assert "generation" in OutboxMessage.objects.get(refused=True).error


@pytest.mark.parametrize("on_commit", [False, True])
def test_nobody_revokes_by_publishing(told: Told, roomline: Any, on_commit: bool) -> None:
    with pytest.raises(InvalidName, match=r"control\.user"):
        publish("control.user", {"user": "1", "generation": 2**53 - 1}, on_commit=on_commit)
    assert told.subjects == []


def test_a_room_that_is_made_decides_from_now_on(told: Told, roomline: Any) -> None:
    Room.objects.create(name="orders.1")
    assert told.subjects == []
    roomline(GRANTS="tests.django.test_revocations.all_orders")
    room = Room.objects.create(name="orders.17", closed=True)
    room.name = "orders.18"
    room.save()
    assert told.subjects == ["orders.17 closed", "orders.17 closed", "orders.18 closed"]


def all_orders(user: object) -> dict[str, str]:
    return {"orders.**": "rw"}


def test_one_that_fails_keeps_none_of_the_others(
    told: Told, roomline: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def send(envelope: Envelope, timeout: float) -> None:
        tried.extend(json.loads(envelope.body)["users"])
        if len(tried) == 1:
            raise BrokerUnavailable("just now")

    monkeypatch.setattr("django_roomline.revocations.send", send)
    monkeypatch.setattr("roomline.revocations.USERS_PER_REVOCATION", 1)
    group = Group.objects.create(name="g")
    users = [User.objects.create(username=str(number)) for number in range(3)]
    group.user_set.add(*users)
    tried.clear()
    group.user_set.clear()
    assert sorted(tried) == sorted(str(user.pk) for user in users)
    assert "1 of 3 revocations were not published" in caplog.text


def test_a_permission_that_is_taken_away(told: Told, ann: User, roomline: Any) -> None:
    """Where the project's functions decide: they may go by it."""
    group = Group.objects.create(name="g")
    ann.groups.add(group)
    one, other = Permission.objects.all()[:2]

    def take_all_away() -> None:
        for holder in (ann.user_permissions, group.permissions):
            holder.add(one, other)
            holder.remove(one)
            holder.clear()

    take_all_away()
    assert told.subjects == []
    roomline(GRANTS="tests.django.test_revocations.all_orders")
    take_all_away()
    assert told.subjects == [str(ann.pk)] * 4
    one.user_set.add(ann)
    one.group_set.add(group)
    one.group_set.clear()
    one.user_set.remove(ann)
    assert told.subjects == [str(ann.pk)] * 6


@pytest.mark.parametrize("outbox", [False, True])
def test_a_group_of_thousands_is_few_publications(
    told: Told, roomline: Any, monkeypatch: pytest.MonkeyPatch, outbox: bool
) -> None:
    roomline(OUTBOX=outbox)
    group = Group.objects.create(name="g")
    users = User.objects.bulk_create(User(username=str(number)) for number in range(2_000))
    group.user_set.add(*users)
    publish_one, published = told.publish, []

    def publish(envelope: Envelope, timeout: float) -> None:
        published.append(envelope)
        publish_one(envelope, timeout)

    monkeypatch.setattr(told, "publish", publish)
    group.delete()
    if outbox:
        relay_outbox()
    assert set(told.subjects) == {str(user.pk) for user in users}
    assert (len(told.subjects), len(published)) == (2_000, 4)


def test_in_the_outbox_revocations_go_before_what_else_waits(told: Told, roomline: Any) -> None:
    roomline(OUTBOX=True)
    for number in range(3):
        publish("chat.a", number)
    revoke_user("7")
    revoke_room("chat.a")
    order = OutboxMessage.objects.order_by("-urgent", "id").values_list("room", flat=True)
    assert list(order) == ["control.user", "control.room", *["chat.a"] * 3]
    sent: list[str] = []
    with replaced_by(Sent(sent)):
        relay_outbox()
    assert sent == list(order)


class Sent:
    """A publisher that remembers rooms."""

    def __init__(self, rooms: list[str]) -> None:
        self._rooms = rooms

    def publish(self, envelope: Envelope, timeout: float) -> None:
        self._rooms.append(envelope.room)

    def disconnect(self) -> None:
        """There is nothing to close."""


def test_no_generation_begins_in_a_transaction_that_may_end_otherwise(told: Told) -> None:
    """The counter is in the default database, and what is committed is in another one."""
    with transaction.atomic():
        with transaction.atomic("other"):
            revoke_user("1", using="other")
        assert told.revocations == []
        transaction.set_rollback(True)
    assert told.revocations == []
    with transaction.atomic():
        with transaction.atomic("other"):
            revoke_user("1", using="other")
        assert told.revocations == []
    assert told.subjects == ["1"]


def test_a_database_without_an_outbox_needs_none(told: Told, roomline: Any) -> None:
    roomline(OUTBOX=True)

    class Elsewhere:
        def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool:
            return (db, app_label) != ("other", "django_roomline")

    with override_settings(DATABASE_ROUTERS=[Elsewhere()]):
        with transaction.atomic("other"):
            revoke_user("7", using="other")
            assert told.revocations == []
        assert told.subjects == ["7"]


def test_a_setting_that_is_wrong_keeps_nobody_from_saving_a_user(
    told: Told, ann: User, roomline: Any, caplog: pytest.LogCaptureFixture
) -> None:
    roomline(OUTBOX="perhaps")
    ann.is_active = False
    ann.save()
    assert not User.objects.get(pk=ann.pk).is_active
    assert "OUTBOX" in caplog.text


def test_rows_that_have_no_rights_are_deleted_without_being_loaded() -> None:
    for signal in (pre_delete, post_delete):
        assert not signal.has_listeners(OutboxMessage)
        assert not signal.has_listeners(ArchivedPublication)


def engine(name: str) -> str:
    return f"django.contrib.sessions.backends.{name}"


def session_of(browser: Client) -> Any:
    """The session of a browser, as the engine of now has it."""
    store = import_module(django_settings.SESSION_ENGINE).SessionStore
    return store(browser.cookies["sessionid"].value)


@pytest.mark.parametrize("backend", ["db", "cached_db"])
@pytest.mark.parametrize(
    "end",
    [
        lambda browser: session_of(browser).flush(),
        lambda browser: Session.objects.get(pk=session_of(browser).session_key).delete(),
        lambda browser: Session.objects.all().delete(),
        lambda browser: browser.post("/logout/"),
    ],
)
def test_a_session_that_ends(
    told: Told, ann: User, client: Client, backend: str, end: Callable[[Client], object]
) -> None:
    with override_settings(SESSION_ENGINE=engine(backend)):
        client.force_login(ann)
        late = Client()
        late.cookies["sessionid"] = client.cookies["sessionid"].value
        assert late.get("/roomline/token").json()["user"]["id"] == str(ann.pk)
        answers = []

        def tell(envelope: Envelope, timeout: float) -> None:
            answers.append(late.get("/roomline/token").json()["user"]["id"])
            Told.publish(told, envelope, timeout)

        told.publish = tell  # type: ignore[method-assign]
        end(client)
        assert told.subjects == [str(ann.pk)], "once"
        [answer] = answers
        assert answer.startswith("guest-"), "no new token for what is left of the session"


def test_other_sessions_end_without_a_word(told: Told, ann: User, client: Client) -> None:
    client.get("/roomline/token")
    session_of(client).flush()
    client.force_login(ann)
    Session.objects.update(expire_date=timezone.now())
    call_command("clearsessions")
    assert not Session.objects.exists()
    assert told.revocations == []


@pytest.mark.parametrize("beside", ["nothing", "a guest", "somebody else"])
def test_who_is_logged_out_of_something_else_than_the_session(
    told: Told, ann: User, client: Client, beside: str
) -> None:
    """Of an API, say, by its own view: what session there is beside it is not theirs."""
    other = User.objects.create(username="other")
    request = RequestFactory().post("/api/logout")
    if beside != "nothing":
        if beside == "somebody else":
            client.force_login(other)
        client.get("/roomline/token")  # a guest's id is in the session
        request.session = session_of(client)
        told.revocations.clear()
    user_logged_out.send(sender=User, request=request, user=ann)
    assert told.subjects == [str(ann.pk)]
    assert Session.objects.count() == (beside != "nothing"), "and is left alone"


@pytest.mark.parametrize("backend", ["cache", "file", "signed_cookies"])
def test_without_rows_a_logout_is_told(
    told: Told, ann: User, client: Client, backend: str, tmp_path: Path
) -> None:
    with override_settings(SESSION_ENGINE=engine(backend), SESSION_FILE_PATH=str(tmp_path)):
        client.force_login(ann)
        client.post("/logout/")
    assert told.subjects == [str(ann.pk)]


def test_tokens_carry_the_generation_of_what_they_say(
    told: Told, ann: User, room: Room, client: Client
) -> None:
    Member.objects.create(room=room, user=ann)
    client.force_login(ann)
    claims = verify_connection(KEYS, client.get("/roomline/token").json()["token"], now())
    assert claims.generation == Generation.current()
    assert claims.grants.read == ("chat.a",)
    revoke_room("chat.a")
    claims = verify_connection(KEYS, client.get("/roomline/token").json()["token"], now())
    answer = client.get("/roomline/room-token", {"room": "chat.a"}).json()
    assert claims.generation == Generation.current() > 0
    assert verify_room(KEYS, answer["token"], now()).generation == claims.generation


def test_on_the_embedded_log_it_goes_to_a_file_of_its_own(
    transactional_db: None, entries: Callable[[], list[Envelope]], roomline: Any
) -> None:
    publish("chat.a", 1)
    revoke_user("7")
    assert [envelope.room for envelope in entries()] == ["chat.a"]
    path = conf.current().embedded_path
    log = SqliteLog(f"{path}{CONTROL_SUFFIX}")
    [(_, envelope)] = log.read(0, 10)
    log.close()
    assert revocations_of(envelope) == [UserRevoked("7", Generation.current())]


def now() -> float:
    return time.time()

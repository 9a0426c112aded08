"""What takes rights away, and what gateways are told of it."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_roomline import BrokerUnavailable, conf, publish
from django_roomline.models import Generation, Member, Room
from django_roomline.publishing import replaced_by
from django_roomline.revocations import revoke_room, revoke_user
from django_roomline.testing import recording
from roomline.sqlitelog import CONTROL_SUFFIX, SqliteLog
from roomline.tokens import Keyring, verify_connection, verify_room
from roomline.wire import Envelope, InvalidName, RoomRevoked, UserRevoked, revocation_of

KEYS = Keyring({"test": "t" * 32})


class Told:
    """A publisher that remembers revocations, and the generation when each was published."""

    def __init__(self) -> None:
        self.revocations: list[UserRevoked | RoomRevoked] = []

    def publish(self, envelope: Envelope, timeout: float) -> None:
        revocation = revocation_of(envelope)
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
        for model in (Member, Room, Group, User, Generation):
            model.objects.all().delete()


@pytest.fixture
def ann(told: Told) -> User:
    return User.objects.create_user("ann", password="ann's")


@pytest.fixture
def room(told: Told) -> Room:
    return Room.objects.create(name="chat.a", title="A", readers="members", writers="members")


def test_generations_only_rise(transactional_db: None) -> None:
    Generation.objects.all().delete()
    assert Generation.current() == 0
    first = Generation.bump()
    assert first > 1_700_000_000, "larger than those of any database before"
    assert [Generation.bump() for _ in range(3)] == [first + 1, first + 2, first + 3]
    assert Generation.current() == first + 3


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
    assert "a revocation was not published" in caplog.text


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
    assert revocation_of(envelope) == UserRevoked("7", Generation.current())
    assert json.loads(envelope.body)["user"] == "7"


def now() -> float:
    return time.time()

"""The one decision about rooms, and what goes into a token."""

from typing import Any

import pytest
from django.db import connection
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext
from django_roomline.models import Audience, Room
from django_roomline.policy import Rights, grants_for, may, rights_in
from roomline.tokens import Grants, Keyring, sign_connection
from roomline.wire import InvalidName


def team_policy(user: Any, room: str, action: str) -> bool:
    """A project's own rule for rooms without a model."""
    return room == "team.blue" and action == "read" and user.is_authenticated


@pytest.fixture
def rooms(db: None) -> None:
    for name, readers, writers in (
        ("chat.lobby", Audience.EVERYONE, Audience.EVERYONE),
        ("chat.news", Audience.EVERYONE, Audience.STAFF),
        ("chat.staff", Audience.STAFF, Audience.STAFF),
        ("chat.team", Audience.AUTHENTICATED, Audience.AUTHENTICATED),
    ):
        Room.objects.create(name=name, title=name, readers=readers, writers=writers)


@pytest.mark.parametrize(
    ("sort", "reads", "writes"),
    [
        ("anonymous", ("chat.lobby", "chat.news"), ("chat.lobby",)),
        ("inactive", ("chat.lobby", "chat.news"), ("chat.lobby",)),
        ("member", ("chat.lobby", "chat.news", "chat.team"), ("chat.lobby", "chat.team")),
        (
            "staff",
            ("admin.**", "chat.lobby", "chat.news", "chat.staff", "chat.team"),
            ("chat.lobby", "chat.news", "chat.staff", "chat.team"),
        ),
    ],
)
def test_grants_by_class_of_user(
    users: dict[str, Any], rooms: None, sort: str, reads: tuple[str, ...], writes: tuple[str, ...]
) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert grants_for(users[sort]) == Grants(reads, writes)
    assert len(queries) == 1
    for room in Room.objects.all():
        assert may(users[sort], room.name, "read") == (room.name in reads)
        assert may(users[sort], room.name, "write") == (room.name in writes)
        with CaptureQueriesContext(connection) as queries:
            rights = rights_in(users[sort], room.name)
        assert rights == Rights(room.name in reads, room.name in writes)
        assert len(queries) == 1


@pytest.fixture
def loaded() -> Any:
    """The rooms that were made from rows of the database since the test has begun."""
    names: list[str] = []

    def note(instance: Room, **_: Any) -> None:
        names.append(instance.name)

    post_init.connect(note, sender=Room)
    yield names
    post_init.disconnect(note, sender=Room)


def test_rooms_that_one_may_not_read_are_not_loaded(
    users: dict[str, Any], rooms: None, loaded: list[str]
) -> None:
    Room.objects.bulk_create(
        Room(name=f"case.{number}", title="Case", readers=Audience.STAFF) for number in range(500)
    )
    loaded.clear()
    assert grants_for(users["anonymous"]).read == ("chat.lobby", "chat.news")
    assert loaded == ["chat.lobby", "chat.news"]


def test_not_many_more_rooms_are_loaded_than_fit(users: dict[str, Any], loaded: list[str]) -> None:
    Room.objects.bulk_create(
        Room(name=f"chat.{'x' * 60}.{number:04}", title="Room") for number in range(1000)
    )
    loaded.clear()
    assert 10 < len(grants_for(users["member"]).read) < len(loaded) <= 200


def test_a_room_without_a_model_is_for_nobody_without_a_policy(users: dict[str, Any]) -> None:
    assert not may(users["staff"], "team.blue", "read")


def test_the_policy_decides_where_there_is_no_model(
    users: dict[str, Any], rooms: None, roomline: Any
) -> None:
    roomline(POLICY="tests.django.test_policy.team_policy")
    assert may(users["member"], "team.blue", "read")
    assert not may(users["member"], "team.blue", "write")
    assert not may(users["anonymous"], "team.blue", "read")
    assert rights_in(users["member"], "team.blue") == Rights(read=True, write=False)
    assert not may(users["member"], "chat.staff", "read")


def everything(user: Any, room: str, action: str) -> bool:
    """A policy that knows no limits."""
    return True


asked: list[str] = []


def note(user: Any, room: str, action: str) -> bool:
    """A policy that only lets staff in, and notes what it is asked."""
    asked.append(action)
    return bool(user.is_staff)


def test_the_policy_is_asked_once_for_each_action(users: dict[str, Any], roomline: Any) -> None:
    roomline(POLICY="tests.django.test_policy.note")
    asked.clear()
    assert rights_in(users["staff"], "team.blue") == Rights(read=True, write=True)
    assert asked == ["read", "write"]
    assert rights_in(users["member"], "team.blue") == Rights(read=False, write=False)
    assert asked == ["read", "write", "read"], "who may not read is not asked about writing"


@pytest.mark.parametrize("room", ["control.orders", "user.7"])
def test_reserved_rooms_are_nobodys(users: dict[str, Any], roomline: Any, room: str) -> None:
    roomline(POLICY="tests.django.test_policy.everything")
    assert may(users["staff"], "any.room", "write")
    assert not may(users["staff"], room, "read")


@pytest.mark.parametrize("room", ["admin.log", "admin.logins"])
def test_rooms_of_the_admin_are_for_staff_to_read(
    users: dict[str, Any], roomline: Any, room: str
) -> None:
    roomline(POLICY="tests.django.test_policy.everything")
    for sort, user in users.items():
        assert may(user, room, "read") == (sort == "staff")
        assert not may(user, room, "write")
    users["staff"].is_active = False
    assert rights_in(users["staff"], room) == Rights(read=False, write=False)
    assert grants_for(users["staff"]).read == ()


@pytest.mark.parametrize("name", ["admin.log", "admin", "user.7", "control.orders"])
def test_no_row_of_the_table_gives_away_a_reserved_room(users: dict[str, Any], name: str) -> None:
    Room.objects.create(name=name, title="x", readers=Audience.EVERYONE, writers=Audience.EVERYONE)
    assert grants_for(users["member"]) == Grants()
    assert not may(users["member"], name, "read")


def test_a_malformed_name_is_an_error(users: dict[str, Any]) -> None:
    with pytest.raises(InvalidName):
        may(users["staff"], "not a room", "read")


def test_thousands_of_rooms_still_make_a_token_that_is_taken(users: dict[str, Any]) -> None:
    names = [f"chat.{number:04}.{'x' * 60}" for number in range(3000)]
    Room.objects.bulk_create(Room(name=name, title=name) for name in names)
    grants = grants_for(users["member"])
    assert grants.read == tuple(names[: len(grants.read)])
    assert len(grants.read) > 10
    token = sign_connection(
        Keyring({"k": "s" * 32}), "9" * 64, now=0, lifetime=60, name="é" * 40, grants=grants
    )
    assert len(token) < 8192

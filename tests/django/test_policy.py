"""The one decision about rooms, and what goes into a token."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_roomline.models import Audience, Room
from django_roomline.policy import grants_for, may
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
            ("chat.lobby", "chat.news", "chat.staff", "chat.team"),
            ("chat.lobby", "chat.news", "chat.staff", "chat.team"),
        ),
    ],
)
def test_grants_by_class_of_user(
    users: dict[str, Any], rooms: None, sort: str, reads: tuple[str, ...], writes: tuple[str, ...]
) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert grants_for(users[sort]) == Grants(reads, writes)
    assert len(queries) == 1
    for room in Room.objects.all():
        assert may(users[sort], room.name, "read") == (room.name in reads)
        assert may(users[sort], room.name, "write") == (room.name in writes)


def test_a_room_without_a_model_is_for_nobody_without_a_policy(users: dict[str, Any]) -> None:
    assert not may(users["staff"], "team.blue", "read")


def test_the_policy_decides_where_there_is_no_model(
    users: dict[str, Any], rooms: None, roomline: Any
) -> None:
    roomline(POLICY="tests.django.test_policy.team_policy")
    assert may(users["member"], "team.blue", "read")
    assert not may(users["member"], "team.blue", "write")
    assert not may(users["anonymous"], "team.blue", "read")
    assert not may(users["member"], "chat.staff", "read")


def everything(user: Any, room: str, action: str) -> bool:
    """A policy that knows no limits."""
    return True


@pytest.mark.parametrize("room", ["control.orders", "user.7"])
def test_reserved_rooms_are_nobodys(users: dict[str, Any], roomline: Any, room: str) -> None:
    roomline(POLICY="tests.django.test_policy.everything")
    assert may(users["staff"], "any.room", "write")
    assert not may(users["staff"], room, "read")


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

"""Thousands of rows: as many queries as for a few, and pages that do not grow with the table."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_roomline.models import Audience, Generation, Notice, OutboxMessage, Room
from django_roomline.testing import Recording, recording

MANY = 5000
FEW = 20
ADMIN = "/admin/django_roomline/"
PAGE_BYTES = 200_000
"""A changelist shows a hundred rows, however many there are."""


@pytest.fixture
def admin(client: Client, users: dict[str, Any]) -> Client:
    users["staff"].is_superuser = True
    users["staff"].save()
    client.force_login(users["staff"])
    return client


@pytest.fixture
def published() -> Iterator[Recording]:
    with recording() as recorded:
        yield recorded


def make_rooms(count: int) -> None:
    Room.objects.bulk_create(
        Room(
            name=f"chat.{number:05}",
            title=f"Room {number}",
            readers=(Audience.EVERYONE, Audience.AUTHENTICATED, Audience.STAFF)[number % 3],
        )
        for number in range(count)
    )


def make_notices(count: int) -> None:
    people = User.objects.bulk_create(User(username=f"staff{n}") for n in range(count))
    Notice.objects.bulk_create(
        Notice(
            room="system.notices",
            text="Back at 5 " * 20,
            sent_by=person,
            sender_name=person.username,
            message_id=f"{person.pk}",
        )
        for person in people
    )


def make_messages(count: int) -> None:
    OutboxMessage.objects.bulk_create(
        OutboxMessage(
            room="chat.a", body=b'"x"', message_id=f"{n}", kind="message", time=n, refused=n % 2
        )
        for n in range(count)
    )


def get(client: Client, path: str) -> tuple[int, int]:
    """How many queries a page takes, and how long it is."""
    with CaptureQueriesContext(connection) as queries:
        response = client.get(path)
    assert response.status_code == 200
    return len(queries), len(response.content)


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (make_rooms, "room/"),
        (make_rooms, "room/?q=Room+7"),
        (make_rooms, "room/?readers__exact=staff"),
        (make_notices, "notice/"),
        (make_notices, "notice/?q=Back"),
        (make_messages, "outboxmessage/"),
        (make_messages, "outboxmessage/?refused__exact=1"),
    ],
)
def test_changelists_take_as_many_queries_for_many_as_for_few(
    admin: Client, make: Callable[[int], None], path: str
) -> None:
    make(FEW)
    few, _ = get(admin, ADMIN + path)
    for model in (Room, Notice, OutboxMessage):
        model._default_manager.all().delete()
    User.objects.filter(username__startswith="staff").delete()
    make(MANY)
    many, size = get(admin, ADMIN + path)
    assert many <= few
    assert many <= 7, "session, user, two counts, the rows; nothing for each of them"
    assert size < PAGE_BYTES


@pytest.mark.parametrize("sort", ["member", "staff"])
def test_tokens_take_four_queries(client: Client, users: dict[str, Any], sort: str) -> None:
    client.force_login(users[sort])
    make_rooms(MANY)
    Generation.current()  # a new database begins its counter once
    queries, size = get(client, "/roomline/token")
    assert queries == 4, "generation, session, user, rooms"
    assert size < 8192 * 1.1
    room = Room.objects.filter(readers=Audience.AUTHENTICATED).latest("name").name
    assert get(client, f"/roomline/room-token?room={room}")[0] == 4


def test_the_demos_index_takes_one_query_for_the_rooms(
    client: Client, users: dict[str, Any]
) -> None:
    client.force_login(users["member"])
    make_rooms(FEW)
    few, _ = get(client, "/")
    make_more = [Room(name=f"team.{n:05}", title="Team") for n in range(MANY)]
    Room.objects.bulk_create(make_more)
    many, _ = get(client, "/")
    assert few == many == 3, "session, user, rooms"


def test_composing_for_many_rooms_takes_no_query_for_each(
    admin: Client, published: Recording
) -> None:
    make_rooms(MANY)
    keys = ",".join(str(key) for key in Room.objects.values_list("pk", flat=True)[:100])
    queries, _ = get(admin, f"{ADMIN}notice/add/?rooms={keys}")
    assert queries <= 3
    names = "\n".join(Room.objects.values_list("name", flat=True)[:100])
    form = {"target": "rooms", "names": names, "text": "Hello", "nonce": "0" * 32}
    with CaptureQueriesContext(connection) as previewing:
        admin.post(f"{ADMIN}notice/add/", form)
    assert len(previewing) <= 3


def test_all_are_deleted_at_once_within_bounds(
    admin: Client, published: Recording, roomline: Callable[..., None]
) -> None:
    """Django logs each of them; telling of all takes no query for each."""
    make_rooms(300)
    form = {
        "action": "delete_selected",
        "post": "yes",
        "select_across": "1",
        "_selected_action": list(Room.objects.values_list("pk", flat=True)[:1]),
    }
    roomline(EVENTS={"admin_log": None})
    with CaptureQueriesContext(connection) as silent:
        admin.post(f"{ADMIN}room/", form)
    assert not Room.objects.exists()
    make_rooms(300)
    form["_selected_action"] = list(Room.objects.values_list("pk", flat=True)[:1])
    roomline(EVENTS={"admin_log": "admin.log"})
    with CaptureQueriesContext(connection) as told:
        admin.post(f"{ADMIN}room/", form)
    assert not Room.objects.exists()
    assert len(told) - len(silent) <= 4

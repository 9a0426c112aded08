"""Rooms in the database: names, and who may read and write."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django_roomline.models import Audience, Room


def test_a_good_name_is_accepted() -> None:
    Room(name="chat.lobby", title="Lobby").clean_fields()


@pytest.mark.parametrize(
    "name", ["", "a b", "chat.", ".a", "a..b", "ä", "chat.*", "a" * 201, "a\n"]
)
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Room(name=name, title="x").clean_fields()
    assert list(caught.value.message_dict) == ["name"]


@pytest.mark.parametrize("name", ["control.orders", "control", "user.42", "user", "admin.log"])
def test_a_reserved_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="reserved"):
        Room(name=name, title="x").clean_fields()


@pytest.mark.parametrize(
    ("audience", "included"),
    [
        (Audience.EVERYONE, {"anonymous", "member", "staff", "inactive"}),
        (Audience.AUTHENTICATED, {"member", "staff"}),
        (Audience.STAFF, {"staff"}),
    ],
)
def test_audiences(users: dict[str, Any], audience: Audience, included: set[str]) -> None:
    assert {sort for sort, user in users.items() if audience.includes(user)} == included


def test_who_may_not_read_may_not_write(users: dict[str, Any]) -> None:
    room = Room(name="a", readers=Audience.STAFF, writers=Audience.EVERYONE)
    assert not room.allows(users["member"], "write")
    assert room.allows(users["staff"], "write")


def test_a_room_is_made_and_found_in_the_admin(client: Client, users: dict[str, Any]) -> None:
    users["staff"].is_superuser = True
    users["staff"].save()
    client.force_login(users["staff"])
    form = {"name": "chat.new", "title": "New", "readers": "everyone", "writers": "staff"}
    form |= {"members-TOTAL_FORMS": "0", "members-INITIAL_FORMS": "0"}
    assert client.post("/admin/django_roomline/room/add/", form).status_code == 302
    assert Room.objects.get(name="chat.new").writers == Audience.STAFF
    assert b"chat.new" in client.get("/admin/django_roomline/room/?q=New").content
    refused = client.post("/admin/django_roomline/room/add/", {**form, "name": "user.1"})
    assert b"reserved" in refused.content

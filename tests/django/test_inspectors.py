"""Links to the gateways' inspectors in the admin."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

pytestmark = pytest.mark.usefixtures("db")

INDEX = "/admin/django_roomline/"
ADDRESS = "http://10.0.0.5:8002/inspect"


@pytest.fixture
def staff() -> User:
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_room"))
    return user


def test_staff_finds_them_above_the_tables(client: Client, staff: User, roomline: Any) -> None:
    roomline(INSPECTORS=[ADDRESS, "https://two.example/inspect"])
    client.force_login(staff)
    page = client.get(INDEX).content.decode()
    assert f'<a href="{ADDRESS}" target="_blank" rel="noopener noreferrer">' in page
    assert "https://two.example/inspect" in page
    assert page.index("roomline-inspectors") < page.index("/room/")


def test_nobody_else_does(client: Client, roomline: Any) -> None:
    roomline(INSPECTORS=[ADDRESS])
    client.force_login(User.objects.create_user("member"))
    answer = client.get(INDEX)
    assert answer.status_code == 302, "to the login"
    assert ADDRESS not in answer.content.decode()


def test_there_is_nothing_without_any(client: Client, staff: User) -> None:
    client.force_login(staff)
    answer = client.get(INDEX)
    assert answer.status_code == 200
    assert "roomline-inspectors" not in answer.content.decode()

"""The demo's pages: who sees what, and that nothing on them can be executed but our files."""

import io
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from demo.management.commands.demo_setup import ROOMS
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from django_roomline.models import Audience, Room

MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def rooms(db: None) -> None:
    call_command("demo_setup", verbosity=0, stdout=io.StringIO())


def csp(response: Any) -> dict[str, list[str]]:
    policy = response.headers["Content-Security-Policy"]
    return {name: values for name, *values in (part.split() for part in policy.split(";"))}


def test_setting_up_twice_changes_nothing_that_was_changed(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("demo_setup")
    Room.objects.filter(name="chat.lobby").update(title="Hall")
    user = User.objects.get(username="demo")
    user.set_password("another")
    user.save()
    call_command("demo_setup")
    assert Room.objects.count() == len(ROOMS)
    assert Room.objects.get(name="chat.lobby").title == "Hall"
    assert User.objects.get(username="demo").check_password("another")
    assert "only for tests" in capsys.readouterr().out


def test_the_demo_user_may_log_in_and_enter_the_admin(client: Client, rooms: None) -> None:
    page = client.post("/login/", {"username": "demo", "password": "only for tests"})
    assert page.headers["Location"] == "/"
    assert b"Log out" in client.get("/").content
    assert client.get("/admin/").status_code == 200


def test_a_wrong_password_is_said(client: Client, rooms: None) -> None:
    page = client.post("/login/", {"username": "demo", "password": "wrong"})
    assert page.status_code == 200
    assert b'role="alert"' in page.content


def test_the_index_lists_what_one_may_read(
    client: Client, rooms: None, users: dict[str, Any]
) -> None:
    guest = client.get("/").content
    assert b"chat.lobby" in guest
    assert b"chat.members" not in guest
    client.force_login(users["member"])
    assert b"chat.members" in client.get("/").content


def test_rooms_that_are_not_for_one(client: Client, rooms: None, users: dict[str, Any]) -> None:
    Room.objects.create(name="chat.staff", title="Staff", readers=Audience.STAFF)
    response = client.get("/rooms/chat.staff/")
    assert response.headers["Location"] == "/login/?next=/rooms/chat.staff/"
    client.force_login(users["member"])
    assert client.get("/rooms/chat.staff/").status_code == 403
    assert client.get("/rooms/chat.nowhere/").status_code == 404


def test_the_log_is_for_staff(client: Client, rooms: None, users: dict[str, Any]) -> None:
    assert client.get("/log/").headers["Location"] == "/login/?next=/log/"
    client.force_login(users["member"])
    assert client.get("/log/").status_code == 403
    assert b'href="/log/"' not in client.get("/").content
    client.force_login(users["staff"])
    assert b'data-room="admin.log"' in client.get("/log/").content
    assert b'href="/log/"' in client.get("/").content


def test_who_may_not_write_gets_no_composer(
    client: Client, rooms: None, users: dict[str, Any]
) -> None:
    assert b'id="composer"' in client.get("/rooms/chat.lobby/").content
    assert b'id="composer"' not in client.get("/rooms/chat.help/").content
    client.force_login(users["member"])
    assert b'id="composer"' in client.get("/rooms/chat.help/").content


def test_a_guest_chooses_a_name_and_stays_on_the_page(client: Client, rooms: None) -> None:
    form = {"name": "Bo", "next": "/rooms/chat.lobby/"}
    response = client.post("/name/", form)
    assert response.headers["Location"] == "/rooms/chat.lobby/"
    assert b"You are Bo" in client.get("/rooms/chat.lobby/").content
    assert client.get("/roomline/token").json()["user"]["name"] == "Bo"


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "javascript:1", ""])
def test_the_name_form_leads_nowhere_else(client: Client, rooms: None, back: str) -> None:
    assert client.post("/name/", {"name": "Bo", "next": back}).headers["Location"] == "/"


@pytest.mark.parametrize("path", ["/", "/rooms/chat.lobby/", "/login/", "/nowhere/", "/admin/"])
def test_every_page_allows_own_files_and_the_gateway_only(
    client: Client, rooms: None, path: str
) -> None:
    assert csp(client.get(path)) == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "connect-src": ["'self'", "http://127.0.0.1:8001", "ws://127.0.0.1:8001"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }


@pytest.mark.parametrize("path", ["/", "/rooms/chat.lobby/", "/login/"])
def test_pages_need_nothing_that_the_policy_forbids(client: Client, rooms: None, path: str) -> None:
    page = client.get(path).content.decode()
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page)
    assert all('type="application/json"' in tag for tag in inline), inline
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert not re.findall(r'(?:src|href)="(?!/|#)', page)


def test_markup_in_titles_and_names_stays_text(client: Client, rooms: None) -> None:
    Room.objects.filter(name="chat.lobby").update(title=MARKUP)
    client.post("/name/", {"name": MARKUP, "next": "/"})
    for path in ("/", "/rooms/chat.lobby/"):
        page = client.get(path).content.decode()
        assert "<script>alert" not in page
        assert "<img" not in page
        assert MARKUP in unescape(page)


@pytest.fixture
def page_script() -> str:
    path = finders.find("demo/room.js")
    assert isinstance(path, str)
    return Path(path).read_text()


def test_the_page_script_puts_text_in_as_text_only(page_script: str) -> None:
    assert "textContent" in page_script
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", page_script
    )


def test_the_page_script_is_for_old_browsers(page_script: str) -> None:
    newer = r"=>|`|\b(let|const|class|async|await)\s|\.\.\.|\b(fetch|Promise|Symbol|Map|Set)\b"
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", page_script, flags=re.DOTALL)
    assert not re.search(newer, code)

"""The token views: for whom, with which grants, and for nobody else."""

import time
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client, modify_settings
from django.test.utils import CaptureQueriesContext
from django_roomline import conf
from django_roomline.models import Audience, Room
from roomline.tokens import ConnectionClaims, RoomClaims, verify_connection, verify_room

TOKEN = "/roomline/token"
ROOM_TOKEN = "/roomline/room-token"


@pytest.fixture
def rooms(db: None) -> None:
    everyone, staff = Audience.EVERYONE, Audience.STAFF
    Room.objects.create(name="chat.lobby", title="Lobby", readers=everyone, writers=everyone)
    Room.objects.create(name="chat.news", title="News", readers=everyone, writers=staff)
    Room.objects.create(name="chat.staff", title="Staff", readers=staff, writers=staff)


def connection_claims(response: Any) -> ConnectionClaims:
    assert response.status_code == 200
    return verify_connection(conf.current().keys, response.json()["token"], time.time())


def room_claims(response: Any) -> RoomClaims:
    assert response.status_code == 200
    return verify_room(conf.current().keys, response.json()["token"], time.time())


def test_a_guest_gets_a_token_for_what_everyone_may(client: Client, rooms: None) -> None:
    response = client.get(TOKEN)
    claims = connection_claims(response)
    assert claims.user_id.startswith("guest-")
    assert claims.grants.read == ("chat.lobby", "chat.news")
    assert claims.grants.write == ("chat.lobby",)
    assert response.json()["user"] == {"id": claims.user_id, "name": claims.name}
    assert connection_claims(client.get(TOKEN)).user_id == claims.user_id


def test_a_user_gets_a_token_in_their_name(
    client: Client, rooms: None, users: dict[str, Any]
) -> None:
    client.force_login(users["staff"])
    claims = connection_claims(client.get(TOKEN))
    assert (claims.user_id, claims.name) == (str(users["staff"].pk), "sue")
    assert claims.grants.write == ("chat.lobby", "chat.news", "chat.staff")


def test_a_guest_who_logs_in_is_the_user_and_a_new_guest_after(
    client: Client, users: dict[str, Any]
) -> None:
    guest = connection_claims(client.get(TOKEN)).user_id
    assert client.login(username="ann", password="ann's")
    assert connection_claims(client.get(TOKEN)).user_id == str(users["member"].pk)
    client.logout()
    assert connection_claims(client.get(TOKEN)).user_id not in (guest, str(users["member"].pk))


@pytest.mark.parametrize("path", [TOKEN, ROOM_TOKEN + "?room=chat.lobby"])
def test_tokens_are_never_stored(client: Client, rooms: None, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", [TOKEN, ROOM_TOKEN + "?room=chat.lobby"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_get_nothing_and_make_no_guests(
    client: Client, rooms: None, path: str, site: str
) -> None:
    response = client.get(path, headers={"Sec-Fetch-Site": site})
    assert response.status_code == 403
    assert response.json()["code"] == "cross_origin"
    assert not response.cookies


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_pages_of_this_site_get_one(client: Client, rooms: None, site: str) -> None:
    assert client.get(TOKEN, headers={"Sec-Fetch-Site": site}).status_code == 200


def test_post_is_taken_with_a_csrf_token_only(rooms: None) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(TOKEN).status_code == 403
    strict.get("/login/")
    token = strict.cookies["csrftoken"].value
    assert strict.post(TOKEN, headers={"X-CSRFToken": token}).status_code == 200


def test_other_methods_are_refused(client: Client) -> None:
    assert client.delete(TOKEN).status_code == 405


@pytest.mark.parametrize("path", [TOKEN, ROOM_TOKEN + "?room=chat.lobby"])
def test_where_guests_are_not_allowed_a_login_is_required(
    client: Client, rooms: None, roomline: Any, users: dict[str, Any], path: str
) -> None:
    roomline(GUESTS=False)
    response = client.get(path)
    assert response.status_code == 401
    assert response.json()["code"] == "login_required"
    assert not response.cookies
    client.force_login(users["member"])
    assert client.get(path).status_code == 200


def test_the_lifetime_is_the_projects(client: Client, rooms: None, roomline: Any) -> None:
    roomline(TOKEN_LIFETIME=45)
    response = client.get(TOKEN)
    assert response.json()["expires_in"] == 45
    assert 0 < connection_claims(response).expires - time.time() <= 45
    assert client.get(ROOM_TOKEN + "?room=chat.lobby").json()["expires_in"] == 45


def test_a_room_token_says_whether_it_is_for_writing(client: Client, rooms: None) -> None:
    user = connection_claims(client.get(TOKEN)).user_id
    lobby = room_claims(client.get(ROOM_TOKEN + "?room=chat.lobby"))
    news = room_claims(client.get(ROOM_TOKEN + "?room=chat.news"))
    assert (lobby.user_id, lobby.room, lobby.write) == (user, "chat.lobby", True)
    assert (news.user_id, news.room, news.write) == (user, "chat.news", False)
    assert room_claims(client.post(ROOM_TOKEN, {"room": "chat.news"})).room == "chat.news"


def test_a_room_token_takes_one_look_at_the_room(
    client: Client, rooms: None, users: dict[str, Any]
) -> None:
    client.force_login(users["member"])
    with CaptureQueriesContext(connection) as queries:
        room_claims(client.get(ROOM_TOKEN + "?room=chat.lobby"))
    looks = [query for query in queries if Room._meta.db_table in query["sql"]]
    assert len(looks) == 1


def test_refused_and_unknown_rooms_look_the_same(client: Client, rooms: None) -> None:
    answers = []
    for room in ("chat.staff", "chat.other", "control.orders"):
        response = client.get(ROOM_TOKEN, {"room": room})
        assert response.status_code == 403
        answers.append(response.json()["code"])
        assert response.json()["reason"] == f"room {room} is not for you"
    assert answers == ["forbidden"] * 3


@pytest.mark.parametrize("query", ["", "?room=", "?room=a%20b", "?room=" + "a" * 201])
def test_a_malformed_room_is_said(client: Client, db: None, query: str) -> None:
    response = client.get(ROOM_TOKEN + query)
    assert response.status_code == 400
    assert response.json()["code"] == "room_invalid"


# Whoever else says who the user is.


class Bearer:
    """Middleware that looks at the session's user first, and then knows somebody by a header."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        name = request.headers.get("X-Known-As")
        if name is not None and str(request.user) != name:
            request.user = get_user_model().objects.get(username=name)
            if request.headers.get("X-Meanwhile") == "inactive":
                get_user_model().objects.filter(username=name).update(is_active=False)
        return self._get_response(request)


@modify_settings(MIDDLEWARE={"append": "tests.django.test_views.Bearer"})
@pytest.mark.parametrize("session", [None, "member"])
def test_who_is_known_by_other_means_than_the_session_is_who_the_token_is_for(
    client: Client, rooms: None, users: dict[str, Any], session: str | None
) -> None:
    """An API's user, or the one whose place an admin takes."""
    if session is not None:
        client.force_login(users[session])
    claims = connection_claims(client.get(TOKEN, headers={"X-Known-As": "sue"}))
    assert claims.user_id == str(users["staff"].pk)
    assert "chat.staff" in claims.grants.write
    room = {"room": "chat.staff"}
    assert room_claims(client.get(ROOM_TOKEN, room, headers={"X-Known-As": "sue"})).write


def test_who_is_known_is_read_anew(
    client: Client, rooms: None, users: dict[str, Any], roomline: Any
) -> None:
    roomline(GUESTS=False)
    headers = {"X-Known-As": "sue", "X-Meanwhile": "inactive"}
    with modify_settings(MIDDLEWARE={"append": "tests.django.test_views.Bearer"}):
        assert client.get(TOKEN, headers=headers).status_code == 401


@pytest.mark.parametrize("guests", [True, False])
def test_a_site_for_users_only_leaves_the_decision_to_these_views(
    client: Client, rooms: None, roomline: Any, guests: bool
) -> None:
    roomline(GUESTS=guests)
    required = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    with modify_settings(MIDDLEWARE={"append": required}):
        answer = client.get(TOKEN)
        assert client.get("/roomline/config").status_code == 200
    if guests:
        assert connection_claims(answer).user_id.startswith("guest-")
    else:
        assert (answer.status_code, answer.json()["code"]) == (401, "login_required")

"""Notices in the admin: composing, previewing, sending, the record, and what is refused."""

import re
import uuid
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import pytest
from django.contrib.admin import AdminSite
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory
from django_roomline import (
    BrokerUnavailable,
    PublishRejected,
    PublishReturned,
    PublishUnconfirmed,
)
from django_roomline.admin.notice_form import MAX_ROOMS
from django_roomline.admin.notices import NoticeAdmin
from django_roomline.admin.rooms import RoomAdmin
from django_roomline.models import EVERYBODY, MAX_NOTICE, Notice, OutboxMessage, Room
from django_roomline.notices import AlreadySent, send_notice
from django_roomline.testing import Recording, recording
from roomline.wire import Sender

ADD = "/admin/django_roomline/notice/add/"
LIST = "/admin/django_roomline/notice/"
ROOMS = "/admin/django_roomline/room/"
MARKUP = "<script>alert(1)</script>"


@pytest.fixture
def published() -> Iterator[Recording]:
    with recording() as recorded:
        yield recorded


@pytest.fixture
def sue(client: Client, users: dict[str, Any]) -> User:
    """Staff who may send notices, look at them, and look at rooms; the client is hers."""
    user: User = users["staff"]
    names = ("send_notice", "view_notice", "view_room")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return user


def form(**values: str) -> dict[str, str]:
    filled = {"target": "everybody", "names": "", "username": "", "text": "Back at <5>"}
    return filled | {"nonce": uuid.uuid4().hex} | values


def send(client: Client, **values: str) -> Any:
    return client.post(ADD, form(**values) | {"_send": "1"}, follow=True)


def messages_of(page: Any) -> list[str]:
    return [str(message) for message in page.context["messages"]]


def test_it_is_composed_previewed_changed_and_sent(
    client: Client, sue: User, published: Recording
) -> None:
    composing = client.get(ADD)
    fields = composing.context["form"]
    shown = {name: fields[name].value() or "" for name in fields.fields}
    previewed = client.post(ADD, shown | {"text": f"Back at 5\n{MARKUP}", "_preview": "1"})
    page = previewed.content.decode()
    assert MARKUP not in page
    assert f"Back at 5<br>{MARKUP}" in unescape(page)
    assert "sue" in page
    published.assert_nothing_published()
    assert not Notice.objects.exists()

    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)"(?: value="([^"]*)")?', page))
    again = {name: unescape(value) for name, value in hidden.items()}
    changed = client.post(ADD, again | {"_change": "1"})
    assert changed.context["form"]["text"].value() == f"Back at 5\n{MARKUP}"
    assert b"_preview" in changed.content
    published.assert_nothing_published()

    sent = client.post(ADD, again | {"_send": "1"}, follow=True)
    assert messages_of(sent) == ["The notice was sent."]
    assert sent.redirect_chain == [(LIST, 302)]
    (one,) = [one for one in published.publications if one.room == EVERYBODY]
    assert one.data == {"text": f"Back at 5\n{MARKUP}"}
    assert one.kind == "admin"
    assert one.sender == Sender(str(sue.pk), "sue")
    notice = Notice.objects.get()
    assert (notice.room, notice.text) == (EVERYBODY, one.data["text"])
    assert (notice.sent_by, notice.sender_name) == (sue, "sue")
    assert notice.message_id == one.message_id
    assert LogEntry.objects.get().object_repr == EVERYBODY, "and nothing of the text"


def test_it_goes_to_one_user(
    client: Client, sue: User, users: dict[str, Any], published: Recording
) -> None:
    send(client, target="user", username="ann", names="chat.ignored")
    assert [one.room for one in published.publications] == [f"user.{users['member'].pk}"]


def test_it_goes_to_rooms_each_once(client: Client, sue: User, published: Recording) -> None:
    Room.objects.create(name="chat.a", title="A")
    names = "chat.a\r\nteam.b chat.a\n"
    preview = client.post(ADD, form(target="rooms", names=names)).content.decode()
    assert re.search(r"This room is not in the database.*<code>team\.b</code>", preview, re.DOTALL)
    page = send(client, target="rooms", names=names)
    assert messages_of(page) == ["The notice was sent to 2 rooms."]
    assert [one.room for one in published.publications] == ["chat.a", "team.b"]
    assert Notice.objects.count() == 2


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"text": ""}, "text", "required"),
        ({"text": "x" * (MAX_NOTICE + 1)}, "text", "at most 2000"),
        ({"target": "nobody"}, "target", "valid choice"),
        ({"target": "rooms"}, "names", "at least one room"),
        ({"target": "rooms", "names": "chat.ä"}, "names", "“chat.ä” is not the name of a room"),
        ({"target": "rooms", "names": "control.orders"}, "names", "No notice can be sent"),
        ({"target": "rooms", "names": "admin.log"}, "names", "No notice can be sent"),
        ({"target": "rooms", "names": "user.1"}, "names", "No notice can be sent"),
        ({"target": "rooms", "names": "a " * 3 + " ".join(f"r{n}" for n in range(101))},
         "names", "These are 102 rooms; at most 100"),
        ({"target": "user", "username": "nobody"}, "username", "no user of this name"),
        ({"target": "user", "username": ""}, "username", "no user of this name"),
        ({"nonce": "x"}, "nonce", "valid value"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_said_beside_the_field(
    client: Client,
    sue: User,
    published: Recording,
    values: dict[str, str],
    field: str,
    says: str,
) -> None:
    page = send(client, **values)
    assert says in " ".join(page.context["form"].errors[field])
    published.assert_nothing_published()
    assert not Notice.objects.exists()


def test_only_who_may_send_can(client: Client, users: dict[str, Any], published: Recording) -> None:
    users["staff"].user_permissions.set(Permission.objects.filter(codename="view_notice"))
    client.force_login(users["staff"])
    assert client.get(ADD).status_code == 403
    assert client.post(ADD, form() | {"_send": "1"}).status_code == 403
    assert client.get(LIST).status_code == 200
    client.force_login(users["member"])
    assert client.get(ADD).status_code == 302, "to the login"
    published.assert_nothing_published()


def test_a_form_of_another_site_sends_nothing(sue: User, published: Recording) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(sue)
    assert strict.post(ADD, form() | {"_send": "1"}).status_code == 403
    published.assert_nothing_published()


def test_who_may_send_and_not_look_comes_back_to_the_index(
    client: Client, users: dict[str, Any], published: Recording
) -> None:
    users["staff"].user_permissions.set(Permission.objects.filter(codename="send_notice"))
    client.force_login(users["staff"])
    assert client.get(ADD).status_code == 200
    assert send(client).redirect_chain == [("/admin/", 302)]
    assert client.get(LIST).status_code == 403
    room = Room.objects.create(name="chat.secret", title="Secret")
    assert b"chat.secret" not in client.get(f"{ADD}?rooms={room.pk}").content


def test_the_record_stays_as_it_is(
    client: Client, users: dict[str, Any], published: Recording
) -> None:
    users["staff"].is_superuser = True
    users["staff"].save()
    client.force_login(users["staff"])
    send(client)
    notice = Notice.objects.get()
    page = client.get(f"{LIST}{notice.pk}/change/").content.decode()
    assert "Back at &lt;5&gt;" in page
    assert 'name="_save"' not in page
    assert client.post(f"{LIST}{notice.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"{LIST}{notice.pk}/change/", {"text": "never"}).status_code == 403
    User.objects.all().delete()
    notice.refresh_from_db()
    assert (notice.sent_by, notice.sender_name) == (None, "sue")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (BrokerUnavailable("it is away"), "was not sent to system.notices: it is away"),
        (PublishReturned("no log"), "was not sent to system.notices: no log"),
        (PublishUnconfirmed("no answer"), "sending it again does no harm: no answer"),
    ],
)
def test_a_broker_that_fails_is_shown_and_nothing_is_recorded(
    client: Client, sue: User, error: Any, says: str
) -> None:
    nonce = uuid.uuid4().hex
    with recording(error=error) as refused:
        page = send(client, nonce=nonce)
        (shown,) = messages_of(page)
        assert says in shown
        assert b"_send" in page.content, "it can be tried again as it is"
        assert not Notice.objects.exists()
        assert not LogEntry.objects.exists()
        refused.error = None
        assert messages_of(send(client, nonce=nonce)) == ["The notice was sent."]
    assert Notice.objects.count() == 1


def test_of_several_rooms_those_that_failed_are_tried_again(
    client: Client, sue: User, roomline: Callable[..., None]
) -> None:
    roomline(EVENTS={"admin_log": None})
    nonce = uuid.uuid4().hex
    names = "chat.a chat.b chat.c"
    errors: dict[str, Exception] = {"chat.b": PublishRejected("not permitted")}
    with recording() as recorded:
        publish = recorded.publish

        def refuse(envelope: Any, timeout: float) -> None:
            if envelope.room in errors:
                raise errors[envelope.room]
            publish(envelope, timeout)

        recorded.publish = refuse  # type: ignore[method-assign]
        first = messages_of(send(client, target="rooms", names=names, nonce=nonce))
        assert first == [
            "The notice was not sent to chat.b: not permitted",
            "The notice was sent to 2 rooms.",
        ]
        errors.clear()
        second = messages_of(send(client, target="rooms", names=names, nonce=nonce))
        assert second == ["The notice was sent."]
        assert [one.room for one in recorded.publications] == ["chat.a", "chat.c", "chat.b"]
        third = messages_of(send(client, target="rooms", names=names, nonce=nonce))
        assert third == ["The notice was sent before."]
        errors["chat.a"] = BrokerUnavailable("away")
        gone = messages_of(send(client, target="rooms", names=names))
        assert gone == [
            "The notice was not sent to chat.a: away",
            "The other rooms (2) were not tried.",
        ]
    assert Notice.objects.count() == len(recorded.publications) == 3


def test_a_text_that_was_corrected_is_another_notice(sue: User, published: Recording) -> None:
    nonce = uuid.uuid4().hex
    send_notice("a", "Back at 5", sue, nonce)
    with pytest.raises(AlreadySent):
        send_notice("a", "Back at 5", sue, nonce)
    send_notice("a", "Back at 6", sue, nonce)
    first, second = published.publications
    assert first.message_id != second.message_id


def test_with_the_outbox_it_waits_beside_its_record(
    client: Client, sue: User, published: Recording, roomline: Callable[..., None]
) -> None:
    roomline(OUTBOX=True, EVENTS={"admin_log": None})
    send(client)
    published.assert_nothing_published()
    waiting = OutboxMessage.objects.get()
    assert waiting.message_id == Notice.objects.get().message_id
    assert waiting.envelope().sender == Sender(str(sue.pk), "sue")


def test_rooms_are_selected_in_their_list(client: Client, sue: User, published: Recording) -> None:
    Room.objects.bulk_create(Room(name=f"chat.{n:03}", title="x") for n in range(MAX_ROOMS + 1))
    keys = list(Room.objects.values_list("pk", flat=True))
    action = {"action": "compose_notice", "_selected_action": keys[:2]}
    page = client.post(ROOMS, action, follow=True)
    assert page.context["form"]["names"].value() == "chat.000\nchat.001"
    assert page.context["form"]["target"].value() == "rooms"
    too_many = client.post(ROOMS, action | {"_selected_action": keys}, follow=True)
    assert messages_of(too_many) == [
        "More than 100 rooms are selected: a notice to everybody may do."
    ]
    assert client.get(f"{ADD}?rooms=1,x,,%00,{'9' * 30}").status_code == 200
    sue.user_permissions.remove(Permission.objects.get(codename="send_notice"))
    assert b"compose_notice" not in client.get(ROOMS).content


def test_a_site_without_notices_does_not_offer_them(sue: User) -> None:
    site = AdminSite(name="own")
    site.register(Room, RoomAdmin)
    request = RequestFactory().get("/own/")
    request.user = sue
    assert "compose_notice" not in site.get_model_admin(Room).get_actions(request)
    site.register(Notice, NoticeAdmin)
    assert "compose_notice" in site.get_model_admin(Room).get_actions(request)

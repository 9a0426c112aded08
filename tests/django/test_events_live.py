"""Events and notices for real: in the logs of both brokers, and at clients with Django's tokens."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, LiveServerTestCase, TestCase, override_settings
from django_roomline import publishing
from django_roomline.models import EVERYBODY, Notice, Room
from django_roomline.notices import send_notice
from django_roomline.testing import LiveGatewayMixin
from roomline.client import CommandRefused
from roomline.wire import Sender

from tests.django.logs import EmbeddedLog, Log, RabbitMQLog
from tests.support.rabbitmq import RabbitMQNode, free_port, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]  # fixtures
pytestmark = pytest.mark.slow


@pytest.fixture(params=["embedded", "rabbitmq"])
def log(request: pytest.FixtureRequest, tmp_path: Path, roomline: Any) -> Iterator[Log]:
    """An empty log to which the project publishes."""
    made: Log
    if request.param == "embedded":
        made = EmbeddedLog(tmp_path / "rooms.sqlite3")
    else:
        node: RabbitMQNode = request.getfixturevalue("rabbitmq")
        made = RabbitMQLog(node.url(vhost=request.getfixturevalue("rabbitmq_vhost")))
    roomline(BROKER=made.broker, EVENTS={"login": "admin.logins"}, PUBLISH_TIMEOUT=20)
    yield made
    publishing.disconnect()


def test_what_happens_is_in_the_log(log: Log, client: Client, users: dict[str, Any]) -> None:
    staff = users["staff"]
    staff.is_superuser = True
    staff.save()
    with TestCase.captureOnCommitCallbacks(execute=True):
        client.post("/login/", {"username": "sue", "password": "sue's"})
        form = {"name": "chat.new", "title": "New", "readers": "everyone", "writers": "staff"}
        form |= {"members-TOTAL_FORMS": "0", "members-INITIAL_FORMS": "0"}
        assert client.post("/admin/django_roomline/room/add/", form).status_code == 302
    notice = {"target": "everybody", "text": "Back at 5", "nonce": uuid.uuid4().hex, "_send": "1"}
    with TestCase.captureOnCommitCallbacks(execute=True):
        for _ in range(2):
            assert client.post("/admin/django_roomline/notice/add/", notice).status_code == 302
    found = log.read()
    assert [(one.room, one.kind, json.loads(one.body)["text"]) for one in found] == [
        ("admin.logins", "system", "sue logged in"),
        ("admin.log", "admin", "sue added room “New”"),
        (EVERYBODY, "admin", "Back at 5"),
        ("admin.log", "admin", "sue added notice “system.notices”"),
    ]
    assert [one.sender for one in found if one.room == EVERYBODY] == [Sender(str(staff.pk), "sue")]
    assert Notice.objects.get().message_id in {one.message_id for one in found}


def test_a_broker_that_is_gone_leaves_the_admin_alone(
    client: Client, users: dict[str, Any], roomline: Any
) -> None:
    roomline(BROKER=f"amqp://127.0.0.1:{free_port()}/", PUBLISH_TIMEOUT=5)
    users["staff"].is_superuser = True
    users["staff"].save()
    client.force_login(users["staff"])
    form = {"name": "chat.new", "title": "New", "readers": "everyone", "writers": "staff"}
    form |= {"members-TOTAL_FORMS": "0", "members-INITIAL_FORMS": "0"}
    with TestCase.captureOnCommitCallbacks(execute=True):
        assert client.post("/admin/django_roomline/room/add/", form).status_code == 302
    assert Room.objects.count() == 1
    notice = {"target": "everybody", "text": "Back at 5", "nonce": uuid.uuid4().hex, "_send": "1"}
    page = client.post("/admin/django_roomline/notice/add/", notice)
    assert "was not sent to system.notices: RabbitMQ cannot be reached" in page.content.decode()
    assert not Notice.objects.exists()


@override_settings(ALLOWED_HOSTS=["*"])
class Live(LiveGatewayMixin, LiveServerTestCase):
    """Clients of a real gateway, with the tokens of the project's own views."""

    def test_the_admins_log_is_for_staff(self) -> None:
        staff = User.objects.create_superuser("sue")
        member = User.objects.create_user("ann")
        room = self.roomline_client(staff).subscribe("admin.log")
        with pytest.raises(AssertionError, match="roomline:room-token gave no token but 403"):
            self.roomline_client(member).subscribe("admin.log")
        with pytest.raises(CommandRefused) as caught:
            self.roomline_client(staff).publish("admin.log", {"text": "forged"})
        assert caught.value.code == "forbidden"

        browser = Client()
        browser.force_login(staff)
        form = {"name": "chat.new", "title": "New", "readers": "everyone", "writers": "staff"}
        form |= {"members-TOTAL_FORMS": "0", "members-INITIAL_FORMS": "0"}
        browser.post("/admin/django_roomline/room/add/", form)
        heard = room.next()
        assert heard.kind == "admin"
        assert heard.data["text"] == "sue added room “New”"

    def test_a_notice_reaches_whom_it_is_for(self) -> None:
        staff = User.objects.create_user("sue", first_name="Sue", is_staff=True)
        member = User.objects.create_user("ann")
        mine = self.roomline_client(member).subscribe(f"user.{member.pk}")
        all_of_us = self.roomline_client().subscribe(EVERYBODY)
        send_notice(f"user.{member.pk}", "For you", staff, uuid.uuid4().hex)
        send_notice(EVERYBODY, "For all", staff, uuid.uuid4().hex)
        for room, text in ((mine, "For you"), (all_of_us, "For all")):
            heard = room.next()
            assert heard.data == {"text": text}
            assert heard.kind == "admin"
            assert heard.sender is not None
            assert (heard.sender.id, heard.sender.name) == (str(staff.pk), "Sue")

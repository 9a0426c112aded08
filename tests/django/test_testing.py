"""`django_roomline.testing`: what projects' tests see of what they publish."""

import asyncio
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import LiveServerTestCase, TestCase, TransactionTestCase, override_settings
from django_roomline import BrokerUnavailable, apublish, publish, publishing
from django_roomline.models import OutboxMessage, Room
from django_roomline.revocations import revoke_user
from django_roomline.testing import (
    LiveGatewayMixin,
    PublishAssertions,
    Recording,
    recording,
    relay_outbox,
)
from roomline.client import CommandRefused
from roomline.wire import DataTooLarge, InvalidName

pytest_plugins = ["django_roomline.testing.pytest_plugin"]


def test_publications_are_recorded_in_order(published: Recording) -> None:
    publish("chat.a", {"n": 1})
    publish("chat.b", [1, 2], kind="system", key="k")
    published.assert_published("chat.a", {"n": 1})
    first, second = published.publications
    assert (first.room, first.data, first.kind, first.key) == ("chat.a", {"n": 1}, "message", None)
    assert (second.room, second.data, second.kind, second.key) == ("chat.b", [1, 2], "system", "k")
    assert first.message_id != second.message_id
    assert published.to("chat.b") == [[1, 2]]
    published.clear()
    published.assert_nothing_published()


def test_what_publish_refuses_it_refuses(published: Recording) -> None:
    with pytest.raises(InvalidName):
        publish("no room", 1)
    with pytest.raises(DataTooLarge):
        publish("chat.a", "x" * 70_000)
    with pytest.raises(ValueError, match="kind"):
        publish("chat.a", 1, kind="loud")  # type: ignore[arg-type]
    published.assert_nothing_published()


@pytest.mark.parametrize(
    "match",
    [
        {"text": "hello", "by": "ann"},
        {"text": "hello"},
        {},
        lambda data: len(data["text"]) == 5,
    ],
)
def test_what_matches(published: Recording, match: Any) -> None:
    publish("chat.a", {"text": "hello", "by": "ann"})
    published.assert_published("chat.a", match, count=1, kind="message")
    with pytest.raises(AssertionError):
        published.assert_not_published("chat.a", match)


@pytest.mark.parametrize(
    ("match", "kind", "count"),
    [
        ({"text": "bye"}, None, None),
        ({"text": "hello", "by": "ann"}, None, None),
        ("hello", None, None),
        ([], None, None),
        (lambda data: False, None, None),
        ({"text": "hello"}, "admin", None),
        ({"text": "hello"}, None, 2),
        ({"text": "hello"}, None, 0),
    ],
)
def test_what_does_not_match(published: Recording, match: Any, kind: Any, count: Any) -> None:
    publish("chat.a", {"text": "hello"})
    with pytest.raises(AssertionError):
        published.assert_published("chat.a", match, kind=kind, count=count)
    with pytest.raises(AssertionError):
        published.assert_published("chat.b", {"text": "hello"})
    published.assert_not_published("chat.b")


def test_a_failure_says_what_was_published(published: Recording) -> None:
    with pytest.raises(AssertionError, match="Nothing was published at all"):
        published.assert_published("chat.a")
    publish("chat.a", {"text": "hello"}, kind="system")
    for _ in range(30):
        publish("chat.b", "x" * 1000)
    with pytest.raises(AssertionError) as failure:
        published.assert_published("chat.a", {"text": "bye"}, kind="admin")
    text = str(failure.value)
    assert text.startswith("nothing was published to chat.a of kind admin that matches {'text': ")
    assert 'system to chat.a: {"text": "hello"}' in text
    assert "and 11 more" in text
    assert len(text) < 8000


def test_a_broker_that_fails_is_played() -> None:
    with recording(error=BrokerUnavailable("away")) as published:
        with pytest.raises(BrokerUnavailable, match="away"):
            publish("chat.a", 1)
        published.assert_nothing_published()
        published.error = None
        publish("chat.a", 2)
        assert published.to("chat.a") == [2]


def test_recordings_nest_and_end() -> None:
    with recording() as outer:
        with recording() as inner:
            publish("chat.a", 1)
        publish("chat.a", 2)
    assert (inner.to("chat.a"), outer.to("chat.a")) == ([1], [2])
    assert publishing._replacement is None
    with pytest.raises(BrokerUnavailable):
        publish("chat.a", 3)  # to the broker of the settings, which is not there


def test_threads_and_async_code_are_recorded(published: Recording) -> None:
    threads = [
        threading.Thread(target=publish, args=("chat.a", number), kwargs={"on_commit": False})
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(apublish("chat.b", "async"))
    assert sorted(published.to("chat.a")) == list(range(8))
    assert published.to("chat.b") == ["async"]


def test_the_outbox_is_relayed_on_request(db: None, published: Recording) -> None:
    publish("chat.a", 1, outbox=True)
    published.assert_nothing_published()
    assert relay_outbox() == 1
    published.assert_published("chat.a", 1)
    assert not OutboxMessage.objects.exists()


class Committed(PublishAssertions, TransactionTestCase):
    """Transactions are real."""

    def test_rolled_back_is_not_published(self) -> None:
        with transaction.atomic():
            publish("chat.a", "no")
            transaction.set_rollback(True)
        self.assertNothingPublished()
        with transaction.atomic():
            publish("chat.a", "yes")
            self.assertNothingPublished()
        self.assertPublished("chat.a", "yes", count=1)
        self.assertNotPublished("chat.a", "no")


class Early(PublishAssertions, TestCase):
    """Recording begins with each test: what the class publishes needs one of its own."""

    early: Recording

    @classmethod
    def setUpTestData(cls) -> None:
        with recording() as cls.early:
            publish("chat.a", "early", on_commit=False)

    def test_what_the_class_publishes_is_in_no_test_s_recording(self) -> None:
        self.early.assert_published("chat.a", "early", count=1)
        self.assertNothingPublished()


class Never(PublishAssertions, TestCase):
    """The transaction of the test is never committed."""

    def test_commits_are_captured(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            with transaction.atomic():
                publish("chat.a", "yes", kind="system")
            try:
                with transaction.atomic():
                    publish("chat.a", "no")
                    raise ValueError
            except ValueError:
                pass
            self.assertNothingPublished()
        self.assertPublished("chat.a", "yes", kind="system")
        self.assertNotPublished("chat.a", "no")

    def test_revocations_are_no_publications(self) -> None:
        with (
            self.assertNoLogs("django", "ERROR"),
            self.captureOnCommitCallbacks(execute=True) as told,
        ):
            revoke_user("7")
        assert len(told) == 1
        self.assertNothingPublished()

    def test_each_test_has_its_own(self) -> None:
        self.assertNothingPublished()


@override_settings(ALLOWED_HOSTS=["*"])
class Live(LiveGatewayMixin, LiveServerTestCase):
    """A page's client, a real gateway and Django."""

    gateway_settings = {"namespaces": "chat:read=token,write=token"}  # noqa: RUF012

    def test_what_django_publishes_arrives(self) -> None:
        Room.objects.create(name="chat.staff", readers="staff", writers="staff")
        staff = User.objects.create_user("sue", is_staff=True)
        member = User.objects.create_user("ann")
        room = self.roomline_client(staff, transport="xhr-polling").subscribe("chat.staff")
        publish("chat.staff", {"text": "hello"})
        assert room.next().data == {"text": "hello"}
        with pytest.raises(CommandRefused):
            self.roomline_client(member).client.subscribe("chat.staff")
        with pytest.raises(AssertionError, match="roomline:room-token gave no token but 403"):
            self.roomline_client(member).subscribe("chat.staff")

    def test_guests_and_publishing(self) -> None:
        Room.objects.create(name="chat.all", readers="everyone", writers="everyone")
        guest = self.roomline_client()
        room = guest.subscribe("chat.all", history=5)
        guest.publish("chat.all", "from a guest")
        publication = room.next()
        assert publication.sender is not None
        assert publication.sender.id.startswith("guest-")

    def test_a_room_token_is_fetched_when_needed(self) -> None:
        user = User.objects.create_user("bob")
        client = self.roomline_client(user)
        Room.objects.create(name="chat.later", readers="authenticated")
        room = client.subscribe("chat.later")
        publish("chat.later", 1)
        assert room.next().data == 1

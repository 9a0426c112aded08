"""Revocations on one node: read before it is ready, acted upon at once, whoever is connected"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from roomline.broker import Listener, Start
from roomline.brokers.embedded import EmbeddedBroker, control_log
from roomline.core.limits import NodeLimits
from roomline.core.policy import Namespace, Policy, Rule
from roomline.node import Node
from roomline.revocations import Revocation, RoomRevoked, UserRevoked, revocation_envelopes
from roomline.sqlitelog import CONTROL_SUFFIX, PUBLISHER, SqliteLog
from roomline.tokens import Grants, sign_connection, sign_room
from roomline.wire import Envelope

from tests.node.test_node import KEYS, Browser, until

NAMESPACES = {
    "chat": Namespace(Rule.PUBLIC, Rule.PUBLIC, 50, 3600),
    "club": Namespace(Rule.TOKEN, Rule.TOKEN, 50, 3600),
    "system": Namespace(Rule.PUBLIC, Rule.NONE, 50, 3600),
}


class HeldLog:
    """A log whose listener is told what the test says."""

    async def start(self, listener: Listener, start: Start) -> None:
        assert start == "first"
        self.listener = listener

    async def close(self) -> None:
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite3"


def make_node(path: Path, control: Any = None, **limits: Any) -> Node:
    return Node(
        EmbeddedBroker(path, NAMESPACES),
        Policy(NAMESPACES, KEYS, anonymous=True),
        NodeLimits(**limits),
        control=control or control_log(path),
        name="n-1",
    )


@pytest.fixture
async def node(path: Path) -> AsyncIterator[Node]:
    node = make_node(path)
    await node.start()
    await until(lambda: node.ready)
    yield node
    await node.close()


def revoke(path: Path, *revocations: Revocation, publisher: str | None = PUBLISHER) -> None:
    """As Django does it."""
    log = SqliteLog(f"{path}{CONTROL_SUFFIX}")
    log.append([each._replace(publisher=publisher) for each in revocation_envelopes(revocations)])
    log.close()


def token(generation: int, user: str = "7", *rooms: str) -> str:
    return sign_connection(
        KEYS, user, now=time.time(), lifetime=60, grants=Grants(rooms, rooms), generation=generation
    )


def room_token(generation: int, room: str, user: str = "7") -> str:
    return sign_room(
        KEYS, user, room, now=time.time(), lifetime=60, write=True, generation=generation
    )


def ended(browser: Browser) -> list[tuple[str, str]]:
    return [
        (message["room"], message["code"])
        for message in browser.link.received
        if message["type"] == "unsubscribed" and "id" not in message
    ]


async def test_a_revoked_user_is_disconnected_and_comes_back_with_a_new_token(
    node: Node, path: Path
) -> None:
    one = await Browser(node).connect(token=token(4))
    two = await Browser(node).connect(token=token(4))
    other = await Browser(node).connect(token=token(4, "8"))
    revoke(path, UserRevoked("7", 5))
    await until(lambda: one.link.closed_with and two.link.closed_with)
    assert one.link.closed_with == two.link.closed_with == (3005, "revoked")
    assert other.link.closed_with is None
    assert node.counters.disconnects[3005] == 2

    late = Browser(node)
    refused = await late.ask("connect", version=1, token=token(4))
    assert (refused["code"], refused["temporary"]) == ("token_revoked", False)
    await late.connect(token=token(5))
    refused = await other.ask("refresh", token=token(4))
    assert refused["code"] == "token_revoked"


async def test_the_push_comes_before_any_refusal_that_it_explains(node: Node) -> None:
    """A command of the same turn of the loop in which the revocation was read."""
    browser = await Browser(node).connect(token=token(4, "7", "club.a"))
    await browser.ask("subscribe", room="club.a")
    envelope = revocation_envelopes([RoomRevoked("club.a", 5)])[0]._replace(publisher=PUBLISHER)
    node.control.deliver(0, 0, envelope)
    refused = await browser.ask("publish", room="club.a", data=1)
    assert refused["code"] == "token_revoked"
    [pushed] = [m for m in browser.link.received if m.get("code") == "rights_changed"]
    assert browser.link.received.index(pushed) < browser.link.received.index(refused)


async def test_a_rooms_revocation_ends_what_older_tokens_hold(node: Node, path: Path) -> None:
    old = await Browser(node).connect(token=token(4, "7", "club.a", "club.b"))
    new = await Browser(node).connect(token=token(5, "8", "club.a"))
    for browser in (old, new):
        await browser.ask("subscribe", room="club.a")
    await old.ask("subscribe", room="club.b")
    position = (await old.ask("ping"))["position"]
    revoke(path, RoomRevoked("club.a", 5))
    await until(lambda: ended(old))
    assert ended(old) == [("club.a", "rights_changed")]
    assert ended(new) == []
    assert (await new.ask("publish", room="club.a", data="secret"))["type"] == "published"
    await until(lambda: new.pushes("club.a"))
    assert old.pushes("club.a") == []
    for type, more in (("subscribe", {}), ("history", {}), ("publish", {"data": 1})):
        assert (await old.ask(type, room="club.a", **more))["code"] == "token_revoked"
    stale = await old.ask("subscribe", room="club.a", token=room_token(4, "club.a"))
    assert stale["code"] == "token_revoked"

    # Who still may comes back where they were.
    again = await old.ask("subscribe", room="club.a", since=position, token=room_token(5, "club.a"))
    assert again["recovered"] is True
    assert [item["data"] for item in again["publications"]] == ["secret"]
    assert (await old.ask("publish", room="club.a", data=2))["type"] == "published"


async def test_a_closed_room_is_told_to_everybody_in_it(node: Node, path: Path) -> None:
    reader = await Browser(node).connect(token=token(4, "7", "club.a"))
    guest = await Browser(node).connect()
    await reader.ask("subscribe", room="club.a")
    await guest.ask("subscribe", room="chat.a")
    revoke(path, RoomRevoked("club.a", 5, True), RoomRevoked("chat.a", 5, True))
    await until(lambda: ended(reader) and ended(guest))
    assert ended(reader) == [("club.a", "room_closed")]
    assert ended(guest) == [("chat.a", "room_closed")]
    # Pushes are counted, so that a lost one is noticed.
    assert (await guest.ask("ping"))["sent"] == 1


async def test_a_room_that_is_being_paged_through_is_ended_too(path: Path) -> None:
    node = make_node(path, outbox_bytes=64 << 10)
    await node.start()
    await until(lambda: node.ready)
    for _ in range(10):
        await node.publish(Envelope("club.a", b'"' + b"x" * 10_000 + b'"'))
    browser = await Browser(node).connect(token=token(4, "7", "club.a"))
    beginning = "0.-1.000000000000"
    page = await browser.ask("subscribe", room="club.a", since=beginning)
    assert page["more"]
    revoke(path, RoomRevoked("club.a", 5))
    await until(lambda: ended(browser))
    refused = await browser.ask("subscribe", room="club.a", since=page["position"])
    assert refused["code"] == "token_revoked"
    await node.close()


@pytest.mark.parametrize("publisher", ["stranger", None])
async def test_only_publishers_revoke(
    node: Node, path: Path, publisher: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await Browser(node).connect(token=token(4))
    with caplog.at_level(logging.WARNING):
        revoke(path, UserRevoked("7", 5), publisher=publisher)
        revoke(path, RoomRevoked("chat.a", 1))
        await until(lambda: node.control.read == 1)
    assert browser.link.closed_with is None
    assert "a revocation does not count" in caplog.text


async def test_what_is_no_revocation_is_said_and_passed_over(
    node: Node, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = SqliteLog(f"{path}{CONTROL_SUFFIX}")
    log.append([Envelope("control.user", b"{}", publisher=PUBLISHER)])
    log.close()
    revoke(path, UserRevoked("7", 5))
    await until(lambda: node.control.read == 1)
    assert "says nothing: its body has no 'generation'" in caplog.text


async def test_what_stood_in_the_control_log_holds_after_a_restart(path: Path) -> None:
    revoke(path, UserRevoked("7", 5), UserRevoked("7", 3))
    node = make_node(path)
    await node.start()
    refused = await Browser(node).ask("connect", version=1, token=token(4))
    assert refused["code"] == "token_revoked"
    await node.close()


@pytest.mark.parametrize("room", ["control.user", "control.room", "control"])
async def test_no_command_of_a_client_reaches_the_control_log(node: Node, room: str) -> None:
    browser = await Browser(node).connect(token=token(4, "7", "control.**", "control"))
    for type, fields in (("publish", {"data": {"user": "8", "generation": 9}}), ("subscribe", {})):
        assert (await browser.ask(type, room=room, **fields))["code"] == "room_unknown"
    assert node.control.read == 0


async def test_before_revocations_are_read_nobody_is_let_in(path: Path) -> None:
    control = HeldLog()
    node = make_node(path, control, waiting_timeout=30)
    await node.start()
    await until(lambda: node.status == "catching up with revocations")
    browser = Browser(node)
    connect = browser.send("connect", version=1, token=token(4))
    await asyncio.sleep(0.05)
    assert browser.link.received == []
    control.listener.deliver(
        0, 1, revocation_envelopes([UserRevoked("7", 5)])[0]._replace(publisher=PUBLISHER)
    )
    control.listener.caught_up()
    await until(lambda: browser.link.received)
    [refused] = browser.link.received
    assert (refused["id"], refused["code"]) == (connect, "token_revoked")
    assert node.ready
    await node.close()


async def test_cut_off_from_revocations_a_node_refuses_what_they_might_deny(path: Path) -> None:
    control = HeldLog()
    node = make_node(path, control, unreadable_timeout=0)
    await node.start()
    control.listener.caught_up()
    browser = await Browser(node).connect(token=token(4, "7", "club.a"))
    control.listener.cut_off("the cable is out")
    assert (node.ready, node.status) == (False, "revocations cannot be read")
    await asyncio.sleep(0.01)
    for type, fields in (
        ("subscribe", {"room": "club.a"}),
        ("refresh", {"token": token(5)}),
        ("history", {"room": "club.a"}),
    ):
        refused = await browser.ask(type, **fields)
        assert (refused["code"], refused["temporary"]) == ("unavailable", True)
    control.listener.caught_up()
    assert (await browser.ask("subscribe", room="club.a"))["type"] == "subscribed"
    assert node.ready
    await node.close()


async def test_another_control_log_makes_nothing_be_forgotten(path: Path) -> None:
    control = HeldLog()
    node = make_node(path, control, waiting_timeout=30)
    await node.start()
    control.listener.deliver(
        0, 1, revocation_envelopes([UserRevoked("7", 5)])[0]._replace(publisher=PUBLISHER)
    )
    control.listener.caught_up()
    await until(lambda: node.ready)
    control.listener.log_reset("it was deleted")
    assert node.status == "catching up with revocations"
    control.listener.caught_up()
    refused = await Browser(node).ask("connect", version=1, token=token(4))
    assert refused["code"] == "token_revoked"
    await node.close()


async def test_what_cannot_matter_any_more_is_forgotten(path: Path) -> None:
    wall = [time.time()]
    policy = Policy(NAMESPACES, KEYS, anonymous=True)
    broker = EmbeddedBroker(path, NAMESPACES)
    node = Node(
        broker,
        policy,
        NodeLimits(),
        control=control_log(path),
        name="n-1",
        clock=lambda: wall[0],
    )
    await node.start()
    revoke(path, UserRevoked("7", 5))
    await until(lambda: len(policy.revocations) == 1)
    wall[0] += 2 * 86_400
    await until(lambda: len(policy.revocations) == 0)
    await node.close()

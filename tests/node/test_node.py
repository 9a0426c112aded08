"""roomline.node, with the embedded broker and links that keep what they are given"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from roomline.brokers.embedded import EmbeddedBroker, control_log
from roomline.core.limits import NodeLimits
from roomline.core.link import Peer
from roomline.core.policy import Namespace, Policy, Rule
from roomline.node import Node
from roomline.sqlitelog import SqliteLog
from roomline.tokens import Keyring, sign_connection
from roomline.wire import Envelope

KEYS = Keyring({"k1": "s" * 32})
POLICY = Policy(
    {
        "chat": Namespace(Rule.PUBLIC, Rule.PUBLIC, 50, 3600),
        "system": Namespace(Rule.PUBLIC, Rule.NONE, 50, 3600),
        "user": Namespace(Rule.NONE, Rule.NONE, 50, 3600),
    },
    KEYS,
    anonymous=True,
)


class Link:
    """A transport that reads everything at once, or, when `stuck`, nothing."""

    transport = "websocket"
    address = "127.0.0.1"

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.flushes = 0
        self.stuck = False
        self.closed_with: tuple[int, str] | None = None
        self.peer: Peer | None = None

    def flush(self) -> None:
        self.flushes += 1
        if self.peer is not None and not self.stuck:
            self.received += [json.loads(item.text) for item in self.peer.outbox.take()]

    def close(self, code: int, reason: str) -> None:
        self.closed_with = (code, reason)
        if self.peer is not None:
            with contextlib.suppress(RuntimeError):
                self.flush()
            self.peer.gone()


class Browser:
    """One client of a node."""

    def __init__(self, node: Node) -> None:
        self.link = Link()
        self.peer = self.link.peer = node.open(self.link)
        if self.link.closed_with:
            self.peer.gone()
        self._id = 0

    def send(self, type: str, **fields: Any) -> int:
        self._id += 1
        command = {"id": self._id, "type": type, **fields}
        self.peer.receive(json.dumps(command, ensure_ascii=False))
        return self._id

    async def ask(self, type: str, **fields: Any) -> dict[str, Any]:
        id = self.send(type, **fields)
        await until(lambda: any(m.get("id") == id for m in self.link.received))
        return next(m for m in self.link.received if m.get("id") == id)

    async def connect(self, **fields: Any) -> "Browser":
        reply = await self.ask("connect", version=1, **fields)
        assert reply["type"] == "connected"
        return self

    def pushes(self, room: str = "chat.a") -> list[Any]:
        return [
            m["data"]
            for m in self.link.received
            if m["type"] == "publication" and m["room"] == room
        ]


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def make_node(path: Path, **limits: Any) -> Node:
    broker = EmbeddedBroker(path, POLICY.namespaces)
    return Node(broker, POLICY, NodeLimits(**limits), control=control_log(path), name="n-1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite3"


@pytest.fixture
async def node(path: Path) -> AsyncIterator[Node]:
    node = make_node(path, waiting_timeout=0.5)
    await node.start()
    yield node
    await node.close()


async def test_connected(node: Node) -> None:
    browser = Browser(node)
    reply = await browser.ask(
        "connect", version=1, token=sign_connection(KEYS, "7", now=time.time(), lifetime=60)
    )
    assert reply["user"] == {"id": "7", "name": "7"}
    assert [room["room"] for room in reply["rooms"]] == ["system.notices", "user.7"]
    assert reply["node"] == "n-1"
    assert reply["limits"] == {"message_bytes": 65536, "subscriptions": 100, "history": 50}


async def test_a_publication_reaches_everybody_including_its_publisher(node: Node) -> None:
    one, two = await Browser(node).connect(), await Browser(node).connect()
    for browser in (one, two):
        await browser.ask("subscribe", room="chat.a")
    assert (await one.ask("publish", room="chat.a", data="hi"))["type"] == "published"
    await until(lambda: one.pushes() and two.pushes())
    assert one.pushes() == two.pushes() == ["hi"]


async def test_automatic_rooms_push_without_subscribe(node: Node) -> None:
    browser = await Browser(node).connect()
    await node.publish(Envelope("system.notices", b'"down at 5"', kind="system"))
    await until(lambda: browser.pushes("system.notices"))
    assert browser.pushes("system.notices") == ["down at 5"]


async def test_what_comes_in_one_turn_leaves_in_one_flush(node: Node) -> None:
    browser = await Browser(node).connect()
    await browser.ask("subscribe", room="chat.a")
    before = browser.link.flushes
    await asyncio.gather(*(node.publish(Envelope("chat.a", b"%d" % n)) for n in range(50)))
    await until(lambda: len(browser.pushes()) == 50)
    assert browser.pushes() == list(range(50))
    assert browser.link.flushes - before <= 10


async def test_a_repeat_is_delivered_once(node: Node) -> None:
    browser = await Browser(node).connect(client="c" * 32)
    await browser.ask("subscribe", room="chat.a")
    for _ in range(3):
        assert (await browser.ask("publish", room="chat.a", data=1, key="k"))["type"] == "published"
    await browser.ask("publish", room="chat.a", data=2)
    await until(lambda: 2 in browser.pushes())
    assert browser.pushes() == [1, 2]


async def test_recovery_on_another_node(node: Node, path: Path) -> None:
    browser = await Browser(node).connect()
    reply = await browser.ask("subscribe", room="chat.a")
    await asyncio.gather(*(node.publish(Envelope("chat.a", b"%d" % n)) for n in range(5)))
    other = make_node(path)
    await other.start()
    try:
        moved = await Browser(other).connect()
        again = await moved.ask("subscribe", room="chat.a", since=reply["position"])
        assert again["recovered"] is True
        assert [item["data"] for item in again["publications"]] == [0, 1, 2, 3, 4]
        assert again["head"] == again["publications"][-1]["position"]
    finally:
        await other.close()


async def test_a_position_ahead_of_the_node_is_held_until_it_is_read(
    node: Node, path: Path
) -> None:
    browser = await Browser(node).connect()
    await node.publish(Envelope("chat.a", b"0"))
    await until(lambda: node.rooms.index.last.offset == 1)
    position = (await browser.ask("subscribe", room="chat.a"))["position"]
    partition, offset, fingerprint = position.split(".")
    ahead = f"{partition}.{int(offset) + 1}.{fingerprint}"
    browser.send("subscribe", room="chat.a", since=ahead)
    browser.send("unsubscribe", room="chat.a")
    await asyncio.sleep(0.1)
    assert [m for m in browser.link.received if m.get("id") in (3, 4)] == []
    await node.publish(Envelope("chat.a", b"1"))
    await until(lambda: any(m.get("id") == 4 for m in browser.link.received))
    held, after = [m for m in browser.link.received if m.get("id") in (3, 4)]
    assert (held["recovered"], held["reason"]) == (False, "not_in_log")
    assert after["type"] == "unsubscribed"


async def test_a_position_that_never_comes_is_answered(node: Node) -> None:
    browser = await Browser(node).connect()
    reply = await browser.ask("subscribe", room="chat.a", since="0.999.000000000000")
    assert (reply["recovered"], reply["reason"]) == (False, "not_in_log")


async def test_too_many_waiting_commands_are_refused(path: Path) -> None:
    node = make_node(path, waiting=2)
    await node.start()
    browser = await Browser(node).connect()
    for _ in range(2):
        browser.send("subscribe", room="chat.a", since="0.999.000000000000")
    refused = await browser.ask("subscribe", room="chat.a")
    assert (refused["code"], refused["temporary"]) == ("catching_up", True)
    await node.close()


async def test_pages(path: Path) -> None:
    node = make_node(path, outbox_bytes=2000)
    await node.start()
    browser = await Browser(node).connect()
    position = (await browser.ask("subscribe", room="chat.a"))["position"]
    await browser.ask("unsubscribe", room="chat.a")
    await asyncio.gather(*(node.publish(Envelope("chat.a", b"%d" % n)) for n in range(20)))
    await until(lambda: node.rooms.index.last.offset == 20)
    found: list[int] = []
    pages = 0
    while True:
        reply = await browser.ask("subscribe", room="chat.a", since=position)
        found += [item["data"] for item in reply["publications"]]
        position = reply["position"]
        pages += 1
        if "more" not in reply:
            break
    assert found == list(range(20))
    assert pages > 2
    await node.publish(Envelope("chat.a", b'"live"'))
    await until(lambda: browser.pushes() == ["live"])
    await node.close()


async def test_a_slow_client_is_disconnected_and_others_notice_nothing(path: Path) -> None:
    node = make_node(path, outbox_bytes=5000)
    await node.start()
    slow, fast = await Browser(node).connect(), await Browser(node).connect()
    for browser in (slow, fast):
        await browser.ask("subscribe", room="chat.a")
    slow.link.stuck = True
    for number in range(100):
        await node.publish(Envelope("chat.a", b"%d" % number))
    await until(lambda: slow.link.closed_with)
    assert slow.link.closed_with == (3002, "slow")
    assert slow.peer.outbox.size == 0
    await until(lambda: len(fast.pushes()) == 100)
    assert node.counters.disconnects == {3002: 1}
    assert node.sessions == {fast.peer}
    await node.close()


async def test_ping_counts_pushes_and_moves_positions(node: Node) -> None:
    browser = await Browser(node).connect()
    await browser.ask("subscribe", room="chat.a")
    assert (await browser.ask("ping"))["sent"] == 0
    await browser.ask("publish", room="chat.a", data=1)
    await until(lambda: browser.pushes())
    pong = await browser.ask("ping")
    assert pong["sent"] == 1
    (push,) = (m for m in browser.link.received if m["type"] == "publication")
    assert pong["position"] == push["position"]


async def test_token_expiry_disconnects(node: Node) -> None:
    token = sign_connection(KEYS, "7", now=time.time(), lifetime=1)
    browser = await Browser(node).connect(token=token)
    await until(lambda: browser.link.closed_with)
    assert browser.link.closed_with == (3004, "token expired")


async def test_connect_timeout(path: Path) -> None:
    node = make_node(path, connect_timeout=0.2)
    await node.start()
    browser = Browser(node)
    await until(lambda: browser.link.closed_with)
    assert browser.link.closed_with == (3003, "connect timeout")
    await node.close()


async def test_a_replaced_log_ends_subscriptions(node: Node, path: Path) -> None:
    browser = await Browser(node).connect()
    await node.publish(Envelope("chat.a", b"0"))
    await until(lambda: node.rooms.index.last.offset == 1)
    position = (await browser.ask("subscribe", room="chat.a"))["position"]
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    await until(lambda: any(m.get("code") == "log_reset" for m in browser.link.received))
    await until(lambda: node.ready)
    replaced = SqliteLog(path)
    replaced.append([Envelope("chat.a", b'"new"')])
    replaced.close()
    reply = await browser.ask("subscribe", room="chat.a", since=position, history=5)
    assert (reply["recovered"], reply["reason"]) == (False, "not_in_log")
    assert [item["data"] for item in reply["publications"]] == ["new"]


async def test_publishing_while_the_broker_is_closed_is_a_temporary_error(path: Path) -> None:
    broker = EmbeddedBroker(path, POLICY.namespaces)
    node = Node(broker, POLICY, NodeLimits(), control=control_log(path), name="n-1")
    await node.start()
    browser = await Browser(node).connect()
    await broker.close()
    refused = await browser.ask("publish", room="chat.a", data=1)
    assert (refused["code"], refused["temporary"]) == ("unavailable", True)
    await node.close()


async def test_a_node_that_is_cut_off_refuses_what_needs_the_log(path: Path) -> None:
    node = make_node(path, unreadable_timeout=0)
    await node.start()
    browser = await Browser(node).connect()
    await browser.ask("subscribe", room="chat.a")
    node.cut_off("the cable is out")
    assert (node.ready, node.status) == (False, "the log cannot be read")
    await asyncio.sleep(0.01)
    for type, fields in [
        ("subscribe", {"room": "chat.b"}),
        ("history", {"room": "chat.a"}),
        ("refresh", {"token": "x"}),
    ]:
        refused = await browser.ask(type, **fields)
        assert (refused["code"], refused["temporary"]) == ("unavailable", True)
    assert (await browser.ask("ping"))["type"] == "pong"
    node.caught_up()
    assert (await browser.ask("subscribe", room="chat.b"))["type"] == "subscribed"
    await node.close()


async def test_drain_sends_clients_elsewhere_and_serves_them_until_then(node: Node) -> None:
    one, two = await Browser(node).connect(), await Browser(node).connect()
    await one.ask("subscribe", room="chat.a")
    draining = asyncio.create_task(node.drain(2))
    await until(lambda: all(b.link.received[-1]["type"] == "reconnect" for b in (one, two)))
    assert not node.ready
    assert (await two.ask("publish", room="chat.a", data=1))["type"] == "published"
    await until(lambda: one.pushes() == [1])
    late = Browser(node)
    assert late.link.closed_with == (3001, "draining")
    one.peer.gone()
    two.peer.gone()
    await asyncio.wait_for(draining, 1)


async def test_who_does_not_leave_is_closed_at_the_end_of_the_drain(node: Node) -> None:
    browser = await Browser(node).connect()
    await node.drain(0.2)
    assert browser.link.closed_with == (3001, "draining")


async def test_new_rooms_are_capped_for_each_user(path: Path) -> None:
    node = make_node(path, new_rooms_burst=3, new_rooms_per_minute=0)
    await node.start()

    async def user(user_id: str) -> Browser:
        token = sign_connection(KEYS, user_id, now=time.time(), lifetime=60)
        return await Browser(node).connect(token=token)

    one = await user("1")
    for number in range(3):
        await one.ask("publish", room=f"chat.{number}", data=1)
    await until(lambda: node.rooms.in_log("chat.2"))
    refused = await one.ask("publish", room="chat.9", data=1)
    assert (refused["code"], refused["temporary"]) == ("rate_limited", True)
    assert (await one.ask("publish", room="chat.0", data=1))["type"] == "published"
    again = await user("1")
    assert (await again.ask("publish", room="chat.9", data=1))["code"] == "rate_limited"
    other = await user("2")
    assert (await other.ask("publish", room="chat.9", data=1))["type"] == "published"
    await node.close()


async def test_anonymous_clients_share_what_their_address_may_begin(path: Path) -> None:
    node = make_node(path, new_rooms_burst=3, new_rooms_per_minute=0)
    await node.start()
    answers = []
    for number in range(5):
        stranger = await Browser(node).connect(client=f"{number}" * 32)
        answers.append((await stranger.ask("publish", room=f"chat.{number}", data=1))["type"])
    assert answers == ["published"] * 3 + ["error"] * 2
    await node.close()


async def test_a_new_room_is_counted_once_however_much_is_published_at_once(path: Path) -> None:
    node = make_node(path, new_rooms_burst=1, new_rooms_per_minute=0)
    await node.start()
    browser = await Browser(node).connect()
    ids = [browser.send("publish", room="chat.new", data=number) for number in range(50)]
    await until(lambda: {m.get("id") for m in browser.link.received} >= set(ids))
    assert {m["type"] for m in browser.link.received if m.get("id") in ids} == {"published"}
    await node.close()


async def test_what_is_refused_for_another_reason_is_not_counted_as_a_new_room(path: Path) -> None:
    node = make_node(path, new_rooms_burst=2, new_rooms_per_minute=0, unconfirmed=1)
    await node.start()
    browser = await Browser(node).connect()
    first = browser.send("publish", room="chat.one", data=1)
    refused = await browser.ask("publish", room="chat.two", data=1)
    assert refused["code"] == "rate_limited"
    await until(lambda: any(m.get("id") == first for m in browser.link.received))
    assert (await browser.ask("publish", room="chat.three", data=1))["type"] == "published"
    await node.close()


async def test_what_the_node_has_too_much_of_is_not_counted_as_a_new_room(path: Path) -> None:
    """Nor is its room taken for one that is under way."""
    now = [0.0]
    limits = NodeLimits(
        new_rooms_burst=2,
        new_rooms_per_minute=0,
        publications_per_second=1,
        publications_burst=1,
        sessions_worth=1,
    )
    broker = EmbeddedBroker(path, POLICY.namespaces)
    node = Node(broker, POLICY, limits, control=control_log(path), name="n-1", timer=lambda: now[0])
    await node.start()

    async def publish(room: str) -> str:
        answer = await (await Browser(node).connect()).ask("publish", room=room, data=1)
        return str(answer.get("reason", answer["type"]))

    too_many = "too many publications from this address, or at this node: later, or elsewhere"
    assert [await publish(room) for room in ("chat.one", "chat.two")] == ["published", too_many]
    now[0] = 1.0
    assert await publish("chat.three") == "published"
    now[0] = 2.0
    assert await publish("chat.two") == "at most 0 new rooms a minute"
    await node.close()


async def test_asking_for_history_creates_no_room(node: Node) -> None:
    browser = await Browser(node).connect()
    before = len(node.rooms)
    for number in range(50):
        reply = await browser.ask("history", room=f"chat.{number}")
        assert reply["publications"] == []
    assert len(node.rooms) == before


async def test_nothing_follows_a_message_that_did_not_fit(path: Path) -> None:
    """Whoever continues from the last position received must not have missed one before it."""
    node = make_node(path, outbox_bytes=4000)
    await node.start()
    slow = await Browser(node).connect()
    await slow.ask("subscribe", room="chat.a")
    slow.link.stuck = True
    for number in range(10):
        await node.publish(Envelope("chat.a", b'"%d %s"' % (number, b"x" * 600)))
    await node.publish(Envelope("chat.a", b'"small"'))
    slow.link.stuck = False
    await until(lambda: slow.link.closed_with or len(slow.pushes()) == 11)
    offsets = [int(m["position"].split(".")[1]) for m in slow.link.received if "position" in m]
    assert slow.link.closed_with == (3002, "slow")
    assert offsets == sorted(offsets)
    assert "small" not in slow.pushes()
    await node.close()


async def test_commands_after_an_overflow_are_not_carried_out(path: Path) -> None:
    node = make_node(path, outbox_bytes=2000)
    await node.start()
    browser = await Browser(node).connect()
    browser.link.stuck = True
    for _ in range(200):
        browser.send("ping")
    await until(lambda: browser.link.closed_with)
    assert browser.link.closed_with == (3002, "slow")
    assert node.counters.commands["ping"] < 50
    await node.close()


async def test_recovering_many_rooms_at_once_waits_for_the_client_to_read(path: Path) -> None:
    node = make_node(path, outbox_bytes=40_000)
    await node.start()
    browser = await Browser(node).connect()
    position = (await browser.ask("subscribe", room="chat.a"))["position"]
    await browser.ask("unsubscribe", room="chat.a")
    rooms = [f"chat.{letter}" for letter in "abcd"]
    for room in rooms:
        for number in range(20):
            await node.publish(Envelope(room, b'"%d %s"' % (number, b"x" * 1000)))
    await until(lambda: node.rooms.index.last.offset == 80)
    browser.link.stuck = True
    ids = [browser.send("subscribe", room=room, since=position) for room in rooms]
    await asyncio.sleep(0.1)
    assert browser.link.closed_with is None
    browser.link.stuck = False
    browser.link.flush()
    await until(lambda: {m.get("id") for m in browser.link.received} >= set(ids))
    replies = [m for m in browser.link.received if m.get("id") in ids]
    assert [m["id"] for m in replies] == ids
    assert all(m["recovered"] and m["publications"] for m in replies)
    await node.close()


async def test_a_client_that_does_not_read_is_not_answered_for_ever(path: Path) -> None:
    node = make_node(path, outbox_bytes=4000, waiting_timeout=0.2)
    await node.start()
    browser = await Browser(node).connect()
    await browser.ask("subscribe", room="chat.a")
    browser.link.stuck = True
    for _ in range(4):
        await node.publish(Envelope("chat.a", b'"%s"' % (b"x" * 500)))
    await until(lambda: browser.peer.outbox.size > 2000)
    id = browser.send("subscribe", room="chat.b")
    await asyncio.sleep(0.7)
    browser.link.stuck = False
    browser.link.flush()
    (reply,) = (m for m in browser.link.received if m.get("id") == id)
    assert (reply["code"], reply["temporary"]) == ("catching_up", True)
    await node.close()


async def test_a_node_that_was_just_cut_off_does_not_deny_a_position(path: Path) -> None:
    node = make_node(path, waiting_timeout=0.2)
    await node.start()
    browser = await Browser(node).connect()
    node.cut_off("the cable is out")
    reply = await browser.ask("subscribe", room="chat.a", since="0.999.000000000000")
    assert (reply["type"], reply["code"]) == ("error", "catching_up")
    await node.close()


async def test_commands_that_wait_or_fail_count_as_a_flood(path: Path) -> None:
    node = make_node(path, unreadable_timeout=-1)
    await node.start()
    browser = await Browser(node).connect()
    node.cut_off("the cable is out")
    for _ in range(5000):
        browser.send("history", room="chat.a")
        await asyncio.sleep(0)
        if browser.link.closed_with:
            break
    assert browser.link.closed_with == (3502, "flood")
    await node.close()


async def test_what_waits_is_bounded_in_bytes(path: Path) -> None:
    node = make_node(path, waiting_bytes=1000)
    await node.start()
    browser = await Browser(node).connect()
    browser.send("subscribe", room="chat.a", since="0.999.000000000000")
    refused = await browser.ask("publish", room="chat.a", data="щ" * 500)
    assert refused["code"] == "catching_up"
    await node.close()


async def test_a_position_of_another_partition(node: Node) -> None:
    browser = await Browser(node).connect()
    await node.publish(Envelope("chat.a", b"0"))
    await until(lambda: node.rooms.index.last.offset == 1)
    position = str(node.rooms.index.last).replace("0.1.", "7.1.")
    reply = await browser.ask("subscribe", room="chat.a", since=position)
    assert (reply["recovered"], reply["reason"]) == (False, "not_in_log")


async def test_a_wall_clock_that_is_set_back_delays_nothing(path: Path) -> None:
    wall = [time.time()]
    broker = EmbeddedBroker(path, POLICY.namespaces)
    limits = NodeLimits(waiting_timeout=0.2, unreadable_timeout=0.2)
    node = Node(
        broker, POLICY, limits, control=control_log(path), name="n-1", clock=lambda: wall[0]
    )
    await node.start()
    browser = await Browser(node).connect()
    browser.send("subscribe", room="chat.a", since="0.999.000000000000")
    wall[0] -= 3600
    await until(lambda: any("recovered" in m for m in browser.link.received), seconds=2)
    node.cut_off("the cable is out")
    wall[0] -= 3600
    await asyncio.sleep(0.3)
    assert (await browser.ask("subscribe", room="chat.a"))["code"] == "unavailable"
    await node.close()


async def test_a_link_that_fails_harms_nobody_else(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = await Browser(node).connect(), await Browser(node).connect()
    for browser in (broken, fine):
        await browser.ask("subscribe", room="chat.a")

    def fail() -> None:
        raise RuntimeError("no wire")

    broken.link.flush = fail  # type: ignore[method-assign]
    await node.publish(Envelope("chat.a", b"1"))
    await until(lambda: fine.pushes() == [1])
    assert "no wire" in caplog.text


async def test_nothing_is_left_of_those_who_left(node: Node) -> None:
    for _ in range(20):
        browser = await Browser(node).connect()
        await browser.ask("subscribe", room="chat.a")
        browser.peer.gone()
    assert not node.sessions
    assert not any(node.rooms.room(name).subscribers for name in ("chat.a", "system.notices"))
    await until(lambda: "chat.a" not in node.rooms)

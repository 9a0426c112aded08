"""roomline.proxy.events: the event stream of a room, who gets it, and how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from roomline.core.position import BEGINNING
from roomline.proxy.events import STATUSES
from roomline.revocations import Revocation, RoomRevoked, UserRevoked

from tests.proxy.conftest import Front, Fronts
from tests.support.events import EventReader
from tests.support.tokens import connection_token, room_token
from tests.support.until import until
from tests.transport.clients import ask, connected

pytestmark = pytest.mark.timeout(30)

NEWS = "/roomline/rooms/news.a/events"
CLUB = "/roomline/rooms/club.a/events"
MEMBERS = "/roomline/rooms/members.a/events"


@asynccontextmanager
async def events(
    node: Front, path: str = NEWS, *, receive_buffer: int | None = None, **headers: str
) -> AsyncIterator[EventReader]:
    """A stream whose first block, which says where it begins, is still to be read."""
    async with connected(node.port, receive_buffer=receive_buffer) as client:
        reader = await EventReader.get(client, path, **headers)
        assert reader.response.status == 200, await client.body(reader.response)
        yield reader


def bearer(token: str) -> str:
    return f"Bearer {token}"


async def refused(node: Front, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and body of a refusal."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await ask(node.port, "GET", path, headers=named)
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"
    assert (response["WWW-Authenticate"] == "Bearer") == (response.status == 401)
    body = json.loads(response.body)
    assert body["temporary"] is (response.status in (429, 503))
    return response.status, body


# What a reader gets.


async def test_publications_are_events(front: Fronts) -> None:
    node = await front()
    await node.publish("before", room="news.a")
    async with events(node) as stream:
        response = stream.response
        assert response["Content-Type"] == "text/event-stream"
        assert response["Cache-Control"] == "no-store"
        assert response["X-Accel-Buffering"] == "no"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Vary"] == "Origin"
        assert await stream.next() == {"retry": "1000", "id": node.node.position}
        await node.publish("elsewhere", room="news.b")
        await node.publish({"text": "one\ntwo"}, room="news.a")
        event = await stream.next()
        assert event.keys() == {"id", "data"}
        publication = json.loads(event["data"])
        assert publication["type"] == "publication"
        assert publication["room"] == "news.a"
        assert publication["position"] == event["id"] == node.node.position
        assert publication["data"] == {"text": "one\ntwo"}
        assert publication["kind"] == "message"
        assert publication["previous"] is not None
        # It is the very text that sessions are pushed.
        [held] = node.node.rooms.room("news.a").history.latest(1)
        assert event["data"] == held.message.text
    await node.ended("gone")
    assert len(node.node.guests) == len(node.proxy.keeper) == 0


async def test_it_goes_on_after_a_pause(front: Fronts) -> None:
    node = await front()
    async with events(node) as stream:
        await stream.next()
        await node.publish(0, room="news.a")
        last = (await stream.event())["id"]
    seen = []
    for start in range(1, 10, 3):
        await node.publish(*range(start, start + 3), room="news.a")
        async with events(node, Last_Event_ID=last) as stream:
            assert await stream.next() == {"retry": "1000", "id": last}
            for _ in range(3):
                event = await stream.event()
                seen.append(json.loads(event["data"])["data"])
                last = event["id"]
    assert seen == list(range(1, 10))


async def test_since_in_the_address_and_what_a_browser_knows_better(front: Fronts) -> None:
    node = await front()
    await node.publish(1, 2, room="news.a")
    async with events(node, f"{NEWS}?since={BEGINNING}") as stream:
        assert [await stream.data() for _ in range(2)] == [1, 2]
    last = node.node.position or ""
    await node.publish(3, room="news.a")
    async with events(node, f"{NEWS}?since={BEGINNING}", Last_Event_ID=last) as stream:
        assert await stream.data() == 3


@pytest.mark.parametrize("written", ["%D9%A0.-1.000000000000", "0.-1.000000000000%0Adata: x"])
async def test_a_position_is_written_in_one_way(front: Fronts, written: str) -> None:
    """What goes back to the reader as it came must be harmless."""
    node = await front()
    await node.publish(1, room="news.a")
    async with events(node, f"{NEWS}?since={written.replace(' ', '%20')}") as stream:
        first = await stream.next()
        assert first["event"] == "reset"
        assert json.loads(first["data"])["reason"] == "malformed"


async def test_more_than_one_page_of_it(front: Fronts) -> None:
    node = await front(outbox=16_384)
    await node.publish(*("x" * 3000 + str(number) for number in range(10)), room="news.a")
    async with events(node, Last_Event_ID=str(BEGINNING)) as stream:
        seen = [(await stream.data())[3000:] for _ in range(10)]
        assert seen == [str(number) for number in range(10)]
        await node.held()
        await node.publish("live", room="news.a")
        assert await stream.data() == "live"


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        ("nonsense", "malformed"),
        ("x" * 5000, "malformed"),
        ("0.1.00000000000a", "not_in_log"),
        ("0.7.00000000000a", "not_in_log"),
    ],
)
async def test_what_cannot_be_continued_is_a_reset(
    front: Fronts, position: str, reason: str
) -> None:
    node = await front(waiting_seconds=0.3)
    await node.publish(1, room="news.a")
    async with events(node, Last_Event_ID=position) as stream:
        first = await stream.next()
        assert first["event"] == "reset"
        assert first["id"] == node.node.position
        assert json.loads(first["data"]) == {
            "room": "news.a",
            "position": node.node.position,
            "reason": reason,
        }
        await node.publish(2, room="news.a")
        assert await stream.data() == 2


async def test_what_is_no_longer_in_memory_is_a_reset(front: Fronts) -> None:
    node = await front()
    await node.publish(*range(30), room="news.a")  # 20 are kept
    async with events(node, Last_Event_ID=str(BEGINNING)) as stream:
        assert json.loads((await stream.next())["data"])["reason"] == "evicted"


async def test_another_log_ends_it_and_is_a_reset_for_who_comes_back(front: Fronts) -> None:
    node = await front(waiting_seconds=0.3)
    await node.publish(*range(3), room="news.a")
    async with events(node) as stream:
        last = (await stream.next())["id"]
        node.node.log_reset("a test")
        assert json.loads((await ended(stream))["data"])["code"] == "log_reset"
    node.node.caught_up()
    async with events(node, Last_Event_ID=last) as stream:
        assert (await stream.next())["event"] == "reset"


async def test_heartbeats_are_comments_that_move_the_position_on(front: Fronts) -> None:
    node = await front(heartbeat_seconds=0.3)
    async with events(node) as stream:
        await stream.next()
        await node.publish("elsewhere", room="news.b")
        assert await stream.next() == {"": "", "id": node.node.position}
        assert (await stream.next()).keys() == {"", "id"}


async def test_old_clients(front: Fronts) -> None:
    node = await front()
    async with connected(node.port) as client:
        response = await client.request("GET", NEWS, version="1.0")
        assert (response.status, response["Transfer-Encoding"]) == (200, None)
        stream = EventReader(client, response)
        await node.held()
        await node.publish(1, room="news.a")
        assert await stream.data() == 1
        await node.drain(1)
        assert (await ended(stream))["event"] == "end"


async def ended(stream: EventReader) -> dict[str, str]:
    """The event that says why a stream has ended, which must be its last block, in order."""
    while "data" not in (block := await stream.next()):
        assert block, "the stream has ended without a word"
    assert block["event"] == "end"
    assert "id" not in block, "where to continue is what it was"
    assert await stream.next() == {}
    return block


# Who gets it.


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("news..a", {}, 400, "room_invalid"),
        ("", {}, 400, "room_invalid"),
        ("news.%C3%A9", {}, 400, "room_invalid"),
        ("news.%FF", {}, 400, "room_invalid"),
        ("news.%2A", {}, 400, "room_invalid"),
        ("n" * 201, {}, 400, "room_invalid"),
        ("nowhere.a", {}, 404, "room_unknown"),
        ("control.user", {}, 404, "room_unknown"),
        ("chat.a", {}, 403, "forbidden"),
        ("chat.a", {"Authorization": bearer("USER")}, 403, "forbidden"),
        ("user.ann", {}, 403, "forbidden"),
        ("user.ann", {"Authorization": bearer("BEN")}, 403, "forbidden"),
        ("members.a", {}, 401, "token_required"),
        ("club.a", {}, 401, "token_required"),
        ("club.a", {"Authorization": bearer("USER")}, 403, "room_token_required"),
        ("news.a", {"Authorization": bearer("nonsense")}, 401, "token_invalid"),
        ("news.a", {"Authorization": bearer("ROOM")}, 401, "token_invalid"),
        ("news.a", {"Authorization": bearer("OLD")}, 401, "token_expired"),
        ("news.a", {"Authorization": "Basic YW5uOnNlY3JldA=="}, 401, "token_invalid"),
        ("news.a", {"Authorization": "Bearer"}, 401, "token_invalid"),
        ("news.a", {"Authorization": "Bearer a b"}, 401, "token_invalid"),
        ("club.a", {"Roomline-Room-Token": "ROOM"}, 401, "token_required"),
        (
            "club.a",
            {"Authorization": bearer("BEN"), "Roomline-Room-Token": "ROOM"},
            401,
            "token_invalid",
        ),
        (
            "club.b",
            {"Authorization": bearer("USER"), "Roomline-Room-Token": "ROOM"},
            401,
            "token_invalid",
        ),
    ],
)
async def test_who_is_refused(
    front: Fronts, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    node = await front()
    tokens = {
        "USER": connection_token("ann"),
        "BEN": connection_token("ben"),
        "OLD": connection_token("ann", lifetime=60, age=61),
        "ROOM": room_token("ann", "club.a"),
    }
    for name, value in headers.items():
        word = value.rpartition(" ")[2]
        headers = headers | {name: value.replace(word, tokens.get(word, word))}
    response = await ask(node.port, "GET", f"/roomline/rooms/{path}/events", headers=headers)
    body = json.loads(response.body)
    assert (response.status, body["code"], body["temporary"]) == (status, code, False)
    assert (response["WWW-Authenticate"] == "Bearer") == (status == 401)
    assert not any(token in body["reason"] for token in [*tokens.values(), "YW5uOnNlY3JldA=="])
    assert len(node.proxy.keeper) == 0
    assert node.asked == [], "the upstream is not asked"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (NEWS, {}),
        (NEWS, {"Authorization": "USER"}),
        (MEMBERS, {"Authorization": "USER"}),
        ("/roomline/rooms/user.ann/events", {"Authorization": "USER"}),
        (CLUB, {"Authorization": "GRANTED"}),
        (CLUB, {"Authorization": "USER", "Roomline_Room_Token": "ROOM"}),
    ],
)
async def test_who_is_let_in(front: Fronts, path: str, headers: dict[str, str]) -> None:
    node = await front()
    tokens = {
        "USER": bearer(connection_token("ann")),
        "GRANTED": bearer(connection_token("ann", read=("club.**",))),
        "ROOM": room_token("ann", "club.a"),
    }
    shown = {name: tokens[value] for name, value in headers.items()}
    room = path.split("/")[3]
    async with events(node, path, **shown) as stream:
        await node.held()
        await node.publish(1, room=room)
        assert await stream.data() == 1


async def test_without_a_token_only_where_anonymous_clients_are_welcome(front: Fronts) -> None:
    node = await front(anonymous=False)
    assert (await refused(node, NEWS))[0] == 401
    async with events(node, Authorization=bearer(connection_token("ann"))):
        await node.held()


@pytest.mark.parametrize("name", ["token", "access_token", "Authorization", "jwt", "_", "history"])
async def test_nothing_but_a_position_is_asked_for_in_the_address(front: Fronts, name: str) -> None:
    node = await front()
    token = connection_token("ann")
    status, body = await refused(node, f"{MEMBERS}?{name}={token}")
    assert (status, body["code"]) == (400, "bad_request")
    assert "Authorization: Bearer" in body["reason"]
    assert token not in body["reason"]


def test_every_refusal_of_the_rules_has_a_status() -> None:
    assert {error.code for error in STATUSES if error.temporary} == {"rate_limited"}
    assert {error.code for error in STATUSES} == {
        "bad_request", "room_invalid", "room_unknown", "room_token_required", "forbidden",
        "token_required", "token_invalid", "token_expired", "token_revoked",
        "rate_limited",
    }  # fmt: skip


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:PORT.evil.org"]
)
async def test_pages_from_elsewhere_are_refused(front: Fronts, origin: str) -> None:
    node = await front(origins=frozenset({"https://app.example"}))
    headers = {"Origin": origin.replace("PORT", str(node.port))}
    for method in ("GET", "HEAD", "OPTIONS", "POST"):
        response = await ask(node.port, method, NEWS, headers=headers)
        assert response.status == 403
        assert response["Access-Control-Allow-Origin"] is None
        assert response["Vary"] == "Origin"


async def test_pages_that_are_listed_may_read(front: Fronts) -> None:
    node = await front(origins=frozenset({"https://app.example"}))
    async with events(node, Origin="https://app.example") as stream:
        assert stream.response["Access-Control-Allow-Origin"] == "https://app.example"
    async with events(node, Origin=f"http://127.0.0.1:{node.port}"):
        await node.held()
    response = await ask(node.port, "GET", MEMBERS, headers={"Origin": "https://app.example"})
    assert response.status == 401
    assert response["Access-Control-Allow-Origin"] == "https://app.example", "to read why"
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    response = await ask(node.port, "OPTIONS", MEMBERS, headers=asked)
    assert response.status == 204
    assert response["Access-Control-Allow-Origin"] == "https://app.example"
    assert response["Access-Control-Allow-Methods"] == response["Allow"] == "GET, HEAD, OPTIONS"
    allowed = response["Access-Control-Allow-Headers"]
    assert allowed == "Authorization, Last-Event-ID, Roomline-Room-Token"


async def test_other_methods(front: Fronts) -> None:
    node = await front()
    async with connected(node.port) as client:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            response = await client.request(method, NEWS, b"{}" if method == "POST" else b"")
            body = json.loads(await client.body(response))
            assert (response.status, body["code"]) == (405, "method_not_allowed")
            assert response["Allow"] == "GET, HEAD, OPTIONS"
        response = await client.request("HEAD", NEWS)
        assert (response.status, response["Content-Type"]) == (200, "text/event-stream")
        # The connection is good for another one, so nothing came behind the head.
        response = await client.request("HEAD", MEMBERS)
        assert response.status == 401
        assert (await client.request("GET", NEWS)).status == 200
        await node.held()
    await node.ended("gone")


async def test_a_body_is_no_matter(front: Fronts) -> None:
    node = await front()
    async with connected(node.port) as client:
        headers = {"Content-Length": "4"}
        response = await client.request("GET", NEWS, b"body", headers=headers)
        assert response.status == 200


async def test_paths_beside_it(front: Fronts) -> None:
    node = await front()
    for path in ("/roomline/rooms/news.a", f"{NEWS}/", "/roomline/rooms/a/b/events"):
        await ask(node.port, "GET", path)
    assert len(node.asked) == 3, "they are the upstream's"
    assert len(node.proxy.keeper) == 0


# How it ends.


@pytest.mark.parametrize(
    ("revocation", "code"),
    [
        (UserRevoked("ann", 1), "rights_changed"),
        (RoomRevoked("club.a", 1), "rights_changed"),
        (RoomRevoked("club.a", 1, closed=True), "room_closed"),
    ],
    ids=["user", "rights", "closed"],
)
async def test_rights_that_are_revoked(front: Fronts, revocation: Revocation, code: str) -> None:
    node = await front()
    token = bearer(connection_token("ann", read=("club.**",)))
    ben = bearer(connection_token("ben", read=("club.**",)))
    async with (
        events(node, CLUB, Authorization=token) as stream,
        events(node, "/roomline/rooms/club.b/events", Authorization=ben) as other,
    ):
        await node.held(2)
        node.revoke(revocation)
        assert json.loads((await ended(stream))["data"])["code"] == code
        await node.publish(1, room="club.b")
        assert await other.data() == 1
    # Who comes back with the same token is refused, which ends a browser's attempts.
    status, body = await refused(node, CLUB, Authorization=token)
    assert (status, body["code"]) == (401, "token_revoked")


async def test_a_public_room_that_is_closed(front: Fronts) -> None:
    node = await front()
    async with events(node) as stream:
        await node.held()
        node.revoke(RoomRevoked("news.a", 1, closed=True))
        said = json.loads((await ended(stream))["data"])
        assert said == {"code": "room_closed", "reason": "the room was closed"}


async def test_what_was_revoked_while_it_waited(front: Fronts) -> None:
    """The node reads revocations after the request has come, and before it is let in."""
    node = await front(ready=False)
    token = bearer(connection_token("ann"))
    async with connected(node.port) as client:
        request = asyncio.create_task(
            client.request("GET", MEMBERS, headers={"Authorization": token})
        )
        await until(lambda: len(node.proxy.keeper) == 1)
        node.revoke(UserRevoked("ann", 1))
        await node.node.start()
        response = await request
        body = json.loads(await client.body(response))
        assert (response.status, body["code"]) == (401, "token_revoked")
    assert len(node.proxy.keeper) == len(node.node.guests) == 0


@pytest.mark.slow
@pytest.mark.parametrize("which", ["connection", "room"])
async def test_a_token_that_expires(front: Fronts, which: str) -> None:
    node = await front()
    ages = {"lifetime": 60, "age": 58.5}
    if which == "connection":
        headers = {"Authorization": bearer(connection_token("ann", read=("club.a",), **ages))}
    else:
        headers = {
            "Authorization": bearer(connection_token("ann")),
            "Roomline_Room_Token": room_token("ann", "club.a", **ages),
        }
    async with events(node, CLUB, **headers) as stream:
        said = json.loads((await ended(stream))["data"])
        assert said["code"] == "token_expired"
    assert (await refused(node, CLUB, **headers))[1]["code"] == "token_expired"


async def test_draining(front: Fronts) -> None:
    node = await front()
    async with events(node) as one, events(node) as two:
        await node.held(2)
        draining = asyncio.create_task(node.drain(1))
        for stream in (one, two):
            assert json.loads((await ended(stream))["data"])["code"] == "draining"
        await asyncio.wait_for(draining, 5)
    # Who comes all the same is told so, and not refused, which browsers would take for good.
    async with events(node) as late:
        assert json.loads((await ended(late))["data"])["code"] == "draining"


@pytest.mark.parametrize("since", ["hello", "a%0d%0aX-Evil:1%0d%0a%0d%0abody", "a%0aevent:%20x"])
async def test_what_is_no_position_is_not_repeated(front: Fronts, since: str) -> None:
    """While nobody can look it up, either."""
    node = await front(ready=False, waiting_seconds=0.3)
    await node.proxy.keeper.drain(0)
    async with connected(node.port) as client:
        answer = await client.request("GET", f"/roomline/rooms/news.a/events?since={since}")
        assert answer.status == 200
        assert not answer["Roomline-Position"]
        body = (await client.body(answer)).decode()
        assert "draining" in body
        assert not any(word in body for word in ("hello", "body", "event: x"))


async def test_draining_while_the_log_cannot_be_read(front: Fronts) -> None:
    node = await front(ready=False, waiting_seconds=0.3)
    keeper = node.proxy.keeper
    await keeper.drain(0)
    async with events(node) as late:
        assert json.loads((await ended(late))["data"])["code"] == "draining"
    assert node.node.counters.held == {"drained": 1}
    keeper.hold_again()
    assert (await refused(node, NEWS))[0] == 503


async def test_a_node_that_cannot_read_the_log(front: Fronts) -> None:
    node = await front(ready=False, waiting_seconds=0.3)
    status, body = await refused(node, NEWS)
    assert (status, body["code"]) == (503, "catching_up")


async def test_there_are_bounds(front: Fronts) -> None:
    node = await front(held=2, held_per_address=1)
    async with events(node):
        await node.held()
        status, body = await refused(node, NEWS)
        assert (status, body["code"]) == (429, "limit_reached")
        async with connected(node.port, source="127.0.0.2") as elsewhere:
            assert (await elsewhere.request("GET", NEWS)).status == 200
            await node.held(2)
            response = await ask(node.port, "GET", NEWS, source="127.0.0.3")
            assert (response.status, response["Retry-After"]) == (503, "1")
    await node.held(0)
    async with events(node):
        await node.held()


async def test_one_that_does_not_read_is_cut_off_and_holds_up_nobody(front: Fronts) -> None:
    node = await front(outbox=65_536, heartbeat_seconds=60)
    async with (
        events(node, receive_buffer=4096),
        events(node) as quick,
    ):
        await node.held(2)
        number = 0
        while not node.node.counters.held["slow"]:
            await node.publish(f"{number} {'x' * 60_000}", room="news.a")
            assert (await quick.data()).startswith(f"{number} ")
            number += 1
        assert len(node.node.guests) == 1

"""roomline.proxy.held and stream: answers that wait for a room, and answers that stream it."""

import asyncio
import json
from typing import Any

import pytest
from roomline.core.codes import Unsubscribed
from roomline.core.position import BEGINNING
from roomline.revocations import Revocation, RoomRevoked, UserRevoked

from tests.proxy.conftest import Asked, Fronts, holding
from tests.support.until import until
from tests.transport.clients import Connection, Response, connected

pytestmark = pytest.mark.timeout(30)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ELSEWHERE = "0.7.00000000000a"


async def answered(client: Connection) -> tuple[Response, dict[str, Any]]:
    """The next response, and its body as JSON."""
    response = await client.head()
    return response, json.loads(await client.body(response))


def data(body: dict[str, Any]) -> list[Any]:
    return [publication["data"] for publication in body["publications"]]


class TestHold:
    async def test_the_next_publication_ends_it(self, front: Fronts) -> None:
        node = await front(holding())
        async with connected(node.port) as client:
            client.writer.write(GET)
            await node.held()
            await node.publish("elsewhere", room="chat.b")
            await node.publish({"text": "hi"})
            response, body = await answered(client)
            assert response.status == 200
            assert response["Content-Type"] == "application/json"
            assert response["Set-Cookie"] is not None
            assert response["ETag"] is None
            assert response["Cache-Control"] == "no-store"
            assert response["Roomline-Hold"] is None
            assert response["Roomline-Position"] == body["position"]
            assert (body["room"], body["recovered"]) == ("chat.a", True)
            [publication] = body["publications"]
            assert publication["data"] == {"text": "hi"}
            assert publication["position"] == body["position"]
            # The connection is good for the next one.
            client.writer.write(GET)
            await node.held()
            await node.publish(2)
            assert data((await answered(client))[1]) == [2]
        assert node.node.counters.held == {"published": 2}

    async def test_both_cookies_of_django_arrive(self, front: Fronts) -> None:
        node = await front(holding(timeout=0))
        async with connected(node.port) as client:
            client.writer.write(GET)
            head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.count(b"Set-Cookie: ") == 2

    async def test_nobody_else_is_told(self, front: Fronts) -> None:
        node = await front(holding())
        async with connected(node.port) as one, connected(node.port) as two:
            for client in (one, two):
                client.writer.write(GET)
            await node.held(2)
            await node.publish(1)
            for client in (one, two):
                assert data((await answered(client))[1]) == [1]
        assert len(node.node.guests) == 0
        assert "chat.a" in node.node.rooms
        assert not node.node.rooms.room("chat.a").subscribers

    async def test_the_time_is_over(self, front: Fronts) -> None:
        node = await front(holding(timeout=0.2))
        await node.publish("before")
        async with connected(node.port) as client:
            client.writer.write(GET)
            response, body = await answered(client)
        assert response.status == 200
        assert body["publications"] == []
        assert body["position"] == node.node.position
        assert node.node.counters.held == {"timeout": 1}

    async def test_the_time_is_over_and_django_has_an_answer(self, front: Fronts) -> None:
        node = await front(holding(timeout=0.2, answer=True))
        async with connected(node.port) as client:
            client.writer.write(GET)
            response = await client.head()
            assert await client.body(response) == b"own"
        assert response["Content-Type"] == "text/plain"
        assert response["ETag"] == "own"
        assert response["Roomline-Position"] == node.node.position

    async def test_an_answer_of_django_is_not_used_when_there_is_a_publication(
        self, front: Fronts
    ) -> None:
        node = await front(holding(answer=True))
        async with connected(node.port) as client:
            client.writer.write(GET)
            await node.held()
            await node.publish(1)
            response, body = await answered(client)
        assert data(body) == [1]
        assert (response["Content-Type"], response["ETag"]) == ("application/json", None)

    async def test_what_came_since_is_answered_at_once(self, front: Fronts) -> None:
        node = await front(holding(since=str(BEGINNING)))
        await node.publish(1, 2, 3)
        async with connected(node.port) as client:
            client.writer.write(GET)
            _, body = await answered(client)
        assert data(body) == [1, 2, 3]
        assert body["position"] == node.node.position

    async def test_what_is_published_while_django_thinks_is_not_missed(self, front: Fronts) -> None:
        answer = holding()

        async def slow(asked: Asked) -> None:
            await node.publish("meanwhile")
            await answer(asked)

        node = await front(slow)
        async with connected(node.port) as client:
            client.writer.write(GET)
            assert data((await answered(client))[1]) == ["meanwhile"]

    async def test_one_after_another_miss_nothing_and_repeat_nothing(self, front: Fronts) -> None:
        positions: list[str | None] = [None]

        async def answer(asked: Asked) -> None:
            await holding(since=positions[-1])(asked)

        node = await front(answer)
        seen: list[int] = []
        async with connected(node.port) as client:

            async def publish() -> None:
                await node.held()
                for number in range(100):
                    await node.publish(number)

            task = asyncio.create_task(publish())
            while len(seen) < 100:
                client.writer.write(GET)
                _, body = await answered(client)
                positions.append(body["position"])
                seen += data(body)
            await task
        assert seen == list(range(100))

    async def test_what_is_too_much_for_one_answer_is_in_the_next(self, front: Fronts) -> None:
        positions: list[str] = [str(BEGINNING)]

        async def answer(asked: Asked) -> None:
            await holding(since=positions[-1])(asked)

        node = await front(answer, outbox=16_384)
        await node.publish(*("x" * 3000 + str(number) for number in range(10)))
        seen: list[str] = []
        answers = 0
        async with connected(node.port) as client:
            while len(seen) < 10:
                client.writer.write(GET)
                _, body = await answered(client)
                positions.append(body["position"])
                seen += data(body)
                answers += 1
        assert [text[3000:] for text in seen] == [str(number) for number in range(10)]
        assert answers > 3

    async def test_what_does_not_fit_is_not_passed_by_what_does(self, front: Fronts) -> None:
        node = await front(holding(), outbox=16_384)
        async with connected(node.port) as client:
            client.writer.write(GET)
            await node.held()
            await node.publish("a" * 10_000, "b" * 10_000, "c" * 100, together=True)
            _, body = await answered(client)
        assert [text[0] for text in data(body)] == ["a"]
        assert body["position"] == body["publications"][0]["position"]

    @pytest.mark.parametrize(
        ("since", "reason"),
        [("nonsense", "malformed"), ("0.1.00000000000a", "not_in_log"), ("", "malformed")],
    )
    async def test_a_position_that_is_none(self, front: Fronts, since: str, reason: str) -> None:
        node = await front(holding(since=since))
        await node.publish(1)
        async with connected(node.port) as client:
            client.writer.write(GET)
            response, body = await answered(client)
        assert response.status == 200
        assert (body["recovered"], body["reason"], body["publications"]) == (False, reason, [])
        assert body["position"] == node.node.position

    async def test_a_position_ahead_of_this_node_is_waited_for(self, front: Fronts) -> None:
        node = await front(holding(since=ELSEWHERE))
        async with connected(node.port) as client:
            client.writer.write(GET)
            await until(lambda: len(node.proxy.keeper) == 1)
            await asyncio.sleep(0.4)
            assert len(node.node.guests) == 0
            await node.publish(*range(9))
            _, body = await answered(client)
        # The entry is another one than the position names.
        assert body["reason"] == "not_in_log"

    async def test_a_position_that_stays_ahead_is_in_no_log(self, front: Fronts) -> None:
        node = await front(holding(since=ELSEWHERE), waiting_seconds=0.3)
        async with connected(node.port) as client:
            client.writer.write(GET)
            _, body = await answered(client)
        assert (body["recovered"], body["reason"]) == (False, "not_in_log")

    async def test_a_node_that_has_not_read_the_log_says_so_in_time(self, front: Fronts) -> None:
        node = await front(holding(since=None), ready=False, waiting_seconds=0.3)
        async with connected(node.port) as client:
            client.writer.write(GET)
            response = await client.head()
            assert (response.status, response["Retry-After"]) == (503, "1")
            body = json.loads(await client.body(response))
            assert (body["code"], body["temporary"]) == ("catching_up", True)

    async def test_a_node_that_reads_the_log_meanwhile_holds(self, front: Fronts) -> None:
        node = await front(holding(since=None), ready=False)
        async with connected(node.port) as client:
            client.writer.write(GET)
            await until(lambda: len(node.proxy.keeper) == 1)
            await node.node.start()
            await node.held()
            await node.publish(1)
            assert data((await answered(client))[1]) == [1]

    @pytest.mark.parametrize(
        "fields",
        [
            {"room": "nowhere.a"},
            {"room": "control.a"},
            {"room": "not a room"},
            {"room": 7},
            {"mode": "push"},
            {"timeout": 121},
            {"timeout": -1},
            {"timeout": "5"},
            {"timeout": True},
            {"since": 5},
            {"answer": 1},
            {"secret": 1},
        ],
    )
    async def test_what_cannot_be_held(self, front: Fronts, fields: dict[str, Any]) -> None:
        node = await front(holding(**fields))
        async with connected(node.port) as client:
            client.writer.write(GET)
            assert (await client.head()).status == 502
        assert len(node.proxy.keeper) == 0

    async def test_two_holds_are_none(self, front: Fronts) -> None:
        async def answer(asked: Asked) -> None:
            hold = 'Roomline-Hold: {"mode":"hold","room":"chat.a","timeout":1}'
            asked.reply(b"", hold, hold)

        node = await front(answer)
        async with connected(node.port) as client:
            client.writer.write(GET)
            assert (await client.head()).status == 502

    async def test_an_answer_of_django_that_is_too_long(self, front: Fronts) -> None:
        async def answer(asked: Asked) -> None:
            hold = {"mode": "hold", "room": "chat.a", "timeout": 1, "answer": True}
            asked.reply(b"x" * 65_537, f"Roomline-Hold: {json.dumps(hold)}")

        node = await front(answer)
        async with connected(node.port) as client:
            client.writer.write(GET)
            assert (await client.head()).status == 502

    async def test_head_is_not_held(self, front: Fronts) -> None:
        async def answer(asked: Asked) -> None:
            hold = 'Roomline-Hold: {"mode":"hold","room":"chat.a","timeout":25}'
            asked.send(f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{hold}\r\n\r\n".encode())

        node = await front(answer)
        async with connected(node.port) as client:
            response = await client.request("HEAD", "/")
        assert (response.status, response["Roomline-Hold"]) == (200, None)

    async def test_a_client_that_goes_leaves_the_room(self, front: Fronts) -> None:
        node = await front(holding())
        async with connected(node.port) as client:
            client.writer.write(GET)
            await node.held()
        await node.ended("gone")
        assert len(node.proxy.keeper) == len(node.node.guests) == 0

    async def test_a_client_that_has_not_sent_its_body_yet_leaves_too(self, front: Fronts) -> None:
        answer = holding()

        async def early(asked: Asked) -> None:
            await answer(asked)

        node = await front(early)
        async with connected(node.port) as client:
            client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nsome")
            await node.held()
        await node.ended("gone")

    async def test_old_clients(self, front: Fronts) -> None:
        node = await front(holding())
        async with connected(node.port) as client:
            client.writer.write(b"GET / HTTP/1.0\r\n\r\n")
            await node.held()
            await node.publish(1)
            assert data((await answered(client))[1]) == [1]
            assert await client.closed()

    async def test_the_log_is_another_one(self, front: Fronts) -> None:
        node = await front(holding())
        async with connected(node.port) as client:
            client.writer.write(GET)
            await node.held()
            node.node.log_reset("a test")
            _, body = await answered(client)
        assert (body["recovered"], body["reason"]) == (False, Unsubscribed.LOG_RESET.code)
        assert body["position"] is None

    async def test_there_is_a_bound(self, front: Fronts) -> None:
        node = await front(holding(), held=2)
        async with (
            connected(node.port) as one,
            connected(node.port) as two,
            connected(node.port) as three,
        ):
            for number, client in enumerate((one, two), 1):
                client.writer.write(GET)
                await node.held(number)
            three.writer.write(GET)
            response, body = await answered(three)
            assert (response.status, body["code"]) == (503, "limit_reached")
            await node.publish(1)
            for client in (one, two):
                await answered(client)
            three.writer.write(GET)
            await node.held()

    async def test_there_is_a_bound_for_one_address(self, front: Fronts) -> None:
        node = await front(holding(), held_per_address=1)
        async with (
            connected(node.port) as one,
            connected(node.port) as two,
            connected(node.port, source="127.0.0.2") as elsewhere,
        ):
            one.writer.write(GET)
            await node.held()
            two.writer.write(GET)
            assert (await answered(two))[0].status == 429
            elsewhere.writer.write(GET)
            await node.held(2)

    async def test_draining_ends_them(self, front: Fronts) -> None:
        node = await front(holding())
        async with connected(node.port) as one, connected(node.port) as late:
            one.writer.write(GET)
            await node.held()
            draining = asyncio.create_task(node.drain(10))
            _, body = await answered(one)
            assert (body["publications"], body["position"]) == ([], node.node.position)
            await asyncio.wait_for(draining, 5)
            late.writer.write(GET)
            _, body = await answered(late)
            assert body["publications"] == []
        assert node.node.counters.held == {"drained": 2}

    async def test_many_are_served_in_turns(self, front: Fronts) -> None:
        node = await front(holding(), requests=300, requests_per_address=300)
        count = 250
        clients = [await Connection.open(node.port) for _ in range(count)]
        for client in clients:
            client.writer.write(GET)
        await node.held(count)
        tasks = len(asyncio.all_tasks())
        await node.publish("all")
        for client in clients:
            assert data((await answered(client))[1]) == ["all"]
            client.writer.close()
        assert node.node.counters.held == {"published": count}
        # Only Tornado's own, one for each connection, and those of the scripted upstream.
        assert tasks <= 2 * count + 10


class Events:
    """A client of a stream of server-sent events."""

    def __init__(self, client: Connection) -> None:
        self.client = client
        self._buffer = ""

    async def open(self, last: str | None = None) -> Response:
        headers = {"Last-Event-ID": last} if last else {}
        return await self.client.request("GET", "/", headers=headers)

    async def next(self) -> dict[str, str]:
        """The fields of the next block."""
        while "\n\n" not in self._buffer:
            self._buffer += (await self.client.chunk()).decode() or "the end\n\n"
        block, _, self._buffer = self._buffer.partition("\n\n")
        return dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)


@pytest.mark.parametrize(
    "revocation", [RoomRevoked("chat.a", 1), UserRevoked("7", 1)], ids=["room", "user"]
)
async def test_rights_that_are_revoked_while_it_catches_up(
    front: Fronts, revocation: Revocation
) -> None:
    since = holding(user="7", mode="sse", since=str(BEGINNING))
    node = await front(since, outbox=16_384)
    await node.publish(*("x" * 6_000 for _ in range(20)))
    async with connected(node.port) as client:
        response = await Events(client).open()
        assert len(node.node.guests) == 0
        node.node.guests.revoke(
            ["7"] if isinstance(revocation, UserRevoked) else [],
            {} if isinstance(revocation, UserRevoked) else {"chat.a": False},
        )
        assert node.node.counters.held == {"ended": 1}
        await node.publish("afterwards")
        assert b"afterwards" not in await client.body(response)


@pytest.mark.parametrize(
    "revocation",
    [RoomRevoked("chat.a", 1), RoomRevoked("chat.a", 1, closed=True), UserRevoked("7", 1)],
    ids=["rights changed", "room closed", "user revoked"],
)
async def test_rights_that_are_revoked_end_it(front: Fronts, revocation: Revocation) -> None:
    for_user = holding(user="7")
    streamed = holding(user="7", mode="sse")

    async def answer(asked: Asked) -> None:
        await (streamed if "/events" in asked.line else for_user)(asked)

    node = await front(answer)
    others = (
        RoomRevoked("chat.b", 1) if isinstance(revocation, RoomRevoked) else UserRevoked("8", 1)
    )
    async with connected(node.port) as one, connected(node.port) as two:
        one.writer.write(GET)
        response = await two.request("GET", "/events")
        await node.held(2)
        node.revoke(others)
        await until(lambda: node.node.control.read == 1)
        assert len(node.node.guests) == 2
        node.revoke(revocation)
        _, body = await answered(one)
        assert (body["recovered"], body["publications"]) == (True, [])
        assert body["position"] == node.node.position
        assert b"event: subscribed" in await two.body(response)
    assert node.node.counters.held == {"ended": 2}


class TestStream:
    async def test_events(self, front: Fronts) -> None:
        node = await front(holding(mode="sse"))
        async with connected(node.port) as client:
            events = Events(client)
            response = await events.open()
            assert response.status == 200
            assert response["Content-Type"] == "text/event-stream"
            assert response["X-Accel-Buffering"] == "no"
            assert response["Content-Length"] is None
            first = await events.next()
            assert first["event"] == "subscribed"
            assert json.loads(first["data"])["recovered"] is True
            assert first["id"] == json.loads(first["data"])["position"] == node.node.position
            await node.publish("one")
            event = await events.next()
            assert json.loads(event["data"])["data"] == "one"
            assert event["id"] == json.loads(event["data"])["position"]
            await node.publish("two", "three")
            assert [json.loads((await events.next())["data"])["data"] for _ in range(2)] == [
                "two",
                "three",
            ]
        await node.ended("gone")
        assert len(node.node.guests) == 0

    async def test_lines(self, front: Fronts) -> None:
        node = await front(holding(mode="json-lines"))
        async with connected(node.port) as client:
            response = await client.request("GET", "/")
            assert response["Content-Type"] == "application/x-ndjson"
            first = json.loads(await client.chunk())
            assert (first["type"], first["room"], first["recovered"]) == (
                "subscribed",
                "chat.a",
                True,
            )
            await node.publish({"text": "one\ntwo \u2028"})
            line = await client.chunk()
            assert line.count(b"\n") == 1
            assert json.loads(line)["data"] == {"text": "one\ntwo \u2028"}

    async def test_it_goes_on_where_it_was(self, front: Fronts) -> None:
        last: list[str] = []

        async def answer(asked: Asked) -> None:
            named = asked.get("Last-Event-ID")
            await holding(mode="sse", **({"since": named[0]} if named else {}))(asked)

        node = await front(answer)
        async with connected(node.port) as client:
            events = Events(client)
            await events.open()
            await events.next()
            await node.publish(1)
            last.append((await events.next())["id"])
        await node.publish(2, 3)
        async with connected(node.port) as client:
            events = Events(client)
            await events.open(last[0])
            opening = await events.next()
            assert opening["id"] == last[0]
            assert json.loads(opening["data"])["recovered"] is True
            assert [json.loads((await events.next())["data"])["data"] for _ in range(2)] == [2, 3]

    async def test_a_position_that_is_none(self, front: Fronts) -> None:
        node = await front(holding(mode="sse", since="nonsense"))
        await node.publish(1)
        async with connected(node.port) as client:
            events = Events(client)
            await events.open()
            said = json.loads((await events.next())["data"])
            assert (said["recovered"], said["reason"]) == (False, "malformed")
            await node.publish(2)
            assert json.loads((await events.next())["data"])["data"] == 2

    async def test_the_beat_moves_the_position_on(self, front: Fronts) -> None:
        node = await front(holding(mode="sse"), heartbeat_seconds=0.3)
        async with connected(node.port) as client:
            events = Events(client)
            await events.open()
            await events.next()
            await node.publish("elsewhere", room="chat.b")
            beat = await events.next()
            assert beat == {"id": node.node.position}

    async def test_the_beat_of_lines(self, front: Fronts) -> None:
        node = await front(holding(mode="json-lines"), heartbeat_seconds=0.3)
        async with connected(node.port) as client:
            await client.request("GET", "/")
            await client.chunk()
            beat = json.loads(await client.chunk())
        assert beat == {"type": "position", "position": node.node.position}

    async def test_the_time_is_over(self, front: Fronts) -> None:
        node = await front(holding(mode="sse", timeout=0.3))
        async with connected(node.port) as client:
            response = await Events(client).open()
            assert (await client.body(response)).startswith(b"retry: 1000\n")
            # The connection is good for another request.
            assert (await Events(client).open()).status == 200

    async def test_old_clients(self, front: Fronts) -> None:
        node = await front(holding(mode="json-lines", timeout=0.5))
        async with connected(node.port) as client:
            response = await client.request(
                "GET", "/", version="1.0", headers={"Connection": "keep-alive"}
            )
            assert response["Connection"] != "Keep-Alive"
            await node.held()
            await node.publish(1)
            first, second = (await client.reader.read()).splitlines()
        assert json.loads(second)["data"] == 1
        assert json.loads(first)["type"] == "subscribed"

    async def test_the_log_is_another_one(self, front: Fronts) -> None:
        node = await front(holding(mode="sse"))
        async with connected(node.port) as client:
            response = await Events(client).open()
            node.node.log_reset("a test")
            await client.body(response)
        assert node.node.counters.held == {"ended": 1}

    async def test_draining_ends_it(self, front: Fronts) -> None:
        node = await front(holding(mode="sse"))
        async with connected(node.port) as client:
            response = await Events(client).open()
            await asyncio.wait_for(node.drain(10), 5)
            await client.body(response)
        assert node.node.counters.held == {"drained": 1}

    async def test_a_page_that_is_too_long_comes_in_parts(self, front: Fronts) -> None:
        node = await front(holding(mode="sse", since=str(BEGINNING)), outbox=16_384)
        await node.publish(*("x" * 3000 + str(number) for number in range(10)))
        async with connected(node.port) as client:
            events = Events(client)
            await events.open()
            assert (await events.next())["id"] == str(BEGINNING)
            seen = [json.loads((await events.next())["data"])["data"][3000:] for _ in range(10)]
            assert seen == [str(number) for number in range(10)]
            await node.held()
            await node.publish("live")
            assert json.loads((await events.next())["data"])["data"] == "live"

    async def test_what_is_lost_between_two_pages_is_not_passed_over(self, front: Fronts) -> None:
        node = await front(holding(mode="sse", since=str(BEGINNING)), outbox=16_384)
        await node.publish(*("x" * 6_000 for _ in range(20)))
        async with connected(node.port) as client:
            response = await Events(client).open()
            # Out of the history before the stream has come there.
            await node.publish(*range(40), together=True)
            with pytest.raises(asyncio.IncompleteReadError):
                await client.body(response)
        assert node.node.counters.held == {"unrecovered": 1}

    async def test_a_client_that_reads_too_slowly_is_cut_off(self, front: Fronts) -> None:
        node = await front(holding(mode="sse"), outbox=65_536, heartbeat_seconds=60)
        async with connected(node.port, receive_buffer=4096) as client:
            await Events(client).open()
            while not node.node.counters.held["slow"]:
                await node.publish("x" * 60_000)
            assert await client.closed()
        assert len(node.proxy.keeper) == len(node.node.guests) == 0

    async def test_a_client_that_reads_nothing_for_two_beats_is_let_go(self, front: Fronts) -> None:
        node = await front(holding(mode="sse"), outbox=100 << 20, heartbeat_seconds=0.3)
        async with connected(node.port, receive_buffer=4096) as client:
            await Events(client).open()
            for _ in range(100):
                await node.publish("x" * 60_000)
            ended = node.node.counters.held
            # The kernel may be quicker.
            await until(lambda: ended["slow"] + ended["gone"] == 1)

    async def test_a_slow_one_does_not_hold_up_the_others(self, front: Fronts) -> None:
        node = await front(holding(mode="sse"), outbox=65_536, heartbeat_seconds=60)
        async with (
            connected(node.port, receive_buffer=4096) as slow,
            connected(node.port) as quick,
        ):
            await Events(slow).open()
            events = Events(quick)
            await events.open()
            await events.next()
            number = 0
            while not node.node.counters.held["slow"]:
                await node.publish(f"{number} {'x' * 60_000}")
                event = await asyncio.wait_for(events.next(), 10)
                assert json.loads(event["data"])["data"].startswith(f"{number} ")
                number += 1
            assert len(node.node.guests) == 1


async def test_an_answer_that_is_not_read_is_not_kept(front: Fronts) -> None:
    node = await front(holding(since=str(BEGINNING)), outbox=32 << 20, heartbeat_seconds=0.3)
    await node.publish(*("x" * 65_000 for _ in range(20)))
    async with connected(node.port, receive_buffer=4096) as client:
        # Together more than the kernel takes.
        client.writer.write(20 * GET)
        await until(lambda: node.server._connections)
        await until(lambda: not node.server._connections)
    assert len(node.asked) < 20

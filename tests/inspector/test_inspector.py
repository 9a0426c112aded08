"""roomline.inspector: who may look, what they see, and what they can do, by HTTP."""

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from roomline.broker import PublishRejected
from roomline.brokers.embedded import EmbeddedBroker, control_log
from roomline.core.limits import NodeLimits
from roomline.core.policy import Namespace, Policy, Rule
from roomline.http import INTERNAL_LIMITS, internal_application
from roomline.httpserver import GatewayServer
from roomline.inspector import OtherNode, Subject, routes
from roomline.inspector.following import DATA_SHOWN, KEPT
from roomline.inspector.handlers import LOOKERS
from roomline.node import Node
from roomline.wire import Envelope
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.netutil import bind_sockets

from tests.support.until import until

ANN = "ann-looks-with-a-token-of-some-length"
BOB = "bob-looks-with-a-token-of-some-length"
ROOM = "chat.lobby"
PUBLIC = Namespace(Rule.PUBLIC, Rule.PUBLIC, 500, 3600)


class Link:
    """A client that reads only if it is told to."""

    transport = "xhr-polling"
    address = "127.0.0.1"

    def __init__(self, node: Node) -> None:
        self.closed: tuple[int, str] | None = None
        self.peer = node.open(self)

    def flush(self) -> None:
        """It reads later."""

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self.peer.gone()

    def say(self, **command: Any) -> None:
        self.peer.receive(json.dumps(command))

    def connect(self, **more: Any) -> None:
        client = secrets.token_hex(16)
        self.say(id=1, type="connect", version=1, client=client, **more)

    @property
    def id(self) -> str:
        return self.peer.session.id


class Looker:
    """A node with its internal port, and somebody who looks at it."""

    def __init__(self, url: str, node: Node) -> None:
        self.url = url
        self.node = node
        self._client = AsyncHTTPClient(force_instance=True, defaults={"request_timeout": 30})

    async def ask(
        self, path: str, body: Any = None, *, token: str | None = ANN, method: str = ""
    ) -> HTTPResponse:
        """GET, or with a body POST."""
        return await self._client.fetch(
            self.url + path,
            method=method or ("GET" if body is None else "POST"),
            body=None if body is None else json.dumps(body),
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            raise_error=False,
            allow_nonstandard_methods=True,
        )

    async def state(self) -> dict[str, Any]:
        answer = await self.ask("/inspect/state")
        assert answer.code == 200
        return json.loads(answer.body)

    @asynccontextmanager
    async def stream(self, query: str = "") -> AsyncIterator["asyncio.Queue[dict[str, Any]]"]:
        """What comes over a stream, as it comes; the connection ends with the block."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 22)
        # Of HTTP/1.0, so that the events are not cut into chunks.
        head = f"GET /inspect/stream{query} HTTP/1.0\r\nAuthorization: Bearer {ANN}\r\n\r\n"
        writer.write(head.encode())
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def read() -> None:
            await reader.readuntil(b"\r\n\r\n")
            with contextlib.suppress(asyncio.IncompleteReadError):
                while event := await reader.readuntil(b"\n\n"):
                    events.put_nowait(json.loads(event.removeprefix(b"data: ")))

        reading = asyncio.ensure_future(read())
        try:
            yield events
        finally:
            reading.cancel()
            writer.close()

    def close(self) -> None:
        self._client.close()


Serve = Callable[..., Looker]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    served: list[tuple[Looker, GatewayServer]] = []

    async def serve(
        *,
        data: bool = False,
        tokens: bool = True,
        broker_class: type[EmbeddedBroker] = EmbeddedBroker,
    ) -> Looker:
        namespaces = {"chat": PUBLIC}
        policy = Policy(namespaces, None, anonymous=True)
        path = tmp_path / "log.sqlite3"
        node = Node(
            broker_class(path, namespaces),
            policy,
            NodeLimits(),
            control=control_log(path),
            name="node-1",
        )
        subject = Subject(
            node,
            policy,
            {"ann": ANN, "bob": BOB} if tokens else {},
            data,
            broker="embedded",
            others=lambda: [OtherNode("node-2", "open", 1000)],
        )
        server = GatewayServer(
            internal_application(node, policy, (), more=routes(subject)), **INTERNAL_LIMITS
        )
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        looker = Looker(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", node)
        served.append((looker, server))
        await node.start()
        await until(lambda: node.ready)
        return looker

    yield serve
    for looker, server in served:
        looker.close()
        await looker.node.close()
        server.stop()
        await server.close_all_connections()


async def followed(events: "asyncio.Queue[dict[str, Any]]") -> dict[str, Any]:
    """The next event that tells of publications."""
    async with asyncio.timeout(20):
        while not (told := (await events.get())["followed"])["publications"]:
            pass
    return told


PATHS = [
    ("/inspect/state", None),
    ("/inspect/stream", None),
    ("/inspect/stream?room=chat.lobby", None),
    ("/inspect/sessions/x/disconnect", {}),
    ("/inspect/rooms/chat.lobby/notice", {"text": "x"}),
]


@pytest.mark.parametrize(("path", "body"), PATHS)
async def test_nobody_looks_without_a_token(serve: Serve, path: str, body: Any) -> None:
    looker = await serve()
    for token in (None, "", ANN + "x", ANN[:-1]):
        answer = await looker.ask(path, body, token=token)
        assert (answer.code, json.loads(answer.body)["code"]) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert looker.node.counters.publishes == {}


@pytest.mark.parametrize(("path", "body"), [*PATHS, ("/inspect", None)])
async def test_it_is_off_until_there_is_a_token(serve: Serve, path: str, body: Any) -> None:
    looker = await serve(tokens=False)
    answer = await looker.ask(path, body)
    assert (answer.code, json.loads(answer.body)["code"]) == (403, "inspector_off")


async def test_a_token_in_an_address_lets_nobody_in(serve: Serve) -> None:
    looker = await serve()
    answer = await looker.ask(f"/inspect/state?token={ANN}", token=None)
    assert answer.code == 401


async def test_the_page_runs_nothing_but_its_own_files(serve: Serve) -> None:
    looker = await serve()
    page = await looker.ask("/inspect", token=None)
    assert page.headers["Content-Type"] == "text/html; charset=UTF-8"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    for name in ("inspector.js", "inspector.css"):
        assert f"/inspect/{name}".encode() in page.body
        assert (await looker.ask(f"/inspect/{name}", token=None)).code == 200


async def test_how_the_node_stands(serve: Serve) -> None:
    looker = await serve()
    quiet, talking = Link(looker.node), Link(looker.node)
    tried = [{"transport": "websocket", "reason": "unopened", "ms": 1200}]
    quiet.connect(transport={"tried": tried, "ms": 2000})
    talking.connect()
    talking.say(id=2, type="subscribe", room=ROOM)
    for place in range(6):
        talking.say(id=3 + place, type="publish", room=ROOM, data="x" * 1000)
    await until(lambda: looker.node.counters.entries == 6)
    state = await looker.state()
    assert state["node"]["name"] == "node-1"
    assert state["node"]["status"] == "ready"
    assert state["nodes"] == [{"name": "node-2", "state": "open", "since": 1000}]
    assert state["broker"]["sort"] == "embedded"
    assert state["broker"]["behind"] == {"rooms": 0, "control": 0}
    assert state["broker"]["publishes"] == {"confirmed": 6}
    assert state["transports"] == {"xhr-polling": 2}
    assert state["fallbacks"] == [{"transport": "websocket", "reason": "unopened", "count": 1}]
    assert state["sessions"]["count"] == 2
    first, second = state["sessions"]["shown"]
    assert (first["session"], second["session"]) == (talking.id, quiet.id)
    assert first["outbox"] > 6000
    assert first["outbox"] == talking.peer.outbox.size
    assert second["tried"] == [{"transport": "websocket", "reason": "unopened", "seconds": 1.2}]
    [room] = state["rooms"]["shown"]
    assert (room["room"], room["subscribers"], room["rate"], room["held"]) == (ROOM, 1, 0.1, 6)
    assert b"xxx" not in (await looker.ask("/inspect/state")).body


class Refusing(EmbeddedBroker):
    """Takes nothing."""

    def publish(self, envelope: Envelope) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(PublishRejected("not this one"))
        return future


async def test_what_was_refused_of_late(serve: Serve) -> None:
    looker = await serve(broker_class=Refusing)
    client = Link(looker.node)
    client.connect()
    client.say(id=2, type="subscribe", room="nowhere.x")
    client.say(id=3, type="publish", room=ROOM, data="a secret of somebody's")
    answer = await looker.ask(f"/inspect/rooms/{ROOM}/notice", {"text": "a secret of ours"})
    assert (answer.code, json.loads(answer.body)["code"]) == (422, "rejected")
    client.peer.receive("no JSON, and a secret")
    state = await looker.state()
    told = [(each["code"], each["room"], each["session"]) for each in state["incidents"]]
    assert sorted(told, key=str) == sorted(
        [
            ("bad_request", None, client.id),
            ("rejected", ROOM, None),
            ("rejected", ROOM, client.id),
            ("room_unknown", "nowhere.x", client.id),
        ],
        key=str,
    )
    assert "secret" not in json.dumps(state)
    for _ in range(1000):
        client.say(id=4, type="unsubscribe", room=ROOM)
    assert len(looker.node.incidents.latest(10**6)) == 200


@pytest.mark.parametrize("data", [False, True])
async def test_a_room_is_followed(
    serve: Serve, data: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="roomline.inspector")
    looker = await serve(data=data)
    async with looker.stream(f"?room={ROOM}") as events:
        await events.get()
        await until(lambda: len(looker.node.guests) == 1)
        body = json.dumps("é" * DATA_SHOWN, ensure_ascii=False).encode()
        await looker.node.publish(Envelope(room=ROOM, body=body, kind="system"))
        told = await followed(events)
        [publication] = told["publications"]
        assert (publication["room"], publication["kind"]) == (ROOM, "system")
        assert publication["bytes"] == len(body)
        assert publication["position"] == looker.node.position
        assert publication["time"].endswith("Z")
        assert ("data" in publication) == data
        if data:
            assert publication["data"] == '"' + "é" * (DATA_SHOWN - 1)
        else:
            assert "é" not in json.dumps(told, ensure_ascii=False)
        for _ in range(KEPT + 7):
            looker.node.publish(Envelope(room=ROOM, body=b"1"))
        await until(lambda: looker.node.counters.entries == KEPT + 8)
        shown = missed = 0
        while shown + missed < KEPT + 7:
            told = await followed(events)
            assert len(told["publications"]) <= KEPT
            shown, missed = shown + len(told["publications"]), missed + told["missed"]
        assert shown + missed == KEPT + 7
    # Nothing is left behind by whoever looks away.
    await until(lambda: len(looker.node.guests) == 0)
    [record] = [r for r in caplog.records if r.name.startswith("roomline.inspector")]
    contents = "with" if data else "without"
    assert record.getMessage() == f"inspector ann follows the room, {contents} data"
    assert record.__dict__["room"] == ROOM


async def test_a_session_is_followed_from_room_to_room(serve: Serve) -> None:
    looker = await serve()
    client = Link(looker.node)
    client.connect()
    client.say(id=2, type="subscribe", room="chat.a")
    async with looker.stream(f"?session={client.id}") as events:
        await until(lambda: len(looker.node.guests) == 1)
        await looker.node.publish(Envelope(room="chat.a", body=b"1"))
        told = await followed(events)
        assert [each["room"] for each in told["publications"]] == ["chat.a"]
        assert told["session"]["session"] == client.id
        client.say(id=3, type="subscribe", room="chat.b")
        client.say(id=4, type="unsubscribe", room="chat.a")
        await until(lambda: _has_guest(looker.node, "chat.b"))
        await looker.node.publish(Envelope(room="chat.a", body=b"2"))
        await looker.node.publish(Envelope(room="chat.b", body=b"3"))
        told = await followed(events)
        assert [each["room"] for each in told["publications"]] == ["chat.b"]
        client.close(3000, "goes")
        async with asyncio.timeout(20):
            while (await events.get())["followed"]["session"] is not None:
                pass
        await until(lambda: len(looker.node.guests) == 0)


def _has_guest(node: Node, room: str) -> bool:
    return any(getattr(one, "room", None) == room for one in node.rooms.room(room).subscribers)


async def test_it_goes_on_when_the_log_was_replaced(serve: Serve) -> None:
    looker = await serve()
    async with looker.stream(f"?room={ROOM}") as events:
        await until(lambda: len(looker.node.guests) == 1)
        looker.node.log_reset("it is another one")
        assert len(looker.node.guests) == 0
        async with asyncio.timeout(20):
            while not (told := (await events.get())["followed"])["obstacle"]:
                pass
        assert "still reading" in told["obstacle"]
        looker.node.caught_up()
        await until(lambda: len(looker.node.guests) == 1)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?room=nowhere.x", 404, "room_unknown"),
        ("?room=chat..x", 400, "room_invalid"),
        ("?room=control.users", 403, "forbidden"),
        ("?session=nobody", 404, "not_found"),
        ("?session=nobody&room=chat.x", 400, "bad_request"),
    ],
)
async def test_what_cannot_be_followed(serve: Serve, query: str, status: int, code: str) -> None:
    looker = await serve()
    answer = await looker.ask(f"/inspect/stream{query}")
    assert (answer.code, json.loads(answer.body)["code"]) == (status, code)


async def test_so_many_look_on_and_no_more(serve: Serve) -> None:
    looker = await serve()
    streams = [looker.stream() for _ in range(LOOKERS)]
    for stream in streams:
        events = await stream.__aenter__()
        async with asyncio.timeout(20):
            await events.get()
    answer = await looker.ask("/inspect/stream")
    assert (answer.code, json.loads(answer.body)["code"]) == (503, "too_many")
    for stream in streams:
        await stream.__aexit__(None, None, None)
    # They are gone, and so there is room again.
    async with asyncio.timeout(20):
        while True:
            async with looker.stream() as events:
                with contextlib.suppress(TimeoutError):
                    assert "node" in await asyncio.wait_for(events.get(), 1)
                    return


async def test_a_session_is_disconnected(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="roomline.inspector")
    looker = await serve()
    client, other = Link(looker.node), Link(looker.node)
    client.connect()
    other.connect()
    answer = await looker.ask(f"/inspect/sessions/{client.id}/disconnect", {}, token=BOB)
    assert answer.code == 200
    assert client.closed == (3503, "removed")
    assert other.closed is None
    assert looker.node.counters.disconnects == {3503: 1}
    [record] = [r for r in caplog.records if r.name.startswith("roomline.inspector")]
    assert record.getMessage() == "inspector bob ends the session"
    assert record.__dict__["session"] == client.id
    again = await looker.ask(f"/inspect/sessions/{client.id}/disconnect", {})
    assert (again.code, json.loads(again.body)["code"]) == (404, "not_found")
    [incident] = (await looker.state())["incidents"]
    assert (incident["code"], incident["session"]) == ("3503 removed", client.id)


async def test_a_notice_is_a_publication_in_the_holders_name(serve: Serve) -> None:
    looker = await serve()
    notice = {"text": "back in five minutes", "key": "k1"}
    for _ in range(2):
        answer = await looker.ask(f"/inspect/rooms/{ROOM}/notice", notice, token=BOB)
        assert answer.code == 201
    await until(lambda: looker.node.counters.entries == 2)
    [text] = looker.node.history(ROOM, 10)[1]
    publication = json.loads(text)
    assert publication["data"] == {"text": "back in five minutes"}
    assert publication["kind"] == "admin"
    assert publication["sender"] == {"id": "bob", "name": "bob"}


@pytest.mark.parametrize(
    ("room", "body", "status"),
    [
        (ROOM, {}, 400),
        (ROOM, {"text": ""}, 400),
        (ROOM, {"text": "x" * 2001}, 400),
        (ROOM, {"text": "x", "kind": "message"}, 400),
        (ROOM, [], 400),
        ("control.rooms", {"text": "x"}, 403),
        ("nowhere.x", {"text": "x"}, 404),
    ],
)
async def test_notices_that_are_none(serve: Serve, room: str, body: Any, status: int) -> None:
    looker = await serve()
    answer = await looker.ask(f"/inspect/rooms/{room}/notice", body)
    assert answer.code == status
    assert looker.node.counters.publishes == {}


async def test_nothing_is_computed_while_nobody_looks(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    looker = await serve()
    looks: list[object] = []
    monkeypatch.setattr(
        "roomline.inspector.handlers.snapshot", lambda subject: looks.append(subject) or {}
    )
    async with looker.stream() as events:
        async with asyncio.timeout(20):
            await events.get()
            await events.get()
    await asyncio.sleep(1.2)  # a look that was under way ends
    before = len(looks)
    await asyncio.sleep(1.2)
    assert len(looks) == before >= 2

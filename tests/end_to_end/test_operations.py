"""What enters beside the clients' way, by AMQP and HTTP, and what operators see."""

import asyncio
import json
from typing import Any

import pika
import pika.exceptions
import pytest
from roomline.client import Client, Publication
from roomline.client.session import publications_of

from tests.end_to_end.conftest import Gateways, pair
from tests.support.gateway import Gateway
from tests.support.rabbitmq import RabbitMQNode
from tests.support.talk import Talk
from tests.support.tokens import API_TOKEN, connection_token
from tests.support.until import until

pytestmark = pytest.mark.timeout(60)

ROOM = "chat.lobby"
PATH = f"/api/rooms/{ROOM}/publications"


class Operator:
    """Somebody who publishes into the exchange by hand."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._open()

    def _open(self) -> None:
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()

    def publish(self, body: bytes, *, room: str = ROOM, **properties: Any) -> None:
        self._channel.basic_publish(
            "rooms", room, body, pika.BasicProperties(**properties), mandatory=True
        )

    def refused(self, body: bytes, *, room: str = ROOM, **properties: Any) -> None:
        """Publish what the broker itself must refuse."""
        with pytest.raises(pika.exceptions.AMQPError):
            self.publish(body, room=room, **properties)
        if not self._channel.is_open:
            self._open()

    def close(self) -> None:
        self._connection.close()


async def test_any_amqp_message_is_a_publication(
    amqp: str, rabbitmq: RabbitMQNode, gateways: Gateways
) -> None:
    """Binary, invalid JSON, no properties, forged headers: nothing breaks, nothing is believed."""
    node = gateways(amqp)
    operator = Operator(amqp)
    cases: list[tuple[bytes, Any, dict[str, Any]]] = [
        (b'{"text": "by hand"}', {"text": "by hand"}, {}),
        (b"going down at 5", "going down at 5", {}),
        (b"", "", {}),
        (b"{broken", "{broken", {}),
        (b"NaN", "NaN", {}),
        (b"[1, 2, Infinity]", "[1, 2, Infinity]", {}),
        (b"\xff\x00\xfe", {"base64": "/wD+"}, {}),
        (b'"\\ud800 lone"', "\ufffd lone", {}),
        (b"1" * 5000, "1" * 5000, {}),  # a number that nobody can hold
        (b"[" * 30_000, "[" * 30_000, {}),
        ("é\u2028</script>".encode(), "é\u2028</script>", {}),
        (b"0", 0, {"headers": {"sender-id": "ann", "sender-name": "Ann", "key": "k"}}),
        (b"0", 0, {"type": "admin", "headers": {"sender-id": "root"}}),
        (b"0", 0, {"type": "x" * 200, "message_id": "", "app_id": "roomline"}),
        (b"0", 0, {"headers": {"sender-id": 7, "key": {"a": 1}, "timestamp_in_ms": "soon"}}),
        (b"0", 0, {"headers": {"timestamp_in_ms": 2**62}, "timestamp": 2**63 - 1}),
        (b"0", 0, {"headers": {"x-stream-offset": 12345, "CC": ["chat.other"]}}),
        (b"0", 0, {"content_type": "application/json", "content_encoding": "gzip"}),
        (b"0", 0, {"headers": {"traceparent": "x" * 1000}, "priority": 200, "expiration": "1000"}),
    ]
    async with Talk.to(node.url) as talk:
        head = (await talk.subscribe(ROOM)).head
        for body, data, properties in cases:
            operator.publish(body, **properties)
            publication = await talk.publication()
            assert publication.data == data, body[:40]
            assert publication.room == ROOM
            assert publication.origin == "operations"
            assert publication.sender is None
            assert publication.kind in ("message", "system")
            assert publication.previous == head
            head = publication.position
        last = await talk.subscribe(ROOM, history=len(cases))
        assert len(publications_of(last)) == len(cases)
        assert node.running
    operator.close()


async def test_only_the_brokers_word_counts(
    amqp: str, rabbitmq: RabbitMQNode, gateways: Gateways
) -> None:
    """`user_id` is what RabbitMQ itself vouches for: kind and sender hang on it."""
    vhost = amqp.rpartition("/")[2]
    for name in ("django", "console"):
        rabbitmq.add_user(name, name)
        rabbitmq.allow(name, vhost=vhost)
    node = gateways(amqp, PUBLISHERS="django")
    django = Operator(rabbitmq.url("django", "django", vhost))
    console = Operator(rabbitmq.url("console", "console", vhost))
    said = {"type": "admin", "headers": {"sender-id": "7", "sender-name": "Ann"}}
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        django.publish(b"1", user_id="django", timestamp=1_700_000_000, **said)
        publication = await talk.publication()
        assert publication.kind == "admin"
        assert publication.sender is not None
        assert (publication.sender.id, publication.sender.name) == ("7", "Ann")
        assert publication.origin is None
        assert publication.time == "2023-11-14T22:13:20.000Z"
        for operator, properties in ((django, {}), (console, {"user_id": "console"})):
            operator.publish(b"2", **properties, **said)
            publication = await talk.publication()
            assert (publication.kind, publication.sender) == ("message", None)
            assert (publication.origin, publication.time) == ("operations", None)
        console.refused(b"3", user_id="django", **said)
        await talk.silence()
    django.close()
    console.close()


async def test_what_the_exchange_does_not_route_is_returned(amqp: str, gateways: Gateways) -> None:
    node = gateways(amqp)
    operator = Operator(amqp)
    for room in ("nowhere.room", "", "CHAT.lobby"):
        operator.refused(b"lost?", room=room)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        # Routed, but no room's name: read past, and nobody is told.
        for room in ("chat.", "chat..x", "chat.a b", "chat." + "y" * 230):
            operator.publish(b"no room", room=room)
        operator.publish(b'"after"')
        assert (await talk.publication(within=15)).data == "after"
        assert node.get("/readyz").status == 200
    operator.close()


async def test_two_nodes_and_two_publishers_see_one_order(broker: str, gateways: Gateways) -> None:
    nodes = pair(gateways, broker)
    async with (
        Talk.to(nodes[0].url) as here,
        Talk.to(nodes[1].url, "xhr-streaming") as there,
        Client(nodes[0].url) as first,
        Client(nodes[1].url) as second,
    ):
        for talk in (here, there):
            await talk.subscribe(ROOM)

        async def publish(client: Client, name: str) -> None:
            for number in range(150):
                await client.publish(ROOM, [name, number])

        await asyncio.gather(publish(first, "a"), publish(first, "b"), publish(second, "c"))
        seen = [await talk.publications(450, within=20) for talk in (here, there)]
        assert seen[0] == seen[1]
        for name in "abc":  # what one publisher confirmed before the next stands before it
            assert [p.data[1] for p in seen[0] if p.data[0] == name] == list(range(150))


@pytest.fixture
def node(embedded: str, gateways: Gateways) -> Gateway:
    return gateways(embedded)


async def test_publishing_and_reading_by_http(broker: str, gateways: Gateways) -> None:
    node = gateways(broker)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        body = {
            "data": {"n": 1},
            "kind": "system",
            "key": "k",
            "sender": {"id": "7", "name": "Ann"},
        }
        for _ in range(2):  # repeated, and published once
            answer = await asyncio.to_thread(node.get, PATH, token=API_TOKEN, body=body)
            assert (answer.status, answer.json) == (201, {"room": ROOM})
        publication = await talk.publication()
        assert (publication.data, publication.kind) == ({"n": 1}, "system")
        assert publication.sender is not None
        assert publication.sender.name == "Ann"
        await talk.silence()
        for number in range(2, 5):
            await talk.publish(ROOM, {"n": number})
        pushes = [publication, *await talk.publications(3)]
        held = node.get(f"{PATH}?limit=3", token=API_TOKEN).json
        assert [p["position"] for p in held["publications"]] == [p.position for p in pushes[1:]]
        assert held["position"]
        # A position is a position, whoever gave it.
        assert (await talk.subscribe(ROOM, since=held["position"])).recovered is True


@pytest.mark.parametrize(
    ("path", "token", "body", "status", "code"),
    [
        (PATH, None, None, 401, "unauthorized"),
        (PATH, "wrong", None, 401, "unauthorized"),
        (PATH, connection_token(), {"data": 1}, 401, "unauthorized"),
        (PATH, API_TOKEN, {"kind": "message"}, 400, "bad_request"),
        (PATH, API_TOKEN, {"data": 1, "kind": "admin"}, 400, "bad_request"),
        (PATH, API_TOKEN, {"data": 1, "unknown": 1}, 400, "bad_request"),
        (PATH, API_TOKEN, {"data": 1, "sender": {"id": "a b"}}, 400, "bad_request"),
        (PATH, API_TOKEN, b"not JSON", 400, "bad_request"),
        (PATH, API_TOKEN, {"data": "x" * 70_000}, 413, "too_large"),
        (f"{PATH}?limit=-1", API_TOKEN, None, 400, "bad_request"),
        (f"{PATH}?limit=all", API_TOKEN, None, 400, "bad_request"),
        ("/api/rooms/chat..x/publications", API_TOKEN, None, 400, "room_invalid"),
        ("/api/rooms/nowhere.x/publications", API_TOKEN, {"data": 1}, 404, "room_unknown"),
        ("/api/rooms/control.order/publications", API_TOKEN, {"data": 1}, 403, "forbidden"),
        ("/api/rooms/control.order/publications", API_TOKEN, None, 403, "forbidden"),
    ],
)
async def test_bad_http_requests_are_named(
    node: Gateway, path: str, token: str | None, body: Any, status: int, code: str
) -> None:
    answer = node.get(path, token=token, body=body)
    assert (answer.status, answer.json["code"]) == (status, code), answer
    assert answer.json["reason"]
    assert node.get("/healthz").status == 200


async def test_the_api_is_not_on_the_clients_port(node: Gateway) -> None:
    node.internal = node.url.removesuffix("/roomline")
    for path in (PATH, "/metrics", "/readyz", "/healthz"):
        assert node.get(path, token=API_TOKEN).status == 404


async def test_a_node_is_not_ready_before_it_could_read(
    amqp: str, rabbitmq: RabbitMQNode, gateways: Gateways
) -> None:
    await asyncio.to_thread(rabbitmq.kill)
    node = gateways(amqp, ready=False)
    assert node.get("/healthz").status == 200
    assert node.get("/readyz").status == 503
    async with Talk.to(node.url, connect=False) as talk:
        refused = await talk.refused_any("connect", version=1, client="c" * 32)
        assert refused.temporary
    await asyncio.to_thread(rabbitmq.start)
    await until(lambda: node.get("/readyz").status == 200, within=20)
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        await talk.publish(ROOM, 1, within=10)
        assert (await talk.publication()).data == 1


async def test_metrics_tell_what_happened(node: Gateway) -> None:
    async with Talk.to(node.url) as talk, Talk.to(node.url, "xhr-polling"):
        await talk.subscribe(ROOM)
        for number in range(5):
            await talk.publish(ROOM, number)
        pushes: list[Publication] = await talk.publications(5)
        await talk.subscribe(ROOM, since=pushes[2].position)
        await talk.refused("room_invalid", "subscribe", room="..")
        metrics = node.get("/metrics")
        assert metrics.status == 200
        assert node.metric("roomline_ready") == 1
        assert node.metric("roomline_sessions") == 2
        assert node.metric("roomline_sessions", transport="xhr-polling") == 1
        assert node.metric("roomline_log_entries_total") == 5
        assert node.metric("roomline_pushes_total") == 5
        assert node.metric("roomline_publishes_total") == 5
        assert node.metric("roomline_errors_total", code="room_invalid") == 1
        assert node.metric("roomline_recoveries_total") == 1
        assert node.metric("roomline_commands_total", type="publish") == 5
    await until(lambda: node.metric("roomline_sessions") == 0)


async def test_nothing_of_a_stranger_reaches_the_log_raw(node: Gateway) -> None:
    """Control characters in what a client sends cannot forge lines of the gateway's log."""
    async with Talk.to(node.url, connect=False) as talk:
        for text in ("x\nERROR forged line", "\x1b[31mred"):
            await talk.refused("token_invalid", "connect", version=1, token=text)
            await talk.refused_any("subscribe", room=text)
            await talk.connection.send_text(text)
        await talk.connect(client="c" * 32)
        await talk.refused("room_invalid", "subscribe", room="x\nERROR forged line")
    assert "\nERROR forged line" not in node.log
    assert "\x1b" not in node.log


async def test_a_log_line_is_json_when_asked(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded, LOG_FORMAT="json")
    assert await asyncio.to_thread(node.terminate) == 0
    lines = [line for line in node.log.splitlines() if not line.startswith("roomline: ")]
    assert lines
    assert all(isinstance(json.loads(line), dict) for line in lines)

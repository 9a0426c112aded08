"""Input that is wrong, too long or too much: each has its error, and nothing else happens."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from roomline.client import TRANSPORTS, Connection, ConnectionClosed, Transport, open_connection
from roomline.client.session import publications_of
from tornado.httpclient import AsyncHTTPClient

from tests.end_to_end.conftest import Gateways
from tests.support.gateway import Gateway
from tests.support.proxy import Proxy
from tests.support.raw_websocket import RawWebSocket
from tests.support.talk import Talk
from tests.support.tokens import connection_token

pytestmark = pytest.mark.timeout(40)

ROOM = "chat.lobby"
CLIENT = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all tests that are content with the defaults: none may break it."""
    gateway = Gateway(f"embedded:{tmp_path_factory.mktemp('protocol')}/log.sqlite3")
    gateway.start()
    yield gateway
    alive = gateway.running
    gateway.close()
    assert alive


async def answer(connection: Connection, text: str) -> dict[str, Any]:
    """The next message after sending `text` as it is."""
    await connection.send_text(text)
    message: dict[str, Any] = json.loads(await asyncio.wait_for(connection.receive(), 5))
    return message


async def still_works(talk: Talk) -> None:
    await talk.subscribe(ROOM)
    await talk.publish(ROOM, "after all that")
    assert (await talk.publication()).data == "after all that"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_malformed_messages_are_answered(node: Gateway, transport: Transport) -> None:
    async with Talk.to(node.url, transport) as talk:
        for text in (
            "not JSON",
            "",
            "[]",
            "null",
            '{"type":"ping"}',
            '{"type":"ping","id":-1}',
            '{"type":"ping","id":1.5}',
            '{"type":"ping","id":9007199254740993}',
        ):
            seen = len(talk.unmatched)
            await talk.connection.send_text(text)
            await talk.ping()
            [error] = talk.unmatched[seen:]
            assert (error.code, error.id, error.temporary) == ("bad_request", None, False)
            assert error.reason
        for text in ('{"type":"dance","id":1}', '{"type":["ping"],"id":1}', '{"id":1}'):
            seen = len(talk.unmatched)
            await talk.connection.send_text(text)
            await talk.ping()
            [error] = talk.unmatched[seen:]
            assert (error.code, error.id, error.temporary) == ("unknown_command", 1, False)
        await still_works(talk)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("subscribe", {}),
        ("subscribe", {"room": 7}),
        ("subscribe", {"room": None}),
        ("subscribe", {"room": ROOM, "since": 12}),
        ("subscribe", {"room": ROOM, "since": "9" * 65}),
        ("subscribe", {"room": ROOM, "history": -1}),
        ("subscribe", {"room": ROOM, "history": "20"}),
        ("subscribe", {"room": ROOM, "history": 10**6}),
        ("subscribe", {"room": ROOM, "token": ""}),
        ("publish", {"room": ROOM}),
        ("publish", {"data": 1}),
        ("publish", {"room": ROOM, "data": 1, "key": ""}),
        ("publish", {"room": ROOM, "data": 1, "key": "k" * 129}),
        ("publish", {"room": ROOM, "data": 1, "key": 1}),
        ("unsubscribe", {"room": []}),
        ("history", {"room": ROOM, "limit": "all"}),
        ("refresh", {}),
        ("refresh", {"token": 1}),
        ("refresh", {"token": "t" * 8193}),
    ],
)
async def test_wrong_types_are_named(node: Gateway, kind: str, fields: dict[str, Any]) -> None:
    async with Talk.to(node.url) as talk:
        refused = await talk.refused("bad_request", kind, **fields)
        assert refused.reason.startswith(kind)
        assert not refused.temporary
        await still_works(talk)


@pytest.mark.parametrize(
    "room",
    ["", ".", "chat", "chat.", ".chat", "chat..lobby", "chat lobby", "chat.#", "chat.*", "chat.é",
     "chat.lobby\n", "chat/lobby", "x" * 201, "chat." + "y" * 196],
)  # fmt: skip
async def test_bad_rooms_are_refused(node: Gateway, room: str) -> None:
    async with Talk.to(node.url) as talk:
        if room == "chat":  # one word is a room's name as well
            await talk.subscribe(room)
            return
        for kind, fields in (("subscribe", {}), ("publish", {"data": 1}), ("history", {})):
            refused = await talk.refused("room_invalid", kind, room=room, **fields)
            assert not refused.temporary
        await still_works(talk)


async def test_rooms_of_no_namespace_are_unknown(node: Gateway) -> None:
    async with Talk.to(node.url) as talk:
        for room in ("nowhere.at-all", "control.order", "control"):
            for kind, fields in (("subscribe", {}), ("publish", {"data": 1}), ("history", {})):
                refused = await talk.refused_any(kind, room=room, **fields)
                assert refused.code in ("room_unknown", "forbidden")
        await still_works(talk)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_over_long_message_ends_the_session(node: Gateway, transport: Transport) -> None:
    async with Talk.to(node.url, transport) as talk:
        limit = talk.connected.limits.message_bytes
        head = '{"id":77,"type":"publish","room":"chat.lobby","data":"'
        fits = head + "x" * (limit - len(head) - 2) + '"}'
        await talk.subscribe(ROOM)
        await talk.connection.send_text(fits)
        assert len((await talk.publication()).data) == limit - len(head) - 2
        with suppress(ConnectionClosed):  # HTTP transports hear of it twice
            await talk.connection.send_text(fits + " ")
        closed = await talk.closed()
        assert (closed.code, closed.reason) == (3501, "message too long")
        assert closed.final


async def test_data_that_grows_beyond_the_brokers_limit_is_too_large(
    embedded: str, gateways: Gateways
) -> None:
    """The message is within its limit, what would be stored of it is not."""
    node = gateways(embedded, MESSAGE_BYTES="200000")
    async with Talk.to(node.url) as talk:
        refused = await talk.refused("too_large", "publish", room=ROOM, data="x" * 70_000)
        assert "65536" in refused.reason
        await still_works(talk)


async def test_odd_data_comes_back_as_it_was(node: Gateway) -> None:
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        for data in (
            None, True, 0, -1.5, 1e300, "", [], {}, "\u0000\u001f\u2028\u2029\ufeff", "😀é",
            "</script><!--", {"type": "publication", "position": "x", "id": 7}, [[[[]]]],
            2**63, "a" * 30_000,
        ):  # fmt: skip
            await talk.publish(ROOM, data)
            publication = await talk.publication()
            assert publication.data == data
            assert type(publication.data) is type(data)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_unpaired_surrogates_become_replacement_characters(
    node: Gateway, transport: Transport
) -> None:
    async with Talk.to(node.url, transport) as talk:
        await talk.subscribe(ROOM)
        await talk.connection.send_text(
            '{"id":70,"type":"publish","room":"chat.lobby","data":"a\\ud800b\\udfffc\\ud83d\\ude00"}'
        )
        assert (await talk.publication()).data == "a\ufffdb\ufffdc😀"
        await still_works(talk)


async def test_deep_nesting_is_refused(node: Gateway) -> None:
    async with Talk.to(node.url) as talk:
        nested = "[" * 20_000 + "]" * 20_000
        await talk.connection.send_text(
            '{"id":70,"type":"publish","room":"chat.lobby","data":' + nested + "}"
        )
        await still_works(talk)
        assert node.running


@settings(
    max_examples=15,
    derandomize=True,
)
@given(
    st.lists(st.text(max_size=200) | st.from_regex(r'\{"id":\d,"type":"[a-z]+".*\}'), max_size=5)
)
def test_noise_is_answered_or_closed(node: Gateway, texts: list[str]) -> None:
    async def talk() -> None:
        connection = await open_connection(node.url)
        for text in texts:
            message = await answer(connection, text)
            assert message["type"] == "error"
        await connection.close()

    asyncio.run(talk())
    assert node.get("/healthz").status == 200


async def test_the_first_command_is_connect_and_comes_once(node: Gateway) -> None:
    async with Talk.to(node.url, connect=False) as talk:
        for kind, fields in (
            ("subscribe", {"room": ROOM}),
            ("publish", {"room": ROOM, "data": 1}),
            ("history", {"room": ROOM}),
            ("unsubscribe", {"room": ROOM}),
            ("refresh", {"token": "t"}),
            ("ping", {}),
            ("presence", {"room": ROOM}),
        ):
            await talk.refused("not_connected", kind, **fields)
        await talk.refused("bad_version", "connect", version=2, client=CLIENT)
        await talk.refused("bad_request", "connect", version=1, client="short")
        await talk.refused("bad_request", "connect", version="1", client=CLIENT)
        connected = await talk.connect(client=CLIENT)
        assert (connected.version, connected.user, connected.expires_in) == (1, None, None)
        assert connected.session
        # Who knows a SockJS session id can inject: what others may see is another one.
        assert connected.session not in talk.connection.url
        await talk.refused("already_connected", "connect", version=1, client=CLIENT)
        await still_works(talk)


async def test_what_was_not_subscribed_cannot_be_left(node: Gateway) -> None:
    async with Talk.to(node.url) as talk:
        await talk.refused("not_subscribed", "unsubscribe", room=ROOM)
        await talk.subscribe(ROOM)
        await talk.unsubscribe(ROOM)
        await talk.refused("not_subscribed", "unsubscribe", room=ROOM)
        await talk.publish(ROOM, "unheard")
        await talk.silence()


async def test_presence_is_not_offered(node: Gateway) -> None:
    async with Talk.to(node.url) as talk:
        await talk.refused("unsupported", "presence", room=ROOM)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_who_does_not_connect_in_time_is_disconnected(
    embedded: str, gateways: Gateways, transport: Transport
) -> None:
    node = gateways(embedded, CONNECT_TIMEOUT="1")
    async with (
        Talk.to(node.url, transport, connect=False) as idle,
        Talk.to(node.url, transport) as talk,
    ):
        closed = await idle.closed(within=5)
        assert (closed.code, closed.reason) == (3003, "connect timeout")
        assert not closed.final
        await asyncio.sleep(0.5)
        await still_works(talk)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_flood_is_slowed_down_and_then_ended(
    embedded: str, gateways: Gateways, transport: Transport
) -> None:
    node = gateways(embedded, COMMANDS_PER_SECOND="10", COMMANDS_BURST="20")
    async with Talk.to(node.url) as other, Talk.to(node.url, transport) as talk:
        await other.subscribe(ROOM)
        outcomes = await asyncio.gather(*[talk.ping() for _ in range(40)], return_exceptions=True)
        limited = [o for o in outcomes if isinstance(o, Exception)]
        assert {getattr(error, "code", None) for error in limited} == {"rate_limited"}
        assert all(getattr(error, "temporary", False) for error in limited)
        assert 10 <= len(limited) <= 30
        await asyncio.sleep(1)
        await talk.ping()  # who slows down is welcome

        async def flood() -> None:
            for _ in range(200):
                await talk.connection.send_text(*['{"id":1,"type":"ping"}'] * 50)

        await asyncio.gather(flood(), return_exceptions=True)
        closed = await talk.closed(within=10)
        assert (closed.code, closed.reason) == (3502, "flood")
        assert closed.final
        await other.publish(ROOM, "undisturbed")
        assert (await other.publication()).data == "undisturbed"


async def test_too_many_publications_are_limited(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded, PUBLICATIONS_PER_SECOND="5", PUBLICATIONS_BURST="10")
    async with Talk.to(node.url) as talk:
        await talk.subscribe(ROOM)
        outcomes = await asyncio.gather(
            *[talk.publish(ROOM, n) for n in range(30)], return_exceptions=True
        )
        refused = [o for o in outcomes if isinstance(o, Exception)]
        assert 15 <= len(refused) <= 20
        assert {getattr(error, "code", None) for error in refused} == {"rate_limited"}
        told = await talk.publications(30 - len(refused))
        assert [p.data for p in told] == list(range(len(told)))
        await talk.silence()  # what was refused was not published
        await talk.ping()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_repeated_nonsense_ends_the_session(node: Gateway, transport: Transport) -> None:
    async with Talk.to(node.url, transport) as talk:

        async def nonsense() -> None:
            for _ in range(1000):
                await talk.connection.send_text("nonsense")

        await asyncio.gather(nonsense(), return_exceptions=True)
        closed = await talk.closed(within=10)
        assert (closed.code, closed.reason) == (3500, "bad protocol")


async def test_subscriptions_are_counted(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded, SUBSCRIPTIONS="5")
    async with Talk.to(node.url) as talk:
        limits, automatic = talk.connected.limits, talk.connected.rooms
        assert (limits.subscriptions, len(automatic)) == (5, 1)  # automatic ones are counted
        for number in range(4):
            await talk.subscribe(f"chat.{number}")
        refused = await talk.refused("limit_reached", "subscribe", room="chat.4")
        assert not refused.temporary
        await talk.subscribe("chat.3")  # it is one of the five
        await talk.unsubscribe("chat.0")
        await talk.subscribe("chat.4")


async def test_new_rooms_are_rationed(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded, NEW_ROOMS_PER_MINUTE="1", NEW_ROOMS_BURST="3")
    async with (
        Talk.to(node.url, token=connection_token("ann")) as ann,
        Talk.to(node.url, token=connection_token("bob")) as bob,
        Talk.to(node.url) as anonymous,
        Talk.to(node.url) as the_same,
    ):
        for talk, again in ((ann, ann), (anonymous, the_same)):
            for number in range(3):
                await talk.publish(f"chat.{talk.connected.session}-{number}", 1)
            # Who is anonymous makes up a new identity as often as they like: it does not help.
            refused = await again.refused_any("publish", room="chat.one-more", data=1)
            assert refused.code in ("limit_reached", "rate_limited")
            await again.publish(f"chat.{talk.connected.session}-1", 2)
        await bob.publish("chat.one-more", 1)  # every user has a ration of their own


async def test_sessions_of_one_address_are_counted(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded, SESSIONS_PER_ADDRESS="3")
    async with Talk.to(node.url), Talk.to(node.url, "xhr-polling"):
        async with Talk.to(node.url, "eventsource"):
            for transport in TRANSPORTS:
                with pytest.raises(Exception, match=r"429|503|refus|sessions|closed"):
                    await open_connection(node.url, transport, within=3)
        await asyncio.sleep(0.2)
        async with Talk.to(node.url) as talk:
            await still_works(talk)


async def test_pages_of_other_origins_are_refused(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded, ORIGINS="https://chat.example")
    own = node.url.removesuffix("/roomline")
    for origin, welcome in (
        ("https://chat.example", True),
        (own, True),
        ("https://chat.example.evil", False),
        ("http://chat.example", False),
        ("https://evil.example", False),
        ("null", False),
    ):
        for transport in TRANSPORTS:
            headers = {"Origin": origin}
            if welcome:
                connection = await open_connection(node.url, transport, headers=headers)
                await connection.close()
            else:
                with pytest.raises(Exception, match="403"):
                    await open_connection(node.url, transport, headers=headers, within=3)
        info = await AsyncHTTPClient().fetch(
            f"{node.url}/info", headers={"Origin": origin}, raise_error=False
        )
        allowed = info.headers.get("Access-Control-Allow-Origin")
        assert (allowed == origin) is welcome


async def test_broken_framing_ends_only_its_connection(node: Gateway) -> None:
    async with Talk.to(node.url) as other:
        for payload, opcode in (
            (b"{", 1),
            (b"\xff\xfe", 1),
            (b'["x"', 1),
            (b'{"a":1}', 1),
            (b"[1,2]", 1),
            (b"\x00\x01", 2),
        ):
            with RawWebSocket.to(node.url) as websocket:
                websocket.send_frame(payload, opcode)
                frames = await asyncio.to_thread(lambda ws=websocket: list(ws.frames()))
                assert len(frames) <= 2  # the open frame, perhaps a close frame, then the end
        await still_works(other)


async def test_drip_fed_requests_do_not_hold_others_up(node: Gateway) -> None:
    url = urlsplit(node.url)
    held = [socket.create_connection((url.hostname, url.port)) for _ in range(50)]
    try:
        for number, connection in enumerate(held):
            connection.sendall(
                b"POST /roomline/000/abcdefgh/xhr_send HTTP/1.1\r\n"
                b"Host: x\r\nContent-Length: 100\r\n\r\n["
                if number % 2
                else b"GET /roomline/info HT"
            )
        async with Talk.to(node.url) as talk:
            await still_works(talk)
    finally:
        for connection in held:
            connection.close()


async def test_a_drip_feeding_line_delivers(node: Gateway) -> None:
    async with Proxy.to(node.url) as proxy:
        proxy.drip, proxy.latency = 100, 0.001
        for transport in TRANSPORTS:
            async with Talk.to(proxy.address(node.url), transport) as talk:
                await talk.tell(ROOM, *range(10))
                history = publications_of(await talk.history(ROOM, limit=10))
                assert [p.data for p in history] == list(range(10))

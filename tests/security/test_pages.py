"""What a page of somebody else's can make a browser do, and what a session's id is worth to whoever
has it."""

import asyncio
import itertools
import json
from typing import Any, NamedTuple

import pytest

from tests.security.conftest import LISTED
from tests.support.gateway import Gateway
from tests.support.raw_http import Said, answer, head
from tests.support.talk import Talk
from tests.support.tokens import connection_token
from tests.transport.clients import Refused, ask, handshake, poll, post, websocket
from tests.transport.servers import PREFIX, serving

pytestmark = pytest.mark.timeout(60)

_ids = itertools.count()


def session() -> str:
    return f"/roomline/000/page{next(_ids)}"


class Door(NamedTuple):
    """One way in: a method, a path below a session or the prefix, and what it needs."""

    method: str
    path: str
    lines: tuple[str, ...] = ()


_UPGRADE = tuple(f"{name}: {value}" for name, value in handshake().items())
DOORS = {
    "websocket": Door("GET", "SESSION/websocket", _UPGRADE),
    "websocket without a handshake": Door("GET", "SESSION/websocket"),
    "xhr": Door("POST", "SESSION/xhr"),
    "xhr_send": Door("POST", "SESSION/xhr_send"),
    "xhr_streaming": Door("POST", "SESSION/xhr_streaming"),
    "eventsource": Door("GET", "SESSION/eventsource"),
    "jsonp": Door("GET", "SESSION/jsonp?c=a"),
    "jsonp_send": Door("POST", "SESSION/jsonp_send"),
    "htmlfile": Door("GET", "SESSION/htmlfile?c=a"),
    "events": Door("GET", "/roomline/rooms/chat.a/events"),
    "info": Door("GET", "/roomline/info"),
    "preflight of xhr": Door("OPTIONS", "SESSION/xhr"),
    "preflight of xhr_send": Door("OPTIONS", "SESSION/xhr_send"),
    "preflight of info": Door("OPTIONS", "/roomline/info"),
    "preflight of events": Door("OPTIONS", "/roomline/rooms/chat.a/events"),
    "head of events": Door("HEAD", "/roomline/rooms/chat.a/events"),
}


def knock(port: int, name: str, *lines: str) -> Said:
    door = DOORS[name]
    path = door.path.replace("SESSION", session())
    body = "Content-Length: 0"
    own = f"127.0.0.1:{port}"
    said = answer(port, head(door.method, path, *door.lines, *lines, body, host=own))
    assert said is not None
    return said


def foreign(port: int) -> list[str]:
    """Origins that look like the listed one, or like the node's own, and are not."""
    return [
        "https://evil.example",
        "null",
        "NULL",
        "*",
        "",
        # Like the listed one: prefix, suffix, user, port, scheme, dot, letters.
        "https://page.example.evil.example",
        "https://evil-page.example",
        "https://evilpage.example",
        "https://page.example@evil.example",
        "https://user@page.example",
        "https://page.example:443.evil.example",
        "https://page.example:8443",
        "http://page.example",
        "wss://page.example",
        "//page.example",
        "page.example",
        "https://page.example.",
        "https://page.example/",
        "https://page.example/path",
        "https://page.example https://evil.example",
        "https://evil.example, https://page.example",
        "https://p\xe0ge.example",
        "https://xn--pge-2na.example",
        "https://page%2eexample",
        "https://sub.page.example",
        "https://page.exampl",
        # Like its own.
        f"https://127.0.0.1:{port}",
        f"http://127.0.0.1:{port}1",
        "http://127.0.0.1",
        f"http://localhost:{port}",
        f"http://127.1:{port}",
        f"http://2130706433:{port}",
        f"http://127.0.0.1:{port}@evil.example",
        f"http://127.0.0.1.:{port}",
    ]


@pytest.mark.parametrize("name", DOORS)
def test_foreign_pages_are_turned_away(port: int, name: str) -> None:
    """And may not even read that they are."""
    for origin in foreign(port):
        said = knock(port, name, f"Origin: {origin}")
        assert said.status == 403, origin
        assert not [each for each in said.headers if each.startswith("access-control-")], origin
        assert "Origin" in said.headers["vary"], origin


@pytest.mark.parametrize("name", DOORS)
def test_listed_pages_and_its_own_are_let_in(port: int, name: str) -> None:
    for origin in (LISTED, LISTED.upper(), f"http://127.0.0.1:{port}"):
        said = knock(port, name, f"Origin: {origin}")
        assert said.status in (101, 200, 204, 400, 404), origin
        if "websocket" in name:
            continue  # which no browser asks CORS about
        assert said.headers["access-control-allow-origin"] == origin
        assert said.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in said.headers["vary"]


@pytest.mark.parametrize("name", DOORS)
def test_the_earlier_name_of_the_header_counts_as_well(port: int, name: str) -> None:
    if name.startswith(("websocket", "xhr")):
        said = knock(port, name, "Sec-WebSocket-Origin: https://evil.example")
        assert said.status == 403
    # Two of them are one that is nobody's.
    said = knock(port, name, f"Origin: {LISTED}", "Origin: https://evil.example")
    assert said.status == 403


@pytest.mark.parametrize("name", ["jsonp", "jsonp_send", "htmlfile"])
def test_scripts_for_pages_that_look_like_listed_ones(port: int, name: str) -> None:
    """A script's request has no origin: the address of the page speaks."""
    for origin in foreign(port):
        if origin in ("https://page.example/", "https://page.example/path"):
            continue  # addresses of pages that are listed
        said = knock(port, name, f"Referer: {origin}/page.html".replace("\xe0", "%E0"))
        assert said.status == 403, origin
        assert said.headers["vary"] == "Origin, Referer"
    assert knock(port, name).status == 403
    assert knock(port, name, f"Referer: {LISTED}/page.html").status in (200, 404)


@pytest.mark.parametrize("name", DOORS)
def test_what_a_page_says_of_forwarding_makes_nothing_its_own(port: int, name: str) -> None:
    lines = ["Origin: https://evil.example", "X-Forwarded-Host: evil.example"]
    lines += ["X-Forwarded-Proto: https", "Forwarded: host=evil.example;proto=https"]
    assert knock(port, name, *lines).status == 403


async def test_raw_websockets_ask_the_same(port: int) -> None:
    """The gateway offers none; where an endpoint does, it is no way around."""
    said = answer(port, head("GET", "/roomline/websocket", *_UPGRADE))
    assert said is not None
    assert said.status == 404
    async with serving("ours", raw_websocket=True, allowed_origins=frozenset({LISTED})) as server:
        for origin in foreign(server.port):
            with pytest.raises(Refused) as refused:
                async with websocket(
                    server.port, f"{PREFIX}/websocket", {"Origin": _ascii(origin)}
                ):
                    pass
            assert refused.value.response.status == 403, origin
        async with websocket(server.port, f"{PREFIX}/websocket", {"Origin": LISTED}):
            pass


def _ascii(text: str) -> str:
    return text.encode("ascii", "ignore").decode()


async def test_a_star_never_comes_with_credentials() -> None:
    """Nor with the name of the page."""
    paths = {"info": "GET", "000/a/xhr": "POST", "000/b/eventsource": "GET"}
    async with serving("ours", allowed_origins=frozenset({"*"})) as server:
        for path, method in (paths | {"000/c/xhr": "OPTIONS"}).items():
            request = head(method, f"{PREFIX}/{path}", "Origin: https://any.example")
            said = await asyncio.to_thread(answer, server.port, request)
            assert said is not None
            assert said.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in said.headers
            assert "Origin" in said.headers["vary"]


def test_who_may_embed_the_iframe_page(port: int) -> None:
    """From inside it, a page around it would speak as the node's own."""
    said = answer(port, head("GET", "/roomline/iframe.html", "Origin: https://evil.example"))
    assert said is not None
    assert said.headers["content-security-policy"] == f"frame-ancestors 'self' {LISTED}"
    assert "access-control-allow-origin" not in said.headers


# Session ids.


async def test_whoever_knows_an_id_has_the_session_and_no_other_user(port: int) -> None:
    """The id is the secret that holds an HTTP session together, as a cookie's would be. Another
    address may use it (phones change theirs); nobody changes whose the session is."""
    path = session()
    assert await poll(port, path) == "o"
    assert await post(port, path, connect("ann")) == 204
    [connected] = await said_to(port, path)
    assert connected["user"]["id"] == "ann"
    stranger = "127.0.0.7"
    took = await ask(
        port, "POST", f"{path}/xhr_send", json.dumps([connect("bob")]), source=stranger
    )
    assert took.status == 204
    [answered] = await said_to(port, path)
    assert answered["code"] == "already_connected"
    waiting = asyncio.create_task(poll(port, path))
    await asyncio.sleep(0.1)
    second = await ask(port, "POST", f"{path}/xhr", source=stranger)
    assert second.body == b'c[2010,"Another connection still open"]\n'
    waiting.cancel()


async def test_a_foreign_page_cannot_use_an_id_that_it_knows(port: int) -> None:
    path = session()
    assert await poll(port, path) == "o"
    foreign = {"Origin": "https://evil.example"}
    body = json.dumps([connect("ann")])
    for method, name in (("POST", "xhr_send"), ("POST", "jsonp_send"), ("POST", "xhr")):
        assert (await ask(port, method, f"{path}/{name}", body, foreign)).status == 403
    own = {"Origin": LISTED}
    assert (await ask(port, "POST", f"{path}/xhr_send", body, own)).status == 204
    [first] = await said_to(port, path)
    assert first["type"] == "connected", "what came before has not been heard"


async def test_an_id_is_told_to_nobody(node: Gateway, port: int) -> None:
    """What others see of a session is another name; what operators see has neither."""
    path = "/roomline/000/a-secret-session-id"
    assert await poll(port, path) == "o"
    assert await post(port, path, connect("ann")) == 204
    told = str(await said_to(port, path))
    async with Talk.to(node.url) as other:
        await other.subscribe("chat.ids")
        publish = {"id": 2, "type": "publish", "room": "chat.ids", "data": 1}
        assert await post(port, path, json.dumps(publish)) == 204
        told += repr(await other.publication()) + repr(other.connected)
    told += str(await said_to(port, path)) + node.get("/metrics").text + node.log
    assert "a-secret-session-id" not in told


async def test_an_id_that_has_ended_stays_ended(port: int) -> None:
    path = session()
    assert await poll(port, path) == "o"
    assert await post(port, path, connect("ann")) == 204
    [connected] = await said_to(port, path)
    assert connected["type"] == "connected"

    async def ended() -> None:
        while (await ask(port, "POST", f"{path}/xhr_send", "[]")).status != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    await asyncio.wait_for(ended(), 15)
    for source in (None, "127.0.0.8"):
        frame = await poll(port, path, source=source)
        assert json.loads(frame[1:])[0] == 3000
    # The other half of the path makes it no other session.
    assert (await poll(port, path.replace("/000/", "/001/"))).startswith("c[3000,")


def connect(user: str) -> str:
    said: dict[str, Any] = {"id": 1, "type": "connect", "version": 1}
    return json.dumps(said | {"token": connection_token(user)})


async def said_to(port: int, path: str) -> list[dict[str, Any]]:
    """The messages that the session's next poll brings."""
    while (frame := await poll(port, path)) == "h":
        pass
    return [json.loads(text) for text in json.loads(frame[1:])]


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("a", True),
        ("A-Z_9", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("a" * 8000, False),
        ("a.b", False),
        ("a%20b", False),
        ("a%00", False),
        ("%61", False),
        ("a\xe9", False),
        ("a'b", False),
        ("a;b", False),
        ("..", False),
        ("", False),
    ],
)
def test_what_an_id_may_be(port: int, name: str, good: bool) -> None:
    for path in (f"/roomline/{name}/{next(_ids)}", f"/roomline/000/{name}"):
        said = answer(port, head("POST", f"{path}/xhr", "Content-Length: 0"))
        assert said is not None
        assert said.status == (200 if good else 404), path


async def test_a_websockets_id_is_of_no_use_elsewhere(port: int) -> None:
    """It is its connection that holds it together: nobody finds it by the id."""
    path = session()
    async with websocket(port, f"{path}/websocket") as client:
        assert await client.receive() == "o"
        assert await post(port, path, connect("ann")) == 404
        assert await poll(port, path) == "o", "that is another session"


async def test_two_principals_do_not_meet(node: Gateway) -> None:
    """Sessions of one address are as apart as any."""
    async with (
        Talk.to(node.url, token=connection_token("ann")) as ann,
        Talk.to(node.url, token=connection_token("bob")) as bob,
    ):
        await bob.refused("forbidden", "subscribe", room="user.ann")
        assert ann.connected.session != bob.connected.session

"""Origins, websockets and switches, as an application's settings and not the protocol have them."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.transport.clients import (
    Closed,
    Refused,
    ask,
    connected,
    handshake,
    websocket,
)
from tests.transport.servers import PREFIX, Behaviour, Client, Server, serving, until

pytestmark = pytest.mark.timeout(20)

PAGE = {"Origin": "https://page.example"}


class EchoOrClose(Behaviour):
    """An echo; but closes on ``close``."""

    def message(self, client: Client, text: str) -> None:
        if text == "close":
            client.close()
        else:
            client.send(text)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    origins = frozenset({PAGE["Origin"], "null"})
    async with serving(
        "ours",
        EchoOrClose(),
        allowed_origins=origins,
        raw_websocket=True,
    ) as server:
        yield server


# Origins.


async def test_its_own_origin_is_always_allowed(server: Server) -> None:
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    response = await ask(server.port, "GET", f"{PREFIX}/info", headers=own)
    assert response.status == 200
    for other in (f"https://127.0.0.1:{server.port}", "http://127.0.0.1", "http://127.0.0.1:1"):
        response = await ask(server.port, "GET", f"{PREFIX}/info", headers={"Origin": other})
        assert response.status == 403
    async with websocket(server.port, f"{server.session()}/websocket", own) as client:
        assert await client.receive() == "o"


async def test_without_an_origin_nothing_is_said_about_origins(server: Server) -> None:
    response = await ask(server.port, "GET", f"{PREFIX}/info")
    assert response.status == 200
    assert response["Access-Control-Allow-Origin"] is None
    assert response["Vary"] == "Origin"


async def test_a_star_gives_no_credentials() -> None:
    async with serving("ours", allowed_origins=frozenset({"*", "https://known"})) as server:
        path = f"{PREFIX}/info"
        for origin in ("https://anybody", None):
            headers = {} if origin is None else {"Origin": origin}
            response = await ask(server.port, "GET", path, headers=headers)
            assert response["Access-Control-Allow-Origin"] == "*"
            assert response["Access-Control-Allow-Credentials"] is None
        response = await ask(server.port, "GET", path, headers={"Origin": "https://known"})
        assert response["Access-Control-Allow-Origin"] == "https://known"
        assert response["Access-Control-Allow-Credentials"] == "true"
        async with websocket(
            server.port, f"{server.session()}/websocket", {"Origin": "https://anybody"}
        ) as client:
            assert await client.receive() == "o"


@pytest.mark.parametrize("version", ["7", "8"])
async def test_early_websockets_name_the_origin_differently(server: Server, version: str) -> None:
    path = f"{server.session()}/websocket"
    headers = {"Sec-WebSocket-Version": version}
    async with websocket(server.port, path, headers) as client:
        assert await client.receive() == "o"
    with pytest.raises(Refused) as refused:
        async with websocket(server.port, path, headers | {"Sec-WebSocket-Origin": "http://x"}):
            pass
    assert refused.value.response.status == 403


# Websocket.


@pytest.mark.parametrize("frame", ['["a', "nonsense", "{}", "1", '[["nested"]]', "[" * 9999])
async def test_a_malformed_frame_ends_a_websocket(server: Server, frame: str) -> None:
    async with websocket(server.port, f"{server.session()}/websocket") as client:
        assert await client.receive() == "o"
        client.send(frame)
        assert await client.receive() == Closed(3500, "bad protocol")
    assert server.behaviour.refused == [3500]
    await until(lambda: len(server.behaviour.left) == 1)


async def test_a_binary_frame_ends_a_websocket(server: Server) -> None:
    async with websocket(server.port, f"{server.session()}/websocket") as client:
        assert await client.receive() == "o"
        client.send('["a"]', opcode=2)
        assert await client.receive() == Closed(3500, "bad protocol")


async def test_compression_is_not_agreed_to(server: Server) -> None:
    async with connected(server.port) as connection:
        headers = handshake() | {"Sec-WebSocket-Extensions": "permessage-deflate"}
        path = f"{server.session()}/websocket"
        response = await connection.request("GET", path, headers=headers)
        assert response.status == 101
        assert response["Sec-WebSocket-Extensions"] is None


async def test_raw_websocket(server: Server) -> None:
    async with websocket(server.port, f"{PREFIX}/websocket") as client:
        client.send("Hello world!\uffff")
        assert await client.receive() == "Hello world!\uffff"
        client.send("")
        assert await client.receive() == ""
        client.send("close")
        assert await client.receive() == Closed(3000, "Go away!")


# Switches.


@pytest.mark.parametrize(
    ("transport", "method", "name"),
    [
        ("xhr-polling", "POST", "xhr"),
        ("xhr-streaming", "POST", "xhr_streaming"),
        ("eventsource", "GET", "eventsource"),
    ],
)
async def test_transports_can_be_switched(transport: str, method: str, name: str) -> None:
    async with serving("ours", transports=frozenset({"websocket", transport})) as server:
        for other in ("xhr", "xhr_streaming", "eventsource"):
            async with connected(server.port) as connection:
                verb = "GET" if other == "eventsource" else "POST"
                response = await connection.request(verb, f"{server.session()}/{other}")
                assert response.status == (200 if other == name else 404)
    async with serving("ours", transports=frozenset({"websocket"})) as server:
        response = await ask(server.port, "POST", f"{server.session()}/xhr_send")
        assert response.status == 404
        assert json.loads((await ask(server.port, "GET", f"{PREFIX}/info")).body)["websocket"]
    async with serving("ours", transports=frozenset({transport})) as server:
        path = f"{server.session()}/websocket"
        response = await ask(server.port, "GET", path, headers=handshake())
        assert response.status == 404
        info = json.loads((await ask(server.port, "GET", f"{PREFIX}/info")).body)
        assert info["websocket"] is False

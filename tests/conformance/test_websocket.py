"""SockJS over websockets, and the raw endpoint: what is not RFC 6455's business."""

import pytest

from tests.conformance.carriers import CLOSE, ECHO, GO_AWAY, OPEN, session
from tests.transport.clients import Closed, ask, connected, handshake, websocket

pytestmark = pytest.mark.timeout(20)

SAMPLE = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
"""The key of RFC 6455, section 1.3, where its answer stands."""
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

both = pytest.mark.parametrize("path", [f"{ECHO}/000/abc/websocket", f"{ECHO}/websocket"])


@both
@pytest.mark.parametrize("headers", [{}, {"Connection": "keep-alive, Upgrade"}])
async def test_the_handshake(port: int, path: str, headers: dict[str, str]) -> None:
    async with connected(port) as connection:
        response = await connection.request(
            "GET", path, headers=handshake() | SAMPLE | {"Upgrade": "WebSocket"} | headers
        )
    assert response.status == 101
    assert response["Sec-WebSocket-Accept"] == ACCEPT
    assert (response["Connection"] or "").lower() == "upgrade"
    assert (response["Upgrade"] or "").lower() == "websocket"
    assert response["Content-Length"] is response["Set-Cookie"] is None


@both
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upgrade": "", "Connection": ""}, 400),
        ({"Connection": "close"}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Version": "6"}, 426),
        ({"Sec-WebSocket-Version": ""}, 426),
    ],
)
async def test_what_is_no_handshake(
    port: int, path: str, headers: dict[str, str], status: int
) -> None:
    response = await ask(port, "GET", path, headers=handshake() | headers)
    assert response.status == status
    if status == 426:
        assert response["Sec-WebSocket-Version"] == "13"


@both
async def test_the_first_websockets_are_told_what_is_spoken_here(port: int, path: str) -> None:
    """Hixie 76, of browsers of 2010: the one part of the protocol that is not served. Its clients
    get an answer at once, without sending the nonce that follows their headers, and their page's
    sockjs-client then takes another transport."""
    async with connected(port) as connection:
        response = await connection.request(
            "GET",
            path,
            headers={
                "Upgrade": "WebSocket",
                "Connection": "Upgrade",
                "Origin": "test",
                "Sec-WebSocket-Key1": "3 1Y 7 k9 6 m2",
                "Sec-WebSocket-Key2": "18 x4 5  T60",
            },
        )
        assert response.status == 426
        assert response["Sec-WebSocket-Version"] == "13"
        assert await connection.body(response) == b""


async def test_switched_off(port: int) -> None:
    path = session("/disabled_websocket_echo")
    response = await ask(port, "GET", f"{path}/websocket", headers=handshake())
    assert (response.status, response.body) == (404, b"")
    assert (await ask(port, "POST", f"{path}/xhr")).body == b"o\n"


async def test_an_id_may_be_used_again(port: int) -> None:
    """At the same time, and afterwards: a session lives as long as its connection."""
    path = f"{session()}/websocket"
    for _ in range(2):
        async with websocket(port, path) as one, websocket(port, path) as two:
            assert await one.receive() == await two.receive() == OPEN
            one.send('["a"]')
            two.send('["b"]')
            assert await one.receive() == 'a["a"]'
            assert await two.receive() == 'a["b"]'


async def test_a_frame_may_be_a_single_text(port: int) -> None:
    async with websocket(port, f"{session()}/websocket") as client:
        assert await client.receive() == OPEN
        client.send('"a"')
        assert await client.receive() == 'a["a"]'


async def test_an_id_of_a_session_that_polls(port: int) -> None:
    """It is another session, whatever its id is."""
    path = session()
    assert (await ask(port, "POST", f"{path}/xhr")).body == b"o\n"
    async with websocket(port, f"{path}/websocket") as client:
        assert await client.receive() == OPEN
        assert (await ask(port, "POST", f"{path}/xhr_send", '["polled"]')).status == 204
        client.send('["by websocket"]')
        assert await client.receive() == 'a["by websocket"]'
        assert (await ask(port, "POST", f"{path}/xhr")).body == b'a["polled"]\n'


@pytest.mark.parametrize("nothing", ["", "[]"])
async def test_nothing_is_ignored(port: int, nothing: str) -> None:
    async with websocket(port, f"{session()}/websocket") as client:
        assert await client.receive() == OPEN
        client.send(nothing)
        client.send('["a"]')
        assert await client.receive() == 'a["a"]'


async def test_the_server_closes(port: int) -> None:
    async with websocket(port, f"{session(CLOSE)}/websocket") as client:
        assert await client.receive() == OPEN
        assert await client.receive() == GO_AWAY
        assert await client.receive() == Closed(3000, "Go away!")
        assert await client.connection.closed()


async def test_the_server_closes_raw(port: int) -> None:
    async with websocket(port, f"{CLOSE}/websocket") as client:
        assert await client.receive() == Closed(3000, "Go away!")
        assert await client.connection.closed()

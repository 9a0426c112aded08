"""DNS rebinding: a page of a stranger's name that leads to us is not our own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.transport.clients import Refused, ask, websocket

pytestmark = pytest.mark.timeout(60)

NAMES = ["chat.example", "CHAT.example", "chat.example:8001", "127.0.0.1", "[::1]:80"]
OTHERS = [
    "evil.example",
    "chat.example.evil.example",
    "chat.example.",
    "",
    "localhost",
    "xchat.example",
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("hosts")
    gateway = Gateway(
        f"embedded:{folder}/rooms.sqlite3",
        HOSTS="Chat.Example,127.0.0.1,[::1]",
        INTERNAL_HOSTS="127.0.0.1,gateway-1",
    )
    gateway.start()
    yield gateway
    gateway.close()


def port_of(url: str) -> int:
    return int(url.split("/")[2].rpartition(":")[2])


@pytest.mark.parametrize("host", NAMES)
async def test_names_that_are_ours(gateway: Gateway, host: str) -> None:
    port = port_of(gateway.url)
    answer = await ask(port, "GET", "/roomline/info", headers={"Host": host})
    assert answer.status == 200
    assert json.loads(answer.body)["websocket"] is True
    async with websocket(port, "/roomline/000/a/websocket", {"Host": host}) as socket:
        assert await socket.receive() == "o"


@pytest.mark.parametrize("host", OTHERS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/roomline/info"),
        ("POST", "/roomline/000/a/xhr"),
        ("GET", "/roomline/rooms/chat.a/events"),
        ("GET", "/roomline/sockjs-1.6.1.min.js"),
        ("TRACE", "/"),
    ],
)
async def test_names_that_are_not(gateway: Gateway, host: str, method: str, path: str) -> None:
    """The page's origin is what it was asked as, which without this would be our own."""
    headers = {"Host": host, "Origin": f"http://{host}"}
    answer = await ask(port_of(gateway.url), method, path, headers=headers)
    assert (answer.status, answer.body) == (421, b"")
    assert answer["Access-Control-Allow-Origin"] is None


async def test_a_websocket_by_another_name(gateway: Gateway) -> None:
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    with pytest.raises(Refused) as refused:
        async with websocket(port_of(gateway.url), "/roomline/000/b/websocket", headers):
            pass
    assert refused.value.response.status == 421


async def test_the_internal_port(gateway: Gateway) -> None:
    port = port_of(gateway.internal)
    for host, status in (("gateway-1:8002", 200), ("127.0.0.1", 200), ("evil.example", 421)):
        answer = await ask(port, "GET", "/metrics", headers={"Host": host})
        assert answer.status == status
        assert (b"roomline_ready" in answer.body) == (status == 200)

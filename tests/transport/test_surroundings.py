"""What an endpoint is mounted in: encryption, proxies, settings of the Tornado application."""

import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from roomline.core.outbox import Encoded
from roomline.transport import Endpoint, TransportSettings
from roomline.transport.echoes import Echo
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application as Routes

from tests.support.certificates import make_authority, make_certificate
from tests.transport.clients import ask, poll, post, streaming, websocket
from tests.transport.servers import PREFIX, Behaviour, Client, OurClient, serving

pytestmark = pytest.mark.timeout(30)


class Silent(Behaviour):
    def message(self, client: Client, text: str) -> None:
        pass


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server and of a client that trusts it."""
    make_authority(tmp_path)
    make_certificate(tmp_path, "server", "localhost")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    return server, ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))


async def test_encrypted_connections(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    ours, theirs = tls
    behaviour = Silent()
    options: dict[str, Any] = {"outbox": 1 << 24, "http": {"ssl_options": ours}}
    async with serving("ours", behaviour, heartbeat_seconds=0.3, **options) as server:
        own = {"Origin": f"https://127.0.0.1:{server.port}"}
        path = f"{server.session()}/websocket"
        async with websocket(server.port, path, own, tls=theirs) as client:
            assert await client.receive() == "o"
            [served] = behaviour.clients
            assert isinstance(served, OurClient)
            texts = [f"{number:03}" + "x" * 100_000 for number in range(80)]
            served.send_encoded(*map(Encoded, texts))
            received: list[str] = []
            while len(received) < len(texts):
                frame = await client.receive()
                assert isinstance(frame, str)
                received += json.loads(frame[1:]) if frame != "h" else []
            assert received == texts
            assert await client.receive() == "h"
        async with streaming(server.port, server.session(), tls=theirs) as stream:
            assert await stream.frame() == "o"
            behaviour.clients[-1].send("hello")
            assert await stream.frame() == 'a["hello"]'


async def test_a_trusted_proxy_says_where_clients_come_from() -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
    forwarded["Host"] = "chat.example"
    own = {"Origin": "https://chat.example"}
    path = f"{PREFIX}/info"
    async with serving("ours", sessions_per_address=1, http={"xheaders": True}) as server:
        assert (await ask(server.port, "GET", path, headers=forwarded | own)).status == 200
        session = f"{server.session()}/xhr"
        assert (await ask(server.port, "POST", session, headers=forwarded)).body == b"o\n"
        [served] = server.behaviour.clients
        assert isinstance(served, OurClient)
        assert served.link.address == "198.51.100.7"
        other = await ask(server.port, "POST", f"{server.session()}/xhr", headers=forwarded)
        assert other.status == 503
        assert await poll(server.port, server.session()) == "o"
    async with serving() as server:
        assert (await ask(server.port, "GET", path, headers=forwarded | own)).status == 403


async def test_settings_of_the_application_do_not_get_in_the_way() -> None:
    listed = "https://page.example"
    settings = TransportSettings(prefix="/a.b/-c", allowed_origins=frozenset({listed}))
    endpoint = Endpoint(Echo(), settings)
    routes = Routes(
        endpoint.urls,
        compress_response=True,
        xsrf_cookies=True,
        cross_origin_protection=True,
        websocket_ping_interval=0.05,
        websocket_max_message_size=10,
    )
    server = HTTPServer(routes)
    [listening] = bind_sockets(0, "127.0.0.1")
    server.add_sockets([listening])
    port = listening.getsockname()[1]
    page = {"Origin": listed, "Sec-Fetch-Site": "cross-site", "Accept-Encoding": "gzip"}
    try:
        assert (await ask(port, "GET", "/aXb/-c")).status == 404
        response = await ask(port, "POST", "/a.b/-c/0/one/xhr", headers=page)
        assert response.body == b"o\n"
        text = "x" * 2000
        async with streaming(port, "/a.b/-c/0/two", headers=page) as stream:
            assert stream.response["Content-Encoding"] is None
            assert await stream.frame() == "o"
            assert await post(port, "/a.b/-c/0/two", text) == 204
            assert await stream.frame() == f'a["{text}"]'
        async with websocket(port, "/a.b/-c/0/three/websocket", page) as client:
            assert await client.frame() == (1, b"o")
            client.send(json.dumps([text]))
            assert await client.frame() == (1, f'a["{text}"]'.encode())
    finally:
        server.stop()
        await server.close_all_connections()
        endpoint.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
async def test_the_kernel_gives_up_on_streams_that_nobody_acknowledges() -> None:
    async with (
        serving(heartbeat_seconds=7) as server,
        streaming(server.port, server.session()) as stream,
    ):
        assert await stream.frame() == "o"
        [served] = server.behaviour.clients
        connection = served.link.handler.stream.socket  # type: ignore[attr-defined]
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 14_000

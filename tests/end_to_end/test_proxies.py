"""docs/operations/proxies.rst: clients of three transports behind each proxy that it shows."""

import asyncio
import contextlib
import http.client
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from roomline.client import Client, Transport

from tests.docs.pages import ROOT, snippet
from tests.support.apache import Apache
from tests.support.gateway import Gateway
from tests.support.haproxy import HAProxy
from tests.support.listening import Listening
from tests.support.nginx import NginxSite
from tests.support.rabbitmq import free_port, shared_node

PAGE = "docs/operations/proxies.rst"

ROOM = "chat.lobby"
TRANSPORTS: tuple[Transport, ...] = ("websocket", "xhr-streaming", "xhr-polling")
HEARTBEAT = 1
TIME_OUT = 4
"""Of the proxy, in place of 75 s: longer than a heartbeat, and shorter than the silence."""
SILENCE = 4.5
SESSIONS = 12
"""Of one address at a node."""
_ADDRESSES = (f"127.0.0.{number}" for number in range(2, 250))
"""Of clients; the sessions of one test are still there in the next."""

pytestmark = pytest.mark.timeout(120)


class Pair(NamedTuple):
    """Two gateways that know each other."""

    first: Gateway
    second: Gateway

    def translated(self, text: str, port: int) -> str:
        """The page's text with the ports of these, its time-outs shortened."""
        shown = {
            "127.0.0.1:8001": self.first.url.split("/")[2],
            "127.0.0.1:8003": self.second.url.split("/")[2],
            "port 8002": f"port {self.first.internal.rpartition(':')[2]}",
            "port 8004": f"port {self.second.internal.rpartition(':')[2]}",
            "listen 80;": f"listen 127.0.0.1:{port};",
            "bind :80": f"bind 127.0.0.1:{port}",
            "<VirtualHost *:80>": f"<VirtualHost 127.0.0.1:{port}>",
            "75": str(TIME_OUT),
        }
        return re.sub("|".join(map(re.escape, shown)), lambda found: shown[found[0]], text)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two gateways with a heartbeat of a second, and few sessions for an address."""
    node = shared_node()
    if not node.running:
        node.start()
    vhost = f"proxies-{secrets.token_hex(4)}"
    node.add_vhost(vhost)
    key = secrets.token_hex(32)
    both = Pair(
        *(
            Gateway(
                node.url(vhost=vhost),
                HEARTBEAT=str(HEARTBEAT),
                TRUSTED_PROXIES="127.0.0.1",
                SESSIONS_PER_ADDRESS=str(SESSIONS),
                CLUSTER_ADDRESS=f"127.0.0.1:{free_port()}",
                CLUSTER_KEY=key,
            )
            for _ in range(2)
        )
    )
    try:
        for gateway in both:
            gateway.start(ready=False)
        for gateway in both:
            gateway.wait_until_ready()
        deadline = time.monotonic() + 30
        while any(gateway.metric("roomline_nodes") != 2 for gateway in both):
            assert time.monotonic() < deadline, "the two do not find each other"
            time.sleep(0.05)
        yield both
    finally:
        for gateway in both:
            gateway.close()
        node.delete_vhost(vhost)


def proxy(name: str, folder: Path, site: str, port: int) -> Listening:
    if name == "apache":
        said = (ROOT / PAGE).read_text().partition("With the modules ")[2].partition(":\n")[0]
        modules = [found for found in re.findall(r"``(\w+)``", said) if found != "mpm_event"]
        return Apache(folder, site, port, modules)
    return {"nginx": NginxSite, "haproxy": HAProxy}[name](folder, site, port)


@pytest.fixture(params=["nginx", "haproxy", "apache"])
def port(request: pytest.FixtureRequest, pair: Pair, tmp_path: Path) -> Iterator[int]:
    """Where the proxy of the page listens."""
    port = free_port()
    site = pair.translated(snippet(PAGE, f"proxy-{request.param}").text, port)
    started = proxy(request.param, tmp_path / request.param, site, port)
    yield port
    started.close()


async def test_clients_behind_it(port: int) -> None:
    """They subscribe and publish, hear each publication at once, and outlive a silence."""
    url = f"http://127.0.0.1:{port}/roomline"
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Client(url, transport=transport))
            for transport in TRANSPORTS
        ]
        rooms = [await client.subscribe(ROOM) for client in clients]
        for number in range(5):
            await clients[number % len(clients)].publish(ROOM, number)
            async with asyncio.timeout(10):
                assert [(await anext(room)).data for room in rooms] == [number] * len(rooms)

        # No answer and no push meanwhile: nothing but heartbeats keeps the proxy waiting.
        await asyncio.sleep(SILENCE)
        await clients[0].publish(ROOM, "after")
        async with asyncio.timeout(10):
            assert [(await anext(room)).data for room in rooms] == ["after"] * len(rooms)
        assert [client.transport for client in clients] == list(TRANSPORTS)
        assert [client.connections for client in clients] == [1] * len(clients)


def test_the_gateways_see_the_clients_address(port: int) -> None:
    """One address may have so many sessions at each of two nodes, whatever it says of itself."""
    crowded, other = next(_ADDRESSES), next(_ADDRESSES)
    answers = [opened(port, crowded, said=f"192.0.2.{n}") for n in range(2 * SESSIONS + 1)]
    assert answers[:SESSIONS] == [True] * SESSIONS
    assert not all(answers)
    assert opened(port, other, said="192.0.2.1")


def opened(port: int, source: str, *, said: str) -> bool:
    """Whether a session opens for a client at `source` that says to be somebody else."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=20, source_address=(source, 0)
    )
    with contextlib.closing(connection):
        connection.request(
            "POST",
            f"/roomline/000/{secrets.token_hex(8)}/xhr",
            headers={"X-Forwarded-For": said, "Content-Length": "0"},
        )
        return connection.getresponse().read() == b"o\n"

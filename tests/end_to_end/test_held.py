"""Held responses with everything real: Django in one gunicorn worker, a gateway, nginx in front."""

import asyncio
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Gateways
from tests.support.events import EventReader
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.rabbitmq import free_port
from tests.support.tokens import API_TOKEN
from tests.support.until import until
from tests.transport.clients import Connection, connected

pytestmark = pytest.mark.timeout(90)

ROOT = Path(__file__).parents[2]
ROOM = "/api/rooms/chat.a/publications"

PASSED_ON = """
    proxy_set_header Host              $http_host;
    proxy_set_header X-Forwarded-For   $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    client_max_body_size 64m;
"""
RECOMMENDED = f"{PASSED_ON} proxy_http_version 1.1; proxy_set_header Connection '';"


class Site:
    """`tests.end_to_end.held_site` in one synchronous gunicorn worker."""

    def __init__(self, broker: str) -> None:
        self.port = free_port()
        self._broker = broker
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        paths = [str(ROOT), str(ROOT / "djangoapp"), os.environ.get("PYTHONPATH", "")]
        command = ["-m", "gunicorn", "tests.end_to_end.held_site", "--bind", self.url[7:]]
        # setpriv becomes gunicorn, and takes care that it does not outlive this process.
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", sys.executable, *command, "--workers", "1"],
            cwd=ROOT,
            env=os.environ | {"SITE_BROKER": self._broker, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/same", timeout=5).close()
            except OSError:
                assert self._process.poll() is None, "gunicorn has ended: its message is above"
                assert time.monotonic() < deadline, "gunicorn does not answer"
                time.sleep(0.05)
            else:
                return

    def kill_worker(self) -> None:
        """SIGKILL to the worker; gunicorn starts another one."""
        assert self._process is not None
        pid = self._process.pid
        (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(worker), signal.SIGKILL)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None


class World:
    """The site, the gateway in front of it, and who asks it."""

    def __init__(self, site: Site, gateway: Gateway) -> None:
        self.site = site
        self.gateway = gateway
        self.port = int(gateway.url.split(":")[2].partition("/")[0])

    async def publish(self, value: Any) -> None:
        answer = await asyncio.to_thread(
            self.gateway.get, ROOM, token=API_TOKEN, body={"data": value}
        )
        assert answer.status == 201, answer

    async def held(self, count: int = 1) -> None:
        """Return when so many responses wait."""
        await until(lambda: self.gateway.metric("roomline_held_responses") == count, within=20)

    async def get(self, path: str, *, port: int | None = None, **headers: str) -> Any:
        """The JSON at a path."""
        async with connected(port or self.port) as client:
            return await ask(client, path, **headers)


async def ask(client: Connection, path: str, **headers: str) -> Any:
    response = await client.request("GET", path, headers=headers)
    assert response.status == 200, await client.body(response)
    return json.loads(await client.body(response))


@pytest.fixture
def site(broker: str) -> Iterator[Site]:
    site = Site(broker)
    site.start()
    yield site
    site.stop()


@pytest.fixture
def world(site: Site, broker: str, gateways: Gateways) -> World:
    gateway = gateways(broker, UPSTREAM=site.url, TRUSTED_PROXIES="127.0.0.1", HEARTBEAT="2")
    return World(site, gateway)


@pytest.fixture
def on_embedded(embedded: str, gateways: Gateways) -> Iterator[World]:
    """For what does not depend on the log."""
    site = Site(embedded)
    site.start()
    yield World(
        site, gateways(embedded, UPSTREAM=site.url, TRUSTED_PROXIES="127.0.0.1", HEARTBEAT="2")
    )
    site.stop()


def data(body: dict[str, Any]) -> list[Any]:
    return [publication["data"] for publication in body["publications"]]


async def test_a_view_answers_when_the_room_has_something(world: World) -> None:
    async with connected(world.port) as one, connected(world.port) as two:
        for client in (one, two):
            client.writer.write(b"GET /wait HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await world.held(2)
        # The only worker is free.
        assert (await world.get("/"))["host"] == f"127.0.0.1:{world.port}"
        await world.publish({"text": "hi"})
        for client in (one, two):
            response = await client.head()
            assert (response.status, response["Content-Type"]) == (200, "application/json")
            assert response["Content-Encoding"] is None
            assert "seen=yes" in (response["Set-Cookie"] or "")
            body = json.loads(await client.body(response))
            assert data(body) == [{"text": "hi"}]
        position = body["position"]
        # What comes between two holds is in the next.
        await world.publish("between")
        body = await ask(one, f"/wait?since={position}")
        assert data(body) == ["between"]
        # And when nothing comes, the time is over.
        body = await ask(one, f"/wait?timeout=0.2&since={body['position']}")
        assert (data(body), body["recovered"]) == ([], True)
        response = await one.request("GET", "/wait?timeout=0.2&own=1")
        assert (await one.body(response)).startswith(b"nothing new")


async def test_what_is_published_while_the_view_runs_is_not_missed(world: World) -> None:
    assert data(await world.get("/publish")) == ["while the view ran"]


async def test_a_page_and_what_comes_after_it_join(world: World) -> None:
    await world.publish("before")
    position = (await world.get("/"))["position"]
    await world.publish("after")
    assert data(await world.get(f"/wait?since={position}")) == ["after"]


async def test_events_go_on_after_a_pause(world: World) -> None:
    async with connected(world.port) as client:
        response = await client.request("GET", "/events")
        blocks = EventReader(client, response)
        assert (await blocks.event())["event"] == "subscribed"
        for number in range(3):
            await world.publish(number)
            event = await blocks.event()
            assert json.loads(event["data"])["data"] == number
            assert json.loads(event["data"])["position"] == event["id"]
    for number in range(3, 6):
        await world.publish(number)
    async with connected(world.port) as client:
        response = await client.request("GET", "/events", headers={"Last-Event-ID": event["id"]})
        blocks = EventReader(client, response)
        assert json.loads((await blocks.event())["data"])["recovered"] is True
        seen = [json.loads((await blocks.event())["data"])["data"] for _ in range(3)]
        assert seen == [3, 4, 5]


async def test_a_position_of_another_log(world: World) -> None:
    await world.publish(1)
    position = "0.-1."
    async with asyncio.timeout(10):
        while position.startswith("0.-1."):  # the node has yet to read what was published
            position = (await world.get("/"))["position"]
    body = await world.get(f"/wait?since={position[:-1]}{'0' if position[-1] != '0' else '1'}")
    assert (body["recovered"], body["reason"]) == (False, "not_in_log")


async def test_draining_ends_what_is_held(world: World) -> None:
    async with connected(world.port) as one, connected(world.port) as two:
        one.writer.write(b"GET /wait HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        response = await two.request("GET", "/events")
        await world.held(2)
        world.gateway.send(signal.SIGTERM)
        body = json.loads(await one.body(await one.head()))
        assert (body["publications"], body["recovered"]) == ([], True)
        assert b"event: subscribed" in await two.body(response)
    assert await asyncio.to_thread(world.gateway.wait, 20) == 0


@pytest.mark.parametrize("directives", ["", RECOMMENDED], ids=["as it comes", "recommended"])
async def test_chunks_a_second_apart_arrive_a_second_apart_through_nginx(
    on_embedded: World, tmp_path: Path, directives: str
) -> None:
    world = on_embedded
    nginx = Nginx(tmp_path / "nginx", world.port, directives or PASSED_ON)
    try:
        async with connected(nginx.port) as streamed, connected(nginx.port) as made:
            response = await streamed.request("GET", "/events")
            blocks = EventReader(streamed, response)
            await blocks.event()
            chunks = asyncio.create_task(_times_of(made))
            times = []
            for number in range(5):
                began = time.monotonic()
                await world.publish(number)
                event = await blocks.event()
                times.append(time.monotonic())
                assert json.loads(event["data"])["data"] == number
                await asyncio.sleep(max(0.0, 1 - (time.monotonic() - began)))
            for arrived in (times, await chunks):
                gaps = [b - a for a, b in itertools.pairwise(arrived)]
                assert len(gaps) == 4
                # What is collected on the way arrives together.
                assert all(0.2 < gap < 5 for gap in gaps), gaps
    finally:
        nginx.close()


async def _times_of(client: Connection) -> list[float]:
    """When each piece of ``/chunks`` arrived."""
    response = await client.request("GET", "/chunks")
    chunked = response["Transfer-Encoding"] == "chunked"
    times = []
    for number in range(5):
        piece = await (client.chunk() if chunked else client.reader.read(1))
        assert piece == b"%d" % number
        times.append(time.monotonic())
    return times


async def test_holds_through_nginx(on_embedded: World, tmp_path: Path) -> None:
    world = on_embedded
    nginx = Nginx(tmp_path / "nginx", world.port, PASSED_ON)
    try:
        async with connected(nginx.port) as client:
            client.writer.write(
                b"GET /wait HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 192.0.2.6\r\n"
                b"X-Forwarded-Proto: https\r\nRoomline-Position: 0.0.000000000000\r\n\r\n"
            )
            await world.held()
            await world.publish(1)
            response = await client.head()
            assert data(json.loads(await client.body(response))) == [1]
        seen = await world.get("/", port=nginx.port)
        assert (seen["client"], seen["secure"]) == ("127.0.0.1", False)
        assert seen["host"] == f"127.0.0.1:{nginx.port}"
    finally:
        nginx.close()


@pytest.mark.parametrize("in_front", ["gateway", "nginx"])
async def test_uploads_downloads_and_conditions(
    on_embedded: World, tmp_path: Path, in_front: str
) -> None:
    world = on_embedded
    nginx = Nginx(tmp_path / "nginx", world.port, PASSED_ON) if in_front == "nginx" else None
    port = nginx.port if nginx else world.port
    try:
        body = os.urandom(1 << 20) * 20
        memory = world.gateway.resident_bytes()
        async with connected(port) as client:
            client.writer.write(
                b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
                % len(body)
            )
            client.writer.write(body)
            await client.writer.drain()
            async with asyncio.timeout(60):
                head = await client.reader.readuntil(b"\r\n\r\n")
                assert b" 200 " in head.splitlines()[0]
                said = json.loads(await client.reader.readuntil(b"}"))
            assert said == {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        async with connected(port) as client:
            size = 50_000_000
            response = await client.request("GET", f"/download/{size}")
            assert response["Content-Length"] == str(size)
            left = size
            async with asyncio.timeout(60):
                while left:
                    left -= len(await client.reader.read(min(left, 1 << 20)))
            response = await client.request("HEAD", f"/download/{size}")
            assert response["Content-Length"] == str(size)
            response = await client.request("GET", "/same", headers={"If-None-Match": '"same"'})
            assert response.status == 304
            response = await client.request("GET", "/same")
            assert await client.body(response) == b"the same"
        assert world.gateway.resident_bytes() - memory < 30 << 20
    finally:
        if nginx:
            nginx.close()


async def test_a_worker_that_is_killed_in_the_middle(on_embedded: World) -> None:
    world = on_embedded
    async with connected(world.port) as client:
        response = await client.request("GET", "/chunks")
        assert await client.chunk() == b"0"
        world.site.kill_worker()
        with pytest.raises(asyncio.IncompleteReadError):
            await client.body(response)
    # The next one is there in a moment; what is held outlives workers.
    async with connected(world.port) as client:
        client.writer.write(b"GET /wait HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await world.held()
        world.site.kill_worker()
        await world.publish("still there")
        assert data(json.loads(await client.body(await client.head()))) == ["still there"]


async def test_a_django_that_is_down_and_comes_back(on_embedded: World) -> None:
    world = on_embedded
    async with connected(world.port) as client:
        client.writer.write(b"GET /wait HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await world.held()
        world.site.stop()
        async with connected(world.port) as other:
            response = await other.request("GET", "/")
            assert response.status == 502
        # Rooms do not mind.
        await world.publish(1)
        assert data(json.loads(await client.body(await client.head()))) == [1]
    world.site.start()
    assert (await world.get("/"))["position"]


async def test_a_request_that_django_does_not_answer(embedded: str, gateways: Gateways) -> None:
    site = Site(embedded)
    site.start()
    try:
        world = World(site, gateways(embedded, UPSTREAM=site.url, UPSTREAM_TIMEOUT="1"))
        async with connected(world.port) as client:
            response = await client.request("GET", "/sleep/3")
            assert response.status == 504
    finally:
        site.stop()


def test_without_the_gateway_a_view_says_what_is_missing(on_embedded: World) -> None:
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(f"{on_embedded.site.url}/wait", timeout=10)
    with raised.value as answer:
        assert answer.code == 501
        assert "takes a Roomline gateway in front of Django" in answer.read().decode()

"""roomline.server: a gateway process from its start to its end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from roomline.client import (
    Connection,
    ConnectionClosed,
    ConnectionFailed,
    Transport,
    open_connection,
)
from roomline.core.messages import Reconnect
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from tests.support.gateway import Gateway
from tests.support.rabbitmq import RabbitMQNode, rabbitmq
from tests.support.talk import Talk
from tests.support.tokens import API_TOKEN

__all__ = ["rabbitmq"]

Start = Callable[..., Gateway]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a gateway with some settings of its own."""
    gateways: list[Gateway] = []

    def start(**settings: str) -> Gateway:
        broker = settings.pop("BROKER", f"embedded:{tmp_path / 'log.sqlite3'}")
        gateway = Gateway(broker, **settings)
        gateways.append(gateway)
        gateway.start()
        return gateway

    yield start
    for gateway in gateways:
        gateway.close()


def address(url: str) -> tuple[str, int]:
    host, _, port = url.split("/")[2].rpartition(":")
    return host.strip("[]"), int(port)


async def fetch(url: str, **options: Any) -> HTTPResponse:
    client = AsyncHTTPClient(force_instance=True)
    try:
        return await client.fetch(url, raise_error=False, **options)
    finally:
        client.close()


async def close_of(connection: Connection) -> ConnectionClosed:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await connection.receive()
    assert connection.closed is not None
    return connection.closed


class TestStart:
    async def test_it_says_where_it_serves(self, start: Start) -> None:
        gateway = start()
        assert gateway.url.endswith("/roomline")
        assert (await fetch(gateway.url + "/info")).code == 200
        assert (await fetch(gateway.internal + "/healthz")).code == 200
        said = [line for line in gateway.log.splitlines() if line.startswith("roomline: ")]
        assert said == [f"roomline: serving {gateway.url}, internal {gateway.internal}"]

    async def test_the_ports_do_not_serve_each_others_paths(self, start: Start) -> None:
        gateway = start()
        host, port = address(gateway.url)
        for path in ("/healthz", "/readyz", "/metrics", "/api/rooms/chat.a/publications", "/"):
            answer = await fetch(
                f"http://{host}:{port}{path}", headers={"Authorization": f"Bearer {API_TOKEN}"}
            )
            assert answer.code == 404
        assert (await fetch(gateway.internal + "/roomline/info")).code == 404

    async def test_settings_reach_what_they_are_for(self, start: Start) -> None:
        gateway = start(
            PREFIX="/live/v1",
            TRANSPORTS="xhr-polling",
            ORIGINS="https://chat.example",
            NODE="node-7",
            ANONYMOUS="true",
            MESSAGE_BYTES="2048",
            SUBSCRIPTIONS="3",
        )
        assert gateway.url.endswith("/live/v1")
        info = await fetch(gateway.url + "/info", headers={"Origin": "https://chat.example"})
        assert json.loads(info.body)["websocket"] is False
        assert info.headers["Access-Control-Allow-Origin"] == "https://chat.example"
        foreign = await fetch(gateway.url + "/info", headers={"Origin": "https://evil.example"})
        assert foreign.code == 403
        with pytest.raises(ConnectionFailed):
            await open_connection(gateway.url, "websocket")
        async with Talk.to(gateway.url, "xhr-polling") as talk:
            assert talk.connected.node == "node-7"
            limits = talk.connected.limits
            assert (limits.message_bytes, limits.subscriptions) == (2048, 3)

    async def test_ipv6(self, start: Start) -> None:
        gateway = start(HOST="::1", INTERNAL_HOST="::1")
        assert gateway.url.startswith("http://[::1]:")
        assert (await fetch(gateway.internal + "/readyz")).code == 200
        assert (await fetch(gateway.url + "/info")).code == 200

    async def test_a_proxy_counts_only_if_it_is_listed(self, start: Start) -> None:
        page = {"Origin": "https://gateway.example", "Host": "gateway.example"}
        headers = page | {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
        gateway = start()
        assert (await fetch(gateway.url + "/info", headers=headers)).code == 403
        gateway = start(TRUSTED_PROXIES="127.0.0.0/8")
        assert (await fetch(gateway.url + "/info", headers=headers)).code == 200
        assert (await fetch(gateway.url + "/info", headers=page)).code == 403

    async def test_history_survives_a_restart(self, start: Start) -> None:
        gateway = start()
        async with Talk.to(gateway.url) as talk:
            await talk.publish("chat.a", "before")
        assert gateway.terminate() == 0
        gateway.start()
        answer = gateway.get("/api/rooms/chat.a/publications", token=API_TOKEN)
        (publication,) = answer.json["publications"]
        assert publication["data"] == "before"

    async def test_nothing_private_is_logged(self, start: Start) -> None:
        gateway = start(LOG_LEVEL="debug", LOG_FORMAT="json")
        async with Talk.to(gateway.url) as talk:
            await talk.publish("chat.a", "private words")
            await talk.connection.send_text('{"private words')
            await talk.ping()
        assert gateway.get("/api/rooms/chat.a/publications", token="wrong-but-secret").status == 401
        assert gateway.terminate() == 0
        log = gateway.log
        assert "private words" not in log
        assert "wrong-but-secret" not in log
        assert API_TOKEN not in log
        records = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        assert "ended" in [record["message"] for record in records]
        assert len(records) == len(log.splitlines()) - 1


def run(tmp_path: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """A gateway that is expected to end by itself."""
    fixed = {"PORT": "0", "INTERNAL_PORT": "0", "BROKER": f"embedded:{tmp_path / 'log.sqlite3'}"}
    values = {f"ROOMLINE_{name}": value for name, value in (fixed | settings).items()}
    return subprocess.run(
        [sys.executable, "-m", "roomline", "serve"],
        env=os.environ | values,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


class TestCannotStart:
    @pytest.mark.parametrize("name", ["PORT", "INTERNAL_PORT"])
    def test_a_port_that_is_taken(self, name: str, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = run(tmp_path, **{name: str(port)})
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.splitlines()[-1] == (
            f"roomline: {name.lower()}: port {port} of 127.0.0.1 cannot be listened on:"
            " Address already in use"
        )
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a..b"])
    def test_an_address_that_is_not_of_this_machine(self, host: str, tmp_path: Path) -> None:
        done = run(tmp_path, HOST=host)
        assert done.returncode == 2
        assert f"roomline: host: port 0 of {host} cannot be listened on: " in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_log_that_cannot_be_used(self, tmp_path: Path) -> None:
        (tmp_path / "log.sqlite3").write_bytes(b"this is not a database" * 100)
        done = run(tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert "\nroomline: broker: " in "\n" + done.stderr
        assert "Traceback" not in done.stderr

    def test_moderation_without_requests(self, tmp_path: Path) -> None:
        done = run(tmp_path, NAMESPACES="calm:moderate=calm.check")
        assert done.returncode == 2
        assert "\nroomline: namespaces: calm has moderate, and requests is false;" in (
            "\n" + done.stderr
        )

    def test_an_address_of_rabbitmq_that_cannot_be_used(self, tmp_path: Path) -> None:
        done = run(tmp_path, BROKER="amqp://u:s3cret@127.0.0.1/vhost?heartbeat=5")
        assert done.returncode == 2
        assert "\nroomline: broker: " in "\n" + done.stderr
        assert "s3cret" not in done.stderr
        assert "Traceback" not in done.stderr


def test_nobody_can_connect(start: Start) -> None:
    gateway = start(ANONYMOUS="false", KEYS="")
    assert "nobody can connect: there are no keys, and anonymous is false" in gateway.log


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_at_once_when_nobody_is_there(self, start: Start, number: signal.Signals) -> None:
        gateway = start(DRAIN="60")
        gateway.send(number)
        assert gateway.wait(10) == 0

    @pytest.mark.parametrize("transport", ["websocket", "xhr-streaming", "xhr-polling"])
    async def test_clients_are_sent_elsewhere(self, start: Start, transport: Transport) -> None:
        gateway = start(DRAIN="2")
        async with contextlib.AsyncExitStack() as stack:
            talks = [
                await stack.enter_async_context(Talk.to(gateway.url, transport)) for _ in range(3)
            ]
            gateway.send(signal.SIGTERM)
            pushes = [await talk.push() for talk in talks]
            delays = sorted(push.after_ms for push in pushes if isinstance(push, Reconnect))
            assert len(delays) == 3
            assert (delays[0], delays[-1] <= 2000) == (0, True)
            ready = gateway.get("/readyz")
            assert (ready.status, ready.json["status"]) == (503, "draining")
            # Until they leave they are served as before, and who comes anew is sent away.
            await talks[0].publish("chat.a", "while draining")
            newcomer = await open_connection(gateway.url, transport)
            assert (await close_of(newcomer)).code == 3001
            await newcomer.close()
        assert await asyncio.to_thread(gateway.wait, 10) == 0

    @pytest.mark.parametrize("transport", ["websocket", "xhr-streaming", "xhr-polling"])
    async def test_who_stays_is_closed(self, start: Start, transport: Transport) -> None:
        gateway = start(DRAIN="0.2")
        async with Talk.to(gateway.url, transport) as talk:
            gateway.send(signal.SIGTERM)
            async with asyncio.timeout(10):
                await talk.ended.wait()
            closed = talk.connection.closed
            assert closed is not None
            assert (closed.code, closed.reason) == (3001, "draining")
        assert await asyncio.to_thread(gateway.wait, 10) == 0

    async def test_a_second_signal_ends_it_at_once(self, start: Start) -> None:
        gateway = start(DRAIN="60")
        async with Talk.to(gateway.url) as talk:
            gateway.send(signal.SIGTERM)
            await talk.push()
            gateway.send(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait, 10) == 0


class TestStrangers:
    async def test_headers_that_do_not_end(self, start: Start) -> None:
        gateway = start()
        reader, writer = await asyncio.open_connection(*address(gateway.url))
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET /roomline/info HTTP/1.1\r\n" + b"X: " + b"x" * 100_000)
            await writer.drain()
            assert len(await asyncio.wait_for(reader.read(), 5)) < 1000
        writer.close()
        assert (await fetch(gateway.url + "/info")).code == 200

    async def test_no_answer_names_the_software(self, start: Start) -> None:
        gateway = start()
        paths = ["", "x", "/info", "/iframe.html", "/000/abc/xhr_send", "/000/abc/websocket"]
        urls = [gateway.url + path for path in paths]
        for url in (*urls, gateway.internal, gateway.internal + "/metrics"):
            assert "Server" not in (await fetch(url)).headers

    @pytest.mark.parametrize(
        "request_text",
        [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\r\n" * 100, b"GET / HTTP/9.9\r\n\r\n"],
    )
    async def test_what_is_no_http(self, start: Start, request_text: bytes) -> None:
        gateway = start()
        reader, writer = await asyncio.open_connection(*address(gateway.url))
        writer.write(request_text + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(10_000), 5)
        writer.close()
        assert (await fetch(gateway.url + "/info")).code == 200
        assert "Traceback" not in gateway.log


@pytest.mark.slow
async def test_on_rabbitmq(rabbitmq: RabbitMQNode, start: Start) -> None:
    gateway = start(BROKER=rabbitmq.url())
    environment = os.environ | {"ROOMLINE_BROKER": rabbitmq.url(), "ROOMLINE_NAMESPACES": "chat"}

    async def roomline(*arguments: str) -> str:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "roomline", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    async with Talk.to(gateway.url) as talk:
        await talk.subscribe("chat.rabbit")
        await roomline("publish", "chat.rabbit", '"from the shell"')
        assert (await talk.publication(within=10)).data == "from the shell"
    tailed = await roomline("tail", "chat.rabbit", "--since", "first", "--no-follow")
    assert tailed.splitlines()[-1].endswith('chat.rabbit - "from the shell"')
    assert await asyncio.to_thread(gateway.terminate) == 0


@pytest.mark.slow
def test_wrong_credentials(rabbitmq: RabbitMQNode, tmp_path: Path) -> None:
    done = run(tmp_path, BROKER=rabbitmq.url("nobody", "s3cret"))
    assert done.returncode == 2
    assert "\nroomline: broker: " in "\n" + done.stderr
    assert "s3cret" not in done.stderr

"""Several processes behind one port, and a load balancer that spreads every request at random.

What docs/scaling.rst shows is run here.
"""

import asyncio
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import tomllib
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from roomline.config import load
from roomline.core.messages import Reconnect
from roomline.holding import HOLD_HEADER

from tests.docs.pages import snippets
from tests.end_to_end.conftest import Gateways
from tests.support.events import EventReader
from tests.support.followers import ROOM, TRANSPORTS, all_alike, followers, publish
from tests.support.gateway import Gateway
from tests.support.rabbitmq import RabbitMQNode, free_ports
from tests.support.spreading import Spreader
from tests.support.talk import Talk
from tests.support.tokens import API_TOKEN
from tests.support.until import until
from tests.transport.clients import ask, connected, poll, post

pytestmark = pytest.mark.timeout(120)


def port_of(url: str) -> int:
    return int(url.rpartition("/")[0].rpartition(":")[2])


def processes(gateway: Gateway) -> list[int]:
    """The processes below the supervising one."""
    path = f"/proc/{gateway.pid}/task/{gateway.pid}/children"
    return [int(pid) for pid in Path(path).read_text().split()]


def others(gateway: Gateway, known: set[int]) -> list[int]:
    """The processes that are not among these."""
    return [pid for pid in processes(gateway) if pid not in known]


def history(gateway: Gateway, at: str) -> list[Any]:
    """What one of the processes has of ``chat.a``, by its internal port."""
    answer = gateway.get("/api/rooms/chat.a/publications", token=API_TOKEN, at=at)
    return [item["data"] for item in answer.json["publications"]]


def ended(pid: int) -> bool:
    """Whether a process has ended, be it waited for or not."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


async def test_every_transport_passes(broker: str, gateways: Gateways) -> None:
    gateway = gateways(broker, PROCESSES="2")
    async with Spreader.over(gateway.url) as spreader:
        for transport in TRANSPORTS:
            async with Talk.to(spreader.address(gateway.url), transport) as talk:
                await talk.subscribe(ROOM)
                for number in range(40):
                    await talk.publish(ROOM, f"{transport} {number}")
                heard = [publication.data for publication in await talk.publications(40)]
                assert heard == [f"{transport} {number}" for number in range(40)]
    assert len(gateway.internals) == 2
    assert gateway.metric("roomline_forwarded_total", outcome="answered") > 20
    assert gateway.metric("roomline_nodes") == 4  # two, as each of the two says
    assert gateway.metric("roomline_sessions_opened_total") == len(TRANSPORTS)


async def test_a_process_is_killed_and_comes_back(embedded: str, gateways: Gateways) -> None:
    """Its own sessions connect again and miss nothing, and those of which a request was on its
    way through it; nobody else's connection ends."""
    gateway = gateways(embedded, PROCESSES="3", INTERNAL_PORT=str(free_ports(3)))
    async with (
        Spreader.over(gateway.url) as spreader,
        followers(spreader.address(gateway.url), transports=TRANSPORTS * 2) as following,
    ):
        at = [follower.client.connected.node for follower in following if follower.client.connected]
        doomed = at[0]
        number = int(doomed.rpartition("-")[2])
        publishing = asyncio.create_task(
            publish([follower.client for follower in following], 400, abreast=8, pace=0.02)
        )
        await until(lambda: min(len(f.received) for f in following) > 50, within=30)
        os.kill(processes(gateway)[number], signal.SIGKILL)
        await publishing
        await all_alike(following, 400)
        for follower, node in zip(following, at, strict=True):
            connections = follower.client.connections
            if node == doomed or follower.client.transport == "websocket":
                assert connections == (2 if node == doomed else 1), node
            else:
                assert connections <= 2, node
        await until(
            lambda: (
                gateway.metric("roomline_restarts_total") == 1
                and gateway.metric("roomline_nodes") == 9
            ),
            within=20,
        )
        await until(lambda: gateway.get("/readyz", at=gateway.internals[number]).status == 200)
    # What has come back is a full member: new sessions go to it, too.
    async with Spreader.over(gateway.url) as spreader:
        for _ in range(30):
            async with Talk.to(spreader.address(gateway.url), "xhr-polling") as talk:
                if talk.connected.node == doomed:
                    return
    pytest.fail("nothing is opened where the process was started again")


async def test_a_process_comes_back_while_the_broker_is_gone(
    amqp: str, rabbitmq: RabbitMQNode, gateways: Gateways
) -> None:
    """It cannot read the log, and still serves what lands on it and is another one's."""
    ports = str(free_ports(2))
    gateway = gateways(amqp, PROCESSES="2", INTERNAL_PORT=ports, DISCONNECT_DELAY="60")
    # No request is under way when the process is killed: it would end with it if it went through.
    port, session = port_of(gateway.url), f"/roomline/000/{secrets.token_hex(8)}"
    assert await poll(port, session) == "o"
    assert await post(port, session, '{"id":1,"type":"connect","version":1}') == 204
    [connected_reply] = json.loads((await poll(port, session))[1:])
    number = int(json.loads(connected_reply)["node"].rpartition("-")[2])
    await asyncio.to_thread(rabbitmq.kill)
    os.kill(processes(gateway)[1 - number], signal.SIGKILL)
    await until(lambda: gateway.metric("roomline_restarts_total") == 1, within=20)
    await until(lambda: gateway.metric("roomline_nodes") == 4, within=20)
    async with Spreader.over(gateway.url) as spreader:
        assert [await post(spreader.port, session, "{}") for _ in range(12)] == [204] * 12
    await asyncio.to_thread(rabbitmq.start)


async def test_all_drain_together(embedded: str, gateways: Gateways) -> None:
    gateway = gateways(embedded, PROCESSES="2", DRAIN="10", DISCONNECT_DELAY="1")
    async with AsyncExitStack() as stack:
        url = gateway.url
        talks = [
            await stack.enter_async_context(Talk.to(url, transport)) for transport in TRANSPORTS
        ]
        listener = await stack.enter_async_context(connected(port_of(url)))
        events = await EventReader.get(listener, f"/roomline/rooms/{ROOM}/events")
        gateway.send(signal.SIGTERM)
        for talk in talks:
            assert isinstance(await talk.push(), Reconnect)
            await talk.publish(ROOM, "while draining")
        while (event := await events.event()).get("event") != "end":
            assert json.loads(event["data"])["data"] == "while draining"
        assert json.loads(event["data"])["code"] == "draining"
        for internal in gateway.internals:
            assert gateway.get("/readyz", at=internal).json["status"] == "draining"
    assert await asyncio.to_thread(gateway.wait) == 0
    assert "Traceback" not in gateway.log


async def test_a_second_signal_ends_all_at_once(embedded: str, gateways: Gateways) -> None:
    gateway = gateways(embedded, PROCESSES="2", DRAIN="60")
    async with Talk.to(gateway.url) as talk:
        # As a service manager does, that signals every process of a service.
        for pid in (gateway.pid, *processes(gateway)):
            os.kill(pid, signal.SIGTERM)
        await talk.push()
        await talk.ping()
        # The one without a client is gone: the first signal has been looked at.
        await until(lambda: len(processes(gateway)) == 1, within=20)
        gateway.send(signal.SIGTERM)
        assert await asyncio.to_thread(gateway.wait, 20) == 0


async def test_nodes_do_not_outlive_the_supervising_process(
    embedded: str, gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does what they had in common."""
    with tempfile.TemporaryDirectory() as folder:  # paths of sockets are short
        monkeypatch.setenv("TMPDIR", folder)
        gateway = gateways(embedded, PROCESSES="2")
        children = processes(gateway)
        assert len(children) == 2
        assert len(os.listdir(folder)) == 1
        gateway.kill()
        await until(lambda: all(map(ended, children)), within=20)
        assert not os.listdir(folder)


async def test_what_goes_on_to_crash_is_started_less_and_less(
    embedded: str, gateways: Gateways
) -> None:
    gateway = gateways(embedded, PROCESSES="2")
    steady, crashing = processes(gateway)
    for _ in range(3):
        os.kill(crashing, signal.SIGKILL)
        await until(partial(ended, crashing))
        assert gateway.get("/healthz", at=gateway.internals[1]).status == 0
        known = {steady, crashing}
        [crashing] = await until(partial(others, gateway, known), within=20)
    delays = re.findall(r"process 1 has ended with status -9; .* in (\S+) s$", gateway.log, re.M)
    assert [float(delay) for delay in delays] == [0.5, 1, 2]
    assert gateway.get("/readyz").status == 200


@pytest.mark.parametrize("name", ["PORT", "INTERNAL_PORT"])
def test_a_port_that_is_taken_is_told_and_nothing_is_left(
    embedded: str, gateways: Gateways, name: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        # Of the internal ports the second one is taken.
        given = port - 1 if name == "INTERNAL_PORT" else port
        with pytest.raises(AssertionError, match="the gateway ended with 2"):
            gateways(embedded, PROCESSES="2", **{name: str(given)})


def test_another_gateway_does_not_share_the_port(embedded: str, gateways: Gateways) -> None:
    port = str(port_of(gateways(embedded, PROCESSES="2").url))
    with pytest.raises(AssertionError, match="Address already in use"):
        gateways(embedded, PROCESSES="2", PORT=port)


async def test_limits_count_the_clients_true_address(embedded: str, gateways: Gateways) -> None:
    gateway = gateways(
        embedded, PROCESSES="2", TRUSTED_PROXIES="127.0.0.0/8", SESSIONS_PER_ADDRESS="1"
    )
    port = port_of(gateway.url)

    async def opened(address: str) -> int:
        path = f"/roomline/000/{secrets.token_hex(8)}/xhr"
        return (await ask(port, "POST", path, headers={"X-Forwarded-For": address})).status

    assert [await opened(f"192.0.2.{number}") for number in range(20)] == [200] * 20
    statuses = [await opened("198.51.100.1") for _ in range(20)]
    assert statuses.count(200) == 2  # one on each node
    assert statuses.count(503) == 18


async def test_any_of_them_publishes_and_has_the_history(embedded: str, gateways: Gateways) -> None:
    gateway = gateways(embedded, PROCESSES="2")
    async with Talk.to(gateway.url) as talk:
        await talk.subscribe("chat.a")
        for number, internal in enumerate(gateway.internals):
            answer = gateway.get(
                "/api/rooms/chat.a/publications",
                token=API_TOKEN,
                body={"data": number},
                at=internal,
            )
            assert answer.status == 201, answer
        assert [p.data for p in await talk.publications(2)] == [0, 1]
        for internal in gateway.internals:
            await until(lambda at=internal: history(gateway, at) == [0, 1])  # type: ignore[misc]


async def test_django_behind_any_of_them_holds_responses(embedded: str, gateways: Gateways) -> None:
    """A view that wants its response held: held by whichever process got the request, and
    answered with what any other one published. So are its paths below the endpoint's prefix, which
    look like those of sessions."""

    async def view(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        [since] = re.findall(r"^Roomline-Position: (\S+)", asked, re.M | re.I)
        hold = {"mode": "hold", "room": "chat.a", "timeout": 25, "since": since}
        head = f"HTTP/1.1 200 OK\r\n{HOLD_HEADER}: {json.dumps(hold)}\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    django = await asyncio.start_server(view, "127.0.0.1", 0)
    upstream = f"http://127.0.0.1:{django.sockets[0].getsockname()[1]}"
    gateway = gateways(embedded, PROCESSES="2", UPSTREAM=upstream)
    try:
        async with Talk.to(gateway.url, "xhr-polling") as talk:
            waiting = [
                asyncio.create_task(ask(port_of(gateway.url), "GET", path))
                for path in ["/orders/", *(f"/roomline/shop/{n}/orders" for n in range(11))]
            ]
            await until(lambda: gateway.metric("roomline_held_responses") == len(waiting))
            await talk.publish("chat.a", "ordered")
            for response in await asyncio.gather(*waiting):
                assert response.status == 200
                assert json.loads(response.body)["publications"][0]["data"] == "ordered"
    finally:
        django.close()


def test_what_the_page_of_scaling_shows() -> None:
    """Its settings are accepted, its key is one, and its command is what these tests start."""
    blocks = {found.name: found.text for found in snippets() if found.page == "docs/scaling.rst"}
    assert blocks["scaling-processes"].split() == ["roomline", "serve", "--processes", "4"]
    key = subprocess.run(
        ["sh", "-c", blocks["scaling-key"]], check=True, capture_output=True, text=True, timeout=20
    ).stdout
    shown = tomllib.loads(blocks["scaling-machines"])
    assert shown.pop("cluster_key_file")
    settings = load(
        {},
        {f"ROOMLINE_{n.upper()}": str(v) for n, v in shown.items()} | {"ROOMLINE_CLUSTER_KEY": key},
    )
    assert (settings.processes, settings.cluster_address) == (4, "10.0.0.5:8010")
    assert settings.cluster_key == key.strip()

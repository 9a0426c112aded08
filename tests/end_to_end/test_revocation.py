"""Rights that Django takes back end on every node within a second, on every transport."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from roomline.client import (
    Client,
    CommandRefused,
    ConnectionFailed,
    SubscriptionEnded,
    Transport,
)
from roomline.core.codes import Disconnect

from tests.client.js_pages import DIST, SOCKJS
from tests.end_to_end.conftest import Gateways, pair
from tests.support.browser import chromium
from tests.support.demo import MANAGE, DemoData
from tests.support.gateway import Gateway
from tests.support.until import until

TRANSPORTS: tuple[Transport, ...] = ("websocket", "xhr-streaming", "xhr-polling")
WITHIN = 1.0

PREPARE = """
from django.contrib.auth.models import User
from django_roomline.models import Member, Room
ann = User.objects.create_user("ann", password="x")
room = Room.objects.create(name="chat.staff", title="x", readers="members", writers="members")
Member.objects.create(room=room, user=ann)
"""

SERVE = """
import json, sys, time
from django.contrib.auth.models import User
from django.test import Client
from django_roomline.models import Member, Room
ann = User.objects.get(username="ann")
browser = Client(headers={"host": "127.0.0.1"})
for line in sys.stdin:
    command = json.loads(line)
    if "token" in command:
        browser.force_login(User.objects.get(username="ann"))
        answer = browser.get("/roomline/token").json()
    elif "room" in command:
        answer = browser.get("/roomline/room-token?room=chat.staff").json()
    else:
        exec(command["do"])
        answer = {"done": time.time()}
    print("ANSWER" + json.dumps(answer), flush=True)
"""


class Site:
    """Django's shell on the demo's database, which takes commands."""

    def __init__(
        self, data: DemoData, broker: str, *, prepare: bool = True, **settings: Any
    ) -> None:
        override = {"DJANGO_ROOMLINE_OVERRIDE": json.dumps({"BROKER": broker, **settings})}
        environment = data.environment | override
        shell = [sys.executable, str(MANAGE), "shell", "--no-imports", "-c"]
        if prepare:
            subprocess.run([*shell, PREPARE], env=environment, check=True, timeout=60)
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *shell, SERVE],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **command: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("ANSWER"):
                return json.loads(line.removeprefix("ANSWER"))
        raise AssertionError("the shell has ended")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def site(tmp_path: Path, broker: str) -> Iterator[Site]:
    made = Site(DemoData(tmp_path), broker)
    yield made
    made.close()


async def enter(client: Client, token: str) -> None:
    """Into the room, with one token for everything."""
    await client.connect(within=1.0)
    await client.subscribe("chat.staff", token=lambda: token)


async def ended(subscription: Any) -> float:
    """When the subscription was ended for good."""
    with pytest.raises((SubscriptionEnded, CommandRefused)):
        async for _ in subscription:
            pass
    return time.time()


@pytest.mark.parametrize(
    "change",
    [
        "Room.objects.get(name='chat.staff').delete()",
        "room = Room.objects.get(name='chat.staff'); room.closed = True; room.save()",
        "Member.objects.get(room__name='chat.staff', user=ann).delete()",
        "ann.is_active = False; ann.save()",
    ],
)
async def test_it_ends_within_a_second_on_two_nodes_and_three_transports(
    broker: str, tmp_path: Path, site: Site, gateways: Gateways, change: str
) -> None:
    data = DemoData(tmp_path)  # the site's, set up once more
    nodes = pair(gateways, broker, **data.gateway_settings)
    old = site.ask(token=True)["token"]

    def token() -> str:
        answer = site.ask(token=True)
        return str(answer.get("token", old))

    def room_token() -> str:
        return str(site.ask(room=True).get("token", old))

    clients = [
        Client(node.url, token=token, transport=transport, first_delay=0.01)
        for node in nodes
        for transport in TRANSPORTS
    ]
    try:
        for client in clients:
            await client.connect()
        rooms = [await client.subscribe("chat.staff", token=room_token) for client in clients]
        ends = [asyncio.create_task(ended(room)) for room in rooms]
        done = (await asyncio.to_thread(site.ask, do=change))["done"]
        took = [when - done for when in await asyncio.wait_for(asyncio.gather(*ends), 30)]
        print("seconds until it ended:", [f"{seconds:.3f}" for seconds in took])
        assert max(took) < WITHIN
        for node in nodes:
            late = Client(node.url, token=lambda: old)
            with pytest.raises((CommandRefused, ConnectionFailed)):
                await enter(late, old)
            await late.close()
    finally:
        for client in clients:
            await client.close()


PUBLISH = """
async ([url, key]) => {
  if (!window.client) {
    window.client = new Roomline(url, { sockjs: SockJS, token });
    client.on("error", (error) => failed(error.code));
    client.connect();
  }
  return (await client.publish("chat.staff", key, { key })).key;
}
"""
ANOTHER_MEMBER_GOES = """
ben = User.objects.create_user("ben")
Member.objects.create(room=Room.objects.get(name="chat.staff"), user=ben).delete()
"""


async def revoked(node: Gateway, site: Site) -> None:
    """Change the room's rights, but not ann's; return when the node knows."""
    await asyncio.to_thread(site.ask, do=ANOTHER_MEMBER_GOES)
    await until(lambda: node.metric("roomline_revocations_total") == 1)


async def said(node: Gateway, site: Site) -> list[Any]:
    """The data of the first two publications."""
    async with Client(node.url, token=lambda: site.ask(token=True)["token"]) as reader:
        room = await reader.subscribe("chat.staff", history=10)
        async with asyncio.timeout(10):
            return [(await anext(room)).data for _ in range(2)]


async def test_who_only_publishes_goes_on_with_a_new_token(
    broker: str, tmp_path: Path, site: Site, gateways: Gateways
) -> None:
    """Nobody tells it that the rights of the room have changed, because it is not subscribed."""
    node = gateways(broker, **DemoData(tmp_path).gateway_settings)
    asked = 0

    def token() -> str:
        nonlocal asked
        asked += 1
        return str(site.ask(token=True)["token"])

    async with Client(node.url, token=token) as client:
        await client.publish("chat.staff", "before")
        await revoked(node, site)
        await client.publish("chat.staff", "after")
        assert (asked, client.connections) == (2, 1)
        assert await said(node, site) == ["before", "after"]
        await asyncio.to_thread(site.ask, do="Member.objects.get(user=ann).delete()")
        await until(lambda: node.metric("roomline_revocations_total") == 2)
        with pytest.raises(CommandRefused, match="forbidden"):
            await client.publish("chat.staff", "no more")
        assert asked == 3


async def test_a_page_that_only_publishes_goes_on_with_a_new_token(
    broker: str, tmp_path: Path, site: Site, gateways: Gateways
) -> None:
    node = gateways(broker, **DemoData(tmp_path).gateway_settings)
    asked: list[str] = []
    errors: list[Any] = []

    def token() -> str:
        asked.append(site.ask(token=True)["token"])
        return asked[-1]

    async with chromium() as browser:
        page = await browser.new_page()
        await page.expose_function("token", token)
        await page.expose_function("failed", lambda code: errors.append(code))
        await page.goto(node.url)
        await page.add_script_tag(path=SOCKJS)
        await page.add_script_tag(path=DIST / "roomline.umd.js")
        assert await page.evaluate(PUBLISH, [node.url, "before"]) == "before"
        await revoked(node, site)
        assert await page.evaluate(PUBLISH, [node.url, "after"]) == "after"
        assert (len(asked), errors) == (2, [])
    assert await said(node, site) == ["before", "after"]


async def test_a_broker_that_is_away_at_the_commit_is_told_by_the_relay(
    broker: str, tmp_path: Path, site: Site, gateways: Gateways
) -> None:
    data = DemoData(tmp_path)
    node = gateways(broker, **data.gateway_settings)
    old = site.ask(token=True)["token"]
    away = "amqp://127.0.0.1:1/" if broker.startswith("amqp") else "embedded:/nonexistent/log"
    shell = Site(data, away, prepare=False, OUTBOX=True)
    try:
        async with Client(node.url, token=lambda: old, first_delay=0.01) as client:
            await asyncio.to_thread(shell.ask, do="ann.is_active = False; ann.save()")
            await client.ping()
            assert client.closes == [], "nobody could tell the gateway yet"
            override = {"DJANGO_ROOMLINE_OVERRIDE": json.dumps({"BROKER": broker})}
            relayed = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, str(MANAGE), "roomline_relay", "--once"],
                env=data.environment | override,
                check=True,
                timeout=60,
                capture_output=True,
                text=True,
            )
            assert "1 published" in relayed.stdout
            await until(lambda: client.closes)
            assert client.closes[0].code == Disconnect.REVOKED.code
    finally:
        shell.close()

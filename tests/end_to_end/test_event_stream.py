"""Event streams that are cut, on both logs, and a real browser's EventSource."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.end_to_end.conftest import Gateways, pair
from tests.support.browser import chromium
from tests.support.events import EventReader
from tests.support.gateway import Gateway
from tests.support.site import site
from tests.support.tokens import API_TOKEN
from tests.transport.clients import connected

pytestmark = pytest.mark.timeout(120)

PATH = "/rooms/chat.news/events"
PUBLISH = "/api/rooms/chat.news/publications"
COUNT = 200

PAGE = """<!doctype html><title>Events</title><script>
var seen = [], said = [];
var events = new EventSource("%s");
events.onmessage = function (event) { seen.push(JSON.parse(event.data).data); };
["reset", "end"].forEach(function (name) {
  events.addEventListener(name, function (event) { said.push([name, JSON.parse(event.data)]); });
});
</script>"""


def port_of(gateway: Gateway) -> int:
    return int(gateway.url.split(":")[2].partition("/")[0])


async def publish(gateway: Gateway, *values: Any) -> None:
    for value in values:
        answer = await asyncio.to_thread(
            gateway.get, PUBLISH, token=API_TOKEN, body={"data": value, "key": f"k-{value}"}
        )
        assert answer.status == 201, answer


async def test_a_stream_that_is_cut_continues_on_any_node(broker: str, gateways: Gateways) -> None:
    """Each publication once and in order, though the reader is cut off again and again amid them,
    and one of the nodes is killed."""
    nodes = pair(gateways, broker)
    async with connected(port_of(nodes[0])) as client:
        reader = await EventReader.get(client, f"/roomline{PATH}")
        last = (await reader.next())["id"]
    publishing = asyncio.create_task(publish(nodes[1], *range(COUNT)))
    seen: list[int] = []
    turn = 0
    while len(seen) < COUNT:
        node = nodes[turn % 2]
        async with connected(port_of(node)) as client:
            reader = await EventReader.get(client, f"/roomline{PATH}", Last_Event_ID=last)
            assert reader.response.status == 200
            opening = await reader.next()
            assert opening == {"retry": "1000", "id": last}
            for _ in range(min(23, COUNT - len(seen))):
                event = await reader.event()
                seen.append(json.loads(event["data"])["data"])
                last = event["id"]
            client.abort()
        if turn == 2:
            nodes[0].kill()
            await asyncio.to_thread(nodes[0].start)
        turn += 1
    await publishing
    assert seen == list(range(COUNT))


async def test_a_position_of_another_log_is_a_reset(broker: str, gateways: Gateways) -> None:
    node = gateways(broker)
    await publish(node, 1)
    async with connected(port_of(node)) as client:
        reader = await EventReader.get(client, f"/roomline{PATH}", Last_Event_ID="0.0.00000000000a")
        first = await reader.next()
        assert first["event"] == "reset"
        await publish(node, 2)
        assert await reader.data() == 2


async def opened(page: Page, origin: str, stream: str) -> None:
    """Open a page of an origin that reads a stream."""
    html = PAGE % stream
    await page.route(
        f"{origin}/page", lambda route: route.fulfill(content_type="text/html", body=html)
    )
    await page.goto(f"{origin}/page")


async def test_a_browser_comes_back_by_itself(embedded: str, gateways: Gateways) -> None:
    """After a node was killed, and after one has drained."""
    node, other = pair(gateways, embedded)
    origin = node.url.removesuffix("/roomline")
    async with chromium() as browser:
        page = await browser.new_page()
        await opened(page, origin, f"{node.url}{PATH}")
        await page.wait_for_function("events.readyState === 1", timeout=20_000)
        await publish(node, 0, 1, 2)
        await page.wait_for_function("seen.length === 3", timeout=20_000)
        node.kill()
        await publish(other, 3, 4)
        await page.wait_for_function("events.readyState === 0", timeout=20_000)
        await asyncio.to_thread(node.start)
        await page.wait_for_function("seen.length === 5", timeout=30_000)
        assert await asyncio.to_thread(node.terminate) == 0
        await page.wait_for_function("said.length > 0", timeout=20_000)
        await publish(other, 5, 6)
        await asyncio.to_thread(node.start)
        await page.wait_for_function("seen.length === 7", timeout=30_000)
        assert await page.evaluate("seen") == list(range(7))
        said = await page.evaluate("said")
        assert {(name, body["code"]) for name, body in said} == {("end", "draining")}


async def test_a_browser_of_another_origin(
    embedded: str, gateways: Gateways, tmp_path: Path
) -> None:
    async with chromium() as browser:
        page = await browser.new_page()
        folder = tmp_path / "site"
        folder.mkdir()
        with site(folder) as listed, site(folder) as foreign:
            node = gateways(embedded, ORIGINS=listed)
            (folder / "room.html").write_text(PAGE % f"{node.url}{PATH}")
            (folder / "own.html").write_text(PAGE % f"{node.url}/rooms/user.ann/events")
            await page.goto(f"{listed}/room.html")
            await page.wait_for_function("events.readyState === 1", timeout=20_000)
            await publish(node, 0)
            await page.wait_for_function("seen.length === 1", timeout=20_000)
            # What it may not read a browser gives up.
            for refused in (f"{foreign}/room.html", f"{listed}/own.html"):
                await page.goto(refused)
                await page.wait_for_function("events.readyState === 2", timeout=20_000)


async def test_a_browser_learns_that_something_is_missing(
    embedded: str, gateways: Gateways
) -> None:
    """More is published while the node is away than it keeps."""
    rules = "chat:read=public,write=public,history=5"
    node, other = pair(gateways, embedded, NAMESPACES=rules)
    async with chromium() as browser:
        page = await browser.new_page()
        await opened(page, node.url.removesuffix("/roomline"), f"{node.url}{PATH}")
        await page.wait_for_function("events.readyState === 1", timeout=20_000)
        await publish(node, 0)
        await page.wait_for_function("seen.length === 1", timeout=20_000)
        node.kill()
        await publish(other, *range(1, 20))
        await asyncio.to_thread(node.start)
        await page.wait_for_function("said.length === 1", timeout=30_000)
        [[name, body]] = await page.evaluate("said")
        assert (name, body["reason"]) == ("reset", "evicted")
        await publish(node, 20)
        await page.wait_for_function("seen.length === 2", timeout=20_000)
        assert await page.evaluate("seen") == [0, 20]

"""The room page in Chromium: who is let in, what waits for a room token, staying at the end."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from tests.end_to_end.conftest import Gateways
from tests.end_to_end.test_browser import Site, keep, live, open_page, say, shows, texts
from tests.support.browser import chromium
from tests.support.demo import MANAGE, DemoData, free_port

pytestmark = pytest.mark.timeout(120)

LOBBY = "Room.objects.filter(name='chat.lobby')"
# More names than fit into a connection token, and before the lobby: it needs a room token.
CROWD = "Room.objects.bulk_create(Room(name=f'chat.a{n:0180}', title='x') for n in range(20))"
READABLE = "Room.objects.filter(name__startswith='chat.a').update(readers='everyone')"


@pytest.fixture
def data(tmp_path: Path) -> DemoData:
    return DemoData(tmp_path)


@pytest.fixture
def site(data: DemoData, gateways: Gateways) -> Iterator[Site]:
    site = Site(data, gateways)
    yield site
    site.close()


def django(folder: Path, *statements: str) -> None:
    """Run statements in a shell of the demo whose data are in this folder."""
    program = "; ".join(("from django_roomline.models import Room", *statements))
    command = [sys.executable, MANAGE, "shell", "--no-imports", "-c", program]
    environment = os.environ | {
        "DEMO_DATA": str(folder),
        "DJANGO_SETTINGS_MODULE": "demo.settings",
    }
    subprocess.run(command, env=environment, check=True, timeout=30)


async def at_its_end(page: Page) -> None:
    """Wait for the list to show its newest message: browsers tell of new sizes a little later."""
    async with asyncio.timeout(5):
        while await gap_below(page) > 0:  # noqa: ASYNC110 - the page is asked
            await asyncio.sleep(0.05)


async def gap_below(page: Page) -> float:
    """How far the last message is below what can be seen of the list, in CSS pixels."""
    gap: float = await page.evaluate(
        """() => document.querySelector("#messages").lastChild.getBoundingClientRect().bottom
                 - document.querySelector("#scroll").getBoundingClientRect().bottom"""
    )
    return gap


async def state(page: Page, expected: str) -> None:
    await expect(page.locator("#state")).to_have_attribute("data-state", expected, timeout=20_000)


async def test_who_is_not_let_in_any_more_is_told(
    embedded: str, tmp_path: Path, site: Site
) -> None:
    port = free_port()
    node = site.gateway(embedded, port)
    url = site.demo(embedded, node.url, port=port)
    async with chromium() as browser:
        closed = await open_page(browser, url, width=360)
        logged_out = await open_page(browser, url)
        await say(closed, "good bye")
        await shows(closed, 1)
        asked: list[str] = []
        closed.on("request", lambda request: asked.append(request.url))

        async def unauthorized(route: Route) -> None:
            asked.append("unauthorized")
            await route.fulfill(status=401, json={"code": "login_required", "reason": "log in"})

        await logged_out.route("**/roomline/token", unauthorized)
        await asyncio.to_thread(django, tmp_path, f"{LOBBY}.update(readers='staff')")
        await asyncio.to_thread(node.kill)
        await asyncio.to_thread(node.start)

        await state(closed, "closed")
        await expect(closed.locator("#state")).to_have_text("not open")
        await expect(closed.locator("#note")).to_contain_text("not, or no longer, open to you")
        await keep(closed, "not-open")
        await state(logged_out, "disconnected")
        await expect(logged_out.locator("#note")).to_contain_text("not admitted here any more")
        await asyncio.sleep(2)
        assert sum("room-token" in url for url in asked) == 1
        assert asked.count("unauthorized") == 1


async def test_what_is_typed_before_the_room_token_comes_is_sent_after_it(
    embedded: str, tmp_path: Path, site: Site
) -> None:
    port = free_port()
    node = site.gateway(embedded, port)
    url = site.demo(embedded, node.url, port=port)
    async with chromium() as browser:
        page = await open_page(browser, url)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.reload()
        await live(page)
        assert not [url for url in asked if "room-token" in url], "the connection token does"

        await asyncio.to_thread(django, tmp_path, CROWD, READABLE)
        come = asyncio.Event()
        given = asyncio.Event()

        async def slow(route: Route) -> None:
            come.set()
            await given.wait()
            await route.continue_()

        await page.route("**/roomline/room-token*", slow)
        await page.reload()
        await asyncio.wait_for(come.wait(), 20)
        await state(page, "connecting")
        await say(page, "early")
        await asyncio.sleep(0.5)
        await expect(page.locator("#outgoing .sending")).to_have_count(1)
        given.set()
        await live(page)
        await shows(page, 1)
        assert await texts(page) == ["early"]
        await expect(page.locator("#outgoing li")).to_have_count(0)


async def test_the_newest_message_stays_in_sight(embedded: str, site: Site) -> None:
    port = free_port()
    node = site.gateway(embedded, port)
    url = site.demo(embedded, node.url, port=port)
    async with chromium() as browser:
        page = await open_page(browser, url, width=360)
        for turn in range(25):
            await say(page, f"message {turn}")
        await shows(page, 25)
        await at_its_end(page)

        fold = page.locator(".guest-fold summary")
        await fold.click()
        await expect(page.locator(".guest")).to_be_visible()
        await keep(page, "details-open")
        await at_its_end(page)
        await say(page, "with the details open")
        await shows(page, 26)
        await at_its_end(page)

        # As a keyboard that comes up does.
        await page.set_viewport_size({"width": 360, "height": 520})
        await page.wait_for_function("innerHeight === 520")
        await at_its_end(page)
        await page.set_viewport_size({"width": 360, "height": 640})
        await fold.click()
        await at_its_end(page)

        # Who reads further up stays there.
        await page.evaluate("document.querySelector('#scroll').scrollTop = 0")
        await fold.click()
        await expect(page.locator(".guest")).to_be_visible()
        assert await page.evaluate("document.querySelector('#scroll').scrollTop") == 0

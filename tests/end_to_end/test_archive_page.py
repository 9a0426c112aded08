"""The room page in Chromium: what is older than the gateway's history, joined to what is live."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.end_to_end.conftest import Gateways
from tests.end_to_end.test_browser import Site, keep, open_page, shows, texts
from tests.support.browser import chromium
from tests.support.demo import DemoData, free_port
from tests.support.gateway import Gateway
from tests.support.tokens import API_TOKEN

pytestmark = pytest.mark.timeout(120)

HISTORY = 20
BEFORE = 130
"""Publications before the page is opened: three pages of the archive, the last one short."""


@pytest.fixture
def data(tmp_path: Path) -> DemoData:
    made = DemoData(tmp_path)
    made.gateway_settings |= {
        "NAMESPACES": f"chat:read=token,write=token,history={HISTORY}",
        "API_TOKENS": API_TOKEN,
    }
    return made


@pytest.fixture
def site(data: DemoData, gateways: Gateways) -> Iterator[Site]:
    site = Site(data, gateways)
    yield site
    site.close()


def publish(node: Gateway, first: int, end: int) -> None:
    for number in range(first, end):
        path = "/api/rooms/chat.lobby/publications"
        answer = node.get(path, token=API_TOKEN, body={"data": {"text": str(number)}})
        assert answer.status in (200, 201), answer.text


async def ask_for_older(page: Page, expected: int) -> None:
    """Press the button by keyboard, and wait for that many messages more."""
    before = len(await texts(page))
    await page.locator("#older button").focus()
    await page.keyboard.press("Enter")
    async with asyncio.timeout(30):
        while len(await texts(page)) < before + expected:  # noqa: ASYNC110 - the page is asked
            await asyncio.sleep(0.05)


async def test_older_messages_join_the_live_ones(broker: str, data: DemoData, site: Site) -> None:
    port = free_port()
    node = site.gateway(broker, port)
    url = site.demo(broker, node.url, port=port)
    await asyncio.to_thread(publish, node, 0, BEFORE)
    with data.archiver(broker):
        async with chromium() as browser:
            page = await open_page(browser, url, width=360)
            await shows(page, HISTORY)
            publishing = asyncio.create_task(asyncio.to_thread(publish, node, BEFORE, BEFORE + 60))
            for _ in range(2):
                await ask_for_older(page, 50)
            await keep(page, "older-messages")
            await ask_for_older(page, BEFORE - HISTORY - 100)
            await publishing
            await shows(page, BEFORE + 60)
            assert await texts(page) == [str(number) for number in range(BEFORE + 60)]
            await expect(page.locator("#older")).to_be_hidden()


async def test_an_archive_that_does_not_run_is_told(
    embedded: str, site: Site, data: DemoData
) -> None:
    port = free_port()
    node = site.gateway(embedded, port)
    url = site.demo(embedded, node.url, port=port)
    publish(node, 0, 3)
    async with chromium() as browser:
        page = await open_page(browser, url)
        await shows(page, 3)
        await page.locator("#older button").click()
        await expect(page.locator("#note")).to_contain_text(
            "Older messages are not to be had now", timeout=45_000
        )
        await expect(page.locator("#older button")).to_be_enabled()
        with data.archiver(embedded):
            await page.locator("#older button").click()
            await expect(page.locator("#older")).to_be_hidden(timeout=30_000)
        assert await texts(page) == ["0", "1", "2"]


async def test_a_room_in_which_nobody_has_said_anything(
    embedded: str, site: Site, data: DemoData
) -> None:
    port = free_port()
    node = site.gateway(embedded, port)
    url = site.demo(embedded, node.url, port=port)
    with data.archiver(embedded):
        async with chromium() as browser:
            page = await open_page(browser, url)
            await expect(page.locator("#nothing")).to_be_visible(timeout=30_000)
            await expect(page.locator("#older")).to_be_hidden()
            publish(node, 0, 1)
            await shows(page, 1)
            await expect(page.locator("#nothing")).to_be_hidden()


async def test_what_only_the_archive_has_is_shown_at_once(
    embedded: str, site: Site, data: DemoData
) -> None:
    data.gateway_settings["NAMESPACES"] = "chat:read=token,write=token,history=0"
    port = free_port()
    node = site.gateway(embedded, port)
    url = site.demo(embedded, node.url, port=port)
    publish(node, 0, 60)
    with data.archiver(embedded):
        async with chromium() as browser:
            page = await open_page(browser, url)
            await shows(page, 50)
            await expect(page.locator("#nothing")).to_be_hidden()
            publish(node, 60, 61)
            await ask_for_older(page, 10)
            assert await texts(page) == [str(number) for number in range(61)]
            await expect(page.locator("#older")).to_be_hidden()

"""The JavaScript client's ES module in Chromium, against a real gateway that is killed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.client.js_pages import DIST, SCENARIO, SOCKJS, publish
from tests.support.browser import chromium
from tests.support.gateway import Gateway
from tests.support.until import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(90),
]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(f"embedded:{tmp_path}/log.sqlite3")
    gateway.start()
    yield gateway
    gateway.close()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with chromium() as browser:
        yield await browser.new_page()


@pytest.mark.parametrize("transport", ["websocket", "xhr-polling"])
async def test_it_continues_after_the_gateway_was_killed(
    gateway: Gateway, page: Page, transport: str
) -> None:
    reports: dict[str, list[Any]] = {}
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    await page.expose_function("report", lambda report: reports.setdefault(report[0], report[1:]))
    # Any page of the gateway will do: it is the origin that counts.
    await page.goto(gateway.url)
    await page.add_script_tag(path=SOCKJS)
    await page.add_script_tag(path=SCENARIO)
    module = (DIST / "roomline.mjs").read_text()
    await page.add_script_tag(type="module", content=f"{module}\nwindow.Imported = Roomline;")
    # A module runs some time after its tag was added.
    await page.wait_for_function("window.Imported !== undefined")
    await page.evaluate(
        "([url, transport]) => scenario(Imported, url, { transports: [transport] }, report)",
        [gateway.url, transport],
    )
    await until(lambda: "published" in reports, within=20)
    assert reports["connected"] == [transport]
    publish(gateway, "before")
    gateway.kill()
    await asyncio.to_thread(gateway.start)
    publish(gateway, 1, 2, 3, "stop")

    await until(lambda: "done" in reports, within=30)
    told, subscribed, state = reports["done"]
    assert told == [{"text": "héllo 😀"}, "before", 1, 2, 3, "stop"]
    assert subscribed == [[False, None, 0], [True, None, 0]]
    assert state == "disconnected"
    assert failures == []

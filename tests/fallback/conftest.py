"""One browser and one way for each test of falling back."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.client.js_pages import DIST, SOCKJS
from tests.fallback.tab import SCRIPT, Tab
from tests.fallback.ways import Way
from tests.support.browser import chromium

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


class PlaywrightTab(Tab):
    """One in Chromium, which the test may look into."""

    def __init__(self, page: Page, address: str) -> None:
        super().__init__(address)
        self.page = page

    async def load(self, expression: str) -> None:
        """Open the page and evaluate an expression in it, which may use `url` and `report`."""
        self.page.on("pageerror", lambda error: self.failures.append(str(error)))
        await self.page.expose_function("report", self.hear)
        # Any page of the endpoint will do: it is the origin that counts.
        await self.page.goto(self.address)
        for script in (SOCKJS, DIST / "roomline.umd.js", SCRIPT):
            await self.page.add_script_tag(path=script)
        await self.page.evaluate(f"url => {{ {expression} }}", self.address)

    async def again(self, expression: str) -> "PlaywrightTab":
        """Another page of the same browser profile, in the place of this one."""
        await self.page.close()
        tab = PlaywrightTab(await self.page.context.new_page(), self.address)
        await tab.load(expression)
        return tab


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


Open = Callable[[Way, str, str], Awaitable[PlaywrightTab]]


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser, tmp_path: Path) -> AsyncIterator[Open]:
    """Open a page behind a way to an endpoint's URL, and evaluate an expression in it. Every page
    has a browser profile of its own."""
    async with AsyncExitStack() as stack:

        async def visit(way: Way, url: str, expression: str) -> PlaywrightTab:
            port = int(url.rpartition(":")[2].partition("/")[0])
            front = await stack.enter_async_context(way.to(port, tmp_path))
            context = await browser.new_context()
            stack.push_async_callback(context.close)
            for name in way.without:
                await context.add_init_script(f"delete window.{name}")
            tab = PlaywrightTab(await context.new_page(), front.address(url))
            await tab.load(expression)
            return tab

        yield visit

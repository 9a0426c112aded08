"""The chat demo in Chromium: several pages, two nodes, no websocket, reload, cut, lost history."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from playwright.async_api import Browser, Page, expect

from tests.end_to_end.conftest import Gateways, pair
from tests.support.browser import chromium
from tests.support.demo import Demo, DemoData, origin
from tests.support.gateway import Gateway
from tests.support.proxy import Proxy
from tests.support.rabbitmq import free_port

pytestmark = pytest.mark.timeout(120)

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
ROOM = "/rooms/chat.lobby/"
CUT_SECONDS = 20.0


class Site:
    """The demo's pages and gateways of one test."""

    def __init__(self, data: DemoData, gateways: Gateways) -> None:
        self._data = data
        self._gateways = gateways
        self._demos: list[Demo] = []

    def gateway(self, broker: str, *ports: int) -> Gateway:
        """A gateway that takes pages from these ports."""
        return self._gateways(broker, **self._settings(*ports))

    def gateway_pair(self, broker: str, *ports: int) -> tuple[Gateway, Gateway]:
        """Two of them on one log."""
        return pair(self._gateways, broker, **self._settings(*ports))

    def _settings(self, *ports: int) -> dict[str, str]:
        origins = ",".join(origin(port) for port in ports)
        return self._data.gateway_settings | {"ORIGINS": origins}

    def demo(self, broker: str, *endpoints: str, port: int) -> str:
        """The address of the room's page, on a Django that names these endpoints."""
        demo = self._data.server(broker, *endpoints, port=port)
        self._demos.append(demo)
        demo.wait_until_answering()
        return demo.url + ROOM

    def close(self) -> None:
        for demo in self._demos:
            demo.close()


@pytest.fixture
def site(tmp_path: Path, gateways: Gateways) -> Iterator[Site]:
    site = Site(DemoData(tmp_path), gateways)
    yield site
    site.close()


async def open_page(
    browser: Browser, url: str, *, without: tuple[str, ...] = (), width: int = 900
) -> Page:
    """A page in a browser profile of its own, live in the room; fails on any script error."""
    context = await browser.new_context(viewport={"width": width, "height": 640})
    for name in without:
        await context.add_init_script(f"delete window.{name}")
    page = await context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"error in the page: {error}"))
    await page.goto(url)
    await live(page)
    return page


async def live(page: Page, *, within: float = 20.0) -> None:
    await expect(page.locator("#state")).to_have_attribute(
        "data-state", "connected", timeout=within * 1000
    )


async def say(page: Page, text: str) -> None:
    """Type a message and press Enter."""
    await page.locator("#text").fill(text)
    await page.locator("#text").press("Enter")


async def texts(page: Page) -> list[str]:
    return await page.locator("#messages li[data-position] .text").all_inner_texts()


async def positions(page: Page) -> list[str | None]:
    items = await page.locator("#messages li[data-position]").all()
    return [await item.get_attribute("data-position") for item in items]


async def shows(page: Page, count: int, *, within: float = 15.0) -> None:
    await expect(page.locator("#messages li[data-position]")).to_have_count(
        count, timeout=within * 1000
    )


async def keep(page: Page, name: str) -> None:
    """A screenshot, for people."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png")


async def test_three_pages_chat_through_two_nodes(amqp: str, site: Site) -> None:
    """Two with websocket and one without, on RabbitMQ: the same messages in the same order."""
    ports = free_port(), free_port()
    nodes = site.gateway_pair(amqp, *ports)
    urls = [site.demo(amqp, node.url, port=port) for node, port in zip(nodes, ports, strict=True)]
    async with chromium() as browser:
        pages = [
            await open_page(browser, urls[0]),
            await open_page(browser, urls[1]),
            await open_page(browser, urls[1], without=("WebSocket",), width=360),
        ]
        used = [await page.locator("#transport").inner_text() for page in pages]
        assert used[:2] == ["websocket", "websocket"]
        assert used[2] in ("xhr-streaming", "eventsource", "xhr-polling")
        assert [node.metric("roomline_sessions") for node in nodes] == [1, 2]

        async def chatter(number: int, page: Page) -> None:
            for turn in range(8):
                await say(page, f"{number}: message {turn}")

        await asyncio.gather(*[chatter(number, page) for number, page in enumerate(pages)])
        await say(pages[0], "<b>no</b> <script>document.title='taken'</script> & co 😀")
        for page in pages:
            await shows(page, 25)
        order = await texts(pages[0])
        for number, page in enumerate(pages):
            assert await texts(page) == order
            assert await positions(page) == await positions(pages[0])
            # Of one page, in the order in which it said them.
            own = [text for text in order if text.startswith(f"{number}: ")]
            assert own == [f"{number}: message {turn}" for turn in range(8)]
            assert await page.locator("#outgoing li").count() == 0
            assert await page.title() != "taken"
            assert await page.locator("#messages b, #messages script").count() == 0
            await expect(page.locator("#note")).to_be_hidden()
            await keep(page, f"three-pages-{number}")
        senders = await pages[0].locator("#messages .sender").all_inner_texts()
        assert len(set(senders)) == 3

        # A page reload subscribes with history only, and shows the same.
        await pages[2].reload()
        await live(pages[2])
        await shows(pages[2], 25)
        assert await texts(pages[2]) == order
        await say(pages[2], "after the reload")
        for page in pages:
            await shows(page, 26)
            assert (await texts(page))[-1] == "after the reload"

        # Somebody in the broker's console, with nothing but a routing key and a text.
        with pika.BlockingConnection(pika.URLParameters(amqp)) as connection:
            connection.channel().basic_publish("rooms", "system.notices", b"Back in <5> minutes")
        for page in pages:
            await expect(page.locator("#notice")).to_be_visible()
            await expect(page.locator("#notice")).to_contain_text("Back in <5> minutes")
        await keep(pages[2], "notice")

        # The first node dies; its page has only that one, and comes back when it does.
        await asyncio.to_thread(nodes[0].kill)
        await expect(pages[0].locator("#state")).not_to_have_attribute("data-state", "connected")
        await say(pages[1], "while it was away")
        await asyncio.to_thread(nodes[0].start)
        for page in pages:
            await shows(page, 27)
        assert await texts(pages[0]) == await texts(pages[1])
        await expect(pages[0].locator("#note")).to_be_hidden()


async def test_a_node_dies_and_the_page_goes_on_at_the_other(embedded: str, site: Site) -> None:
    port = free_port()
    nodes = site.gateway_pair(embedded, port)
    url = site.demo(embedded, *[node.url for node in nodes], port=port)
    async with chromium() as browser:
        pages = [await open_page(browser, url) for _ in range(2)]
        for turn in range(5):
            await say(pages[turn % 2], f"before {turn}")
        for page in pages:
            await shows(page, 5)
        doomed = max(nodes, key=lambda node: node.metric("roomline_sessions"))
        await asyncio.to_thread(doomed.kill)
        for turn in range(5):  # typed while it is not known yet, or known and not yet repaired
            await say(pages[turn % 2], f"after {turn}")
        for page in pages:
            await shows(page, 10, within=30)
            await live(page)
            assert sorted(await texts(page)) == sorted(
                [f"{when} {turn}" for when in ("before", "after") for turn in range(5)]
            )
            await expect(page.locator("#note")).to_be_hidden()
        assert await texts(pages[0]) == await texts(pages[1])


async def test_a_cut_of_20_seconds_and_a_log_that_is_another(embedded: str, site: Site) -> None:
    ports = free_port(), free_port()
    node = site.gateway(embedded, *ports)
    async with Proxy.to(node.url) as proxy, chromium() as browser:
        through = site.demo(embedded, proxy.address(node.url), port=ports[0])
        direct = site.demo(embedded, node.url, port=ports[1])
        cut, streaming, other = (
            await open_page(browser, through),
            await open_page(browser, through, without=("WebSocket",)),
            await open_page(browser, direct),
        )
        await say(cut, "before the cut")
        for page in (cut, streaming, other):
            await shows(page, 1)

        # Nothing comes through, and nobody is told.
        proxy.stall()
        for turn in range(10):
            await say(other, f"during the cut {turn}")
            await asyncio.sleep(CUT_SECONDS / 10)
        await shows(other, 11)
        assert await texts(cut) == ["before the cut"]
        proxy.resume()
        for page in (cut, streaming):
            await shows(page, 11, within=40)
            assert await texts(page) == await texts(other)
            assert await positions(page) == await positions(other)
            await expect(page.locator("#note")).to_be_hidden()
        await say(cut, "and on")
        for page in (cut, streaming, other):
            await shows(page, 12)

        # The log is deleted and begun anew: that is not continued but said.
        await asyncio.to_thread(node.kill)
        for file in Path(embedded.removeprefix("embedded:")).parent.glob("log.sqlite3*"):
            file.unlink()
        await asyncio.to_thread(node.start)
        for page in (cut, streaming, other):
            note = page.locator("#note")
            await expect(note).to_be_visible(timeout=40_000)
            await expect(note).to_contain_text("may be missing")
            await live(page)
            await shows(page, 0)  # its history, loaded anew, is empty
        await keep(cut, "another-log")
        await say(streaming, "a new beginning")
        for page in (cut, streaming, other):
            await shows(page, 1)
            assert await texts(page) == ["a new beginning"]

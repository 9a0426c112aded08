"""The JavaScript client in PhantomJS, an old engine without promises, against a real gateway."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.client.js_pages import DIST, PHANTOM, SCENARIO, SOCKJS, publish
from tests.support.gateway import Gateway
from tests.support.phantomjs import PHANTOMJS_ENVIRONMENT, runnable
from tests.support.transportproxy import WEBSOCKET_GREETED, TransportProxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

SCRIPTS = [SOCKJS, DIST / "roomline.umd.js", SCENARIO]
LINE_SECONDS = 30.0


@pytest.fixture(scope="module")
def phantomjs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runnable(tmp_path_factory.mktemp("phantomjs"))


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(f"embedded:{tmp_path}/log.sqlite3")
    gateway.start()
    yield gateway
    gateway.close()


class Page:
    """A page that runs the scenario, and the values that it reports."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        self._stdout = process.stdout
        self.process = process

    async def reported(self, name: str) -> list[Any]:
        """What the next report of this name says; errors that are retried may come before it."""
        while True:
            line = await asyncio.wait_for(self._stdout.readline(), LINE_SECONDS)
            assert line, f"the page ended before it reported {name!r}"
            kind, *values = json.loads(line)
            print(kind, values)
            if kind == name:
                return values
            assert kind != "refused"


@asynccontextmanager
async def running(phantomjs: Path, url: str, transport: str) -> AsyncIterator[Page]:
    """A page that follows the gateway at this address by this transport, or by any."""
    process = await asyncio.create_subprocess_exec(
        phantomjs,
        PHANTOM,
        url,
        transport,
        *SCRIPTS,
        stdout=asyncio.subprocess.PIPE,
        env={
            **{name: value for name, value in os.environ.items() if name != "QT_QPA_PLATFORM"},
            **PHANTOMJS_ENVIRONMENT,
        },
    )
    try:
        yield Page(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def page(
    gateway: Gateway, phantomjs: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Page]:
    """With the transport of the test's parameter."""
    async with running(phantomjs, gateway.url, request.param) as page:
        yield page


async def begins(page: Page) -> str:
    """The page has loaded the client, connected and published; gives the transport."""
    [[promise, globals_added]] = await page.reported("engine")
    assert promise == "undefined", "this engine is to have no promises"
    assert sorted(globals_added) == ["Roomline", "SockJS", "scenario"]
    [transport] = await page.reported("connected")
    [key] = await page.reported("published")
    assert len(key) == 32
    return str(transport)


# Not by xhr-polling: PhantomJS itself crashes when a poll of sockjs-client is refused.
@pytest.mark.parametrize("page", ["websocket", "xhr-streaming", "eventsource"], indirect=True)
async def test_it_continues_after_the_gateway_was_killed(gateway: Gateway, page: Page) -> None:
    await begins(page)
    publish(gateway, "before")
    gateway.kill()
    await asyncio.to_thread(gateway.start)
    publish(gateway, 1, 2, 3, "stop")

    told, subscribed, state = await page.reported("done")
    assert told == [{"text": "héllo 😀"}, "before", 1, 2, 3, "stop"]
    assert subscribed == [[False, None, 0], [True, None, 0]]
    assert state == "disconnected"
    assert await asyncio.wait_for(page.process.wait(), 10) == 0


@pytest.mark.parametrize("page", ["xhr-polling"], indirect=True)
async def test_it_chats_by_long_polling(gateway: Gateway, page: Page) -> None:
    assert await begins(page) == "xhr-polling"
    publish(gateway, 1, 2, 3, "stop")
    told, subscribed, _ = await page.reported("done")
    assert told == [{"text": "héllo 😀"}, 1, 2, 3, "stop"]
    assert subscribed == [[False, None, 0]]
    assert await asyncio.wait_for(page.process.wait(), 10) == 0


async def test_it_falls_back_from_a_websocket_that_swallows(
    gateway: Gateway, phantomjs: Path
) -> None:
    """Behind a proxy that lets the websocket open and then nothing through."""
    async with TransportProxy.to(gateway.url) as proxy:
        proxy.faults["websocket"] = WEBSOCKET_GREETED
        async with running(phantomjs, proxy.address(gateway.url), "any") as page:
            [report] = await page.reported("transport")
            assert report["transport"] in {"xhr-streaming", "eventsource"}
            assert report["tried"][0]["transport"] == "websocket"
            assert report["tried"][0]["reason"] == "unanswered"
            await page.reported("published")
            await asyncio.to_thread(publish, gateway, 1, 2, 3, "stop")
            told, _, _ = await page.reported("done")
            assert told == [{"text": "héllo 😀"}, 1, 2, 3, "stop"]

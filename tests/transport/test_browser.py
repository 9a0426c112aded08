"""Stock sockjs-client in a real browser, on every transport."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page
from roomline.core.outbox import Encoded
from roomline.transport.pages import CLIENT_PATH

from tests.support.browser import chromium
from tests.transport.servers import PREFIX, Behaviour, Client, Server, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(60),
]

TALK = """([address, transports, sent]) => new Promise((resolve) => {
    const told = {transport: null, received: [], closed: null};
    const client = new SockJS(address, null, {transports: transports || undefined});
    client.onopen = () => {
        told.transport = client.transport;
        sent.forEach((message) => client.send(message));
    };
    client.onmessage = (event) => told.received.push(event.data);
    client.onclose = (event) => { told.closed = [event.code, event.reason]; resolve(told); };
})"""


class UntilBye(Behaviour):
    """Echoes; after ``bye``, a hundred numbers and a close."""

    def message(self, client: Client, text: str) -> None:
        client.send(text)
        if text == "bye":
            for number in range(100):
                client.outbox.put(Encoded(str(number)))  # type: ignore[attr-defined]
            client.close(3500, "as you wish")


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with chromium() as browser:
        yield await browser.new_page()


async def load(page: Page, server: Server) -> None:
    """Open a page of the server with sockjs-client in it."""
    await page.goto(address_of(server))
    await page.add_script_tag(url=address_of(server) + CLIENT_PATH)


def address_of(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}{PREFIX}"


TRANSPORTS = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"]
SENT = ["hello", 'déjà "vu" 😀 \u2028', "bye"]
EXPECTED = {"received": [*SENT, *map(str, range(100))], "closed": [3500, "as you wish"]}


async def test_a_page_of_the_same_origin(page: Page) -> None:
    async with serving("ours", UntilBye(), response_limit=300) as server:
        await load(page, server)
        for transport in TRANSPORTS:
            told = await page.evaluate(TALK, [address_of(server), [transport], SENT])
            assert told == {"transport": transport, **EXPECTED}


async def test_pages_of_other_origins(page: Page) -> None:
    async with serving() as other:
        listed = frozenset({f"http://127.0.0.1:{other.port}"})
        async with (
            serving("ours", UntilBye(), response_limit=300, allowed_origins=listed) as server,
            serving("ours", UntilBye()) as closed,
        ):
            await load(page, other)
            for transport in TRANSPORTS:
                told = await page.evaluate(TALK, [address_of(server), [transport], SENT])
                assert told == {"transport": transport, **EXPECTED}
            for transport in TRANSPORTS:
                told = await page.evaluate(TALK, [address_of(closed), [transport], SENT])
                assert told["transport"] is None
                assert told["closed"][0] == 1002
            assert closed.behaviour.clients == []


async def test_falling_back(page: Page) -> None:
    async with serving("ours", UntilBye()) as server:
        await page.add_init_script("delete window.WebSocket")
        await load(page, server)
        told = await page.evaluate(TALK, [address_of(server), None, SENT])
        assert told == {"transport": "xhr-streaming", **EXPECTED}
    transports = frozenset({"xhr-polling", "websocket"})
    async with serving("ours", UntilBye(), transports=transports) as server:
        await load(page, server)
        told = await page.evaluate(TALK, [address_of(server), None, SENT])
        assert told == {"transport": "xhr-polling", **EXPECTED}

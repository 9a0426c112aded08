"""Both versions of stock sockjs-client, by the transports that old browsers need, from a page of
another origin and from one of the same."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page
from roomline.transport import TRANSPORTS
from roomline.transport.pages import CLIENTS, client_path

from tests.support.browser import chromium
from tests.transport.servers import PREFIX, Behaviour, Client, Server, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

TALK = """([address, transport, sent]) => new Promise((resolve) => {
    const told = {transport: null, received: [], closed: null};
    const options = {transports: [transport], protocols_whitelist: [transport]};
    const client = new SockJS(address, null, options);
    client.onopen = () => {
        told.transport = client.transport || client.protocol;
        sent.forEach((message) => client.send(message));
    };
    client.onmessage = (event) => told.received.push(event.data);
    client.onclose = (event) => { told.closed = [event.code, event.reason]; resolve(told); };
})"""

FRAMED = ["iframe-eventsource", "iframe-htmlfile", "iframe-xhr-polling"]
SENT = [
    *("hello", "\U0001f600 é", "</script><script>document.title='x'</script>", "a\u2028b\u2029c"),
    *("100%", "%41%25%E2%82%", "%23"),
    *("nul\0and\x1f", "x" * 60_000, "bye"),
]


class UntilBye(Behaviour):
    def message(self, client: Client, text: str) -> None:
        client.send(text)
        if text == "bye":
            client.close(3500, "as you wish")


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with chromium() as browser:
        yield await browser.new_page()


async def check(page: Page, host: Server, server: Server, version: str, transport: str) -> None:
    """A page of `host` talks with `server`."""
    base = f"http://127.0.0.1:{server.port}{PREFIX}"
    await page.goto(f"http://127.0.0.1:{host.port}{PREFIX}")
    await page.add_script_tag(url=base + client_path(version))
    told = await page.evaluate(TALK, [base, transport, SENT])
    expected = {"received": SENT, "closed": [3500, "as you wish"]}
    assert told == {"transport": transport, **expected}
    assert await page.title() == "", "a message ran as a script"


@pytest.mark.parametrize("version", CLIENTS)
async def test_pages_of_another_origin(page: Page, version: str) -> None:
    async with serving() as host:
        listed = frozenset({f"http://127.0.0.1:{host.port}"})
        async with serving(
            "ours", UntilBye(), transports=TRANSPORTS, allowed_origins=listed
        ) as server:
            for transport in [*FRAMED, "jsonp-polling"]:
                await check(page, host, server, version, transport)


@pytest.mark.parametrize("version", CLIENTS)
async def test_pages_of_the_same_origin(page: Page, version: str) -> None:
    async with serving("ours", UntilBye(), transports=TRANSPORTS) as server:
        # The old version has htmlfile only inside of a frame.
        alone = ["htmlfile"] if version == "1.6.1" else []
        for transport in [*alone, *FRAMED, "jsonp-polling"]:
            await check(page, server, server, version, transport)


@pytest.mark.parametrize("version", CLIENTS)
async def test_foreign_pages_get_no_frame_and_no_script(page: Page, version: str) -> None:
    async with (
        serving() as host,
        serving("ours", UntilBye(), transports=TRANSPORTS) as server,
    ):
        base = f"http://127.0.0.1:{server.port}{PREFIX}"
        await page.goto(f"http://127.0.0.1:{host.port}{PREFIX}")
        await page.add_script_tag(url=base + client_path(version))
        for transport in ["iframe-eventsource", "jsonp-polling"]:
            told = await page.evaluate(TALK, [base, transport, SENT])
            assert told["transport"] is None
            assert told["closed"][0] in (1002, 2000)
        assert server.behaviour.clients == []

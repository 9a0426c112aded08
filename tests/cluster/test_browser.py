"""Stock sockjs-client in a real browser, behind a load balancer that spreads every request over
three nodes at random."""

from pathlib import Path

import pytest
from roomline.transport.pages import CLIENT_PATH

from tests.cluster.nodes import cluster
from tests.support.browser import chromium
from tests.support.spreading import Spreader
from tests.support.until import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

TRANSPORTS = [
    *("websocket", "xhr-streaming", "eventsource", "xhr-polling", "htmlfile", "jsonp-polling"),
    *("iframe-eventsource", "iframe-htmlfile", "iframe-xhr-polling"),
]
SENT = ["hello", 'déjà "vu" 😀 \u2028', "</script>", "x" * 1500, *map(str, range(16))]

TALK = """([address, transport, sent]) => new Promise((resolve) => {
    const told = {transport: null, received: [], closed: null};
    const client = new SockJS(address, null, {transports: [transport]});
    const next = () => {
        const place = told.received.length;
        place < sent.length ? client.send(sent[place]) : client.close(1000, "enough");
    };
    client.onopen = () => { told.transport = client.transport; next(); };
    client.onmessage = (event) => { told.received.push(event.data); next(); };
    client.onclose = (event) => { told.closed = [event.code, event.reason]; resolve(told); };
})"""


async def test_every_transport_of_the_stock_client(tmp_path: Path) -> None:
    """One message after the other, each answered: many requests of each session."""
    async with cluster(tmp_path, count=3, response_limit=1000) as nodes:
        await until(lambda: all(len(node.cluster.membership) == 3 for node in nodes))
        urls = [f"http://127.0.0.1:{node.port}/echo" for node in nodes]
        async with Spreader.over(*urls) as spreader, chromium() as browser:
            page = await browser.new_page()
            address = spreader.address(urls[0])
            await page.goto(address)
            await page.add_script_tag(url=address + CLIENT_PATH)
            for transport in TRANSPORTS:
                told = await page.evaluate(TALK, [address, transport, SENT])
                assert told == {
                    "transport": transport,
                    "received": SENT,
                    "closed": [1000, "enough"],
                }
        for node in nodes:
            assert set(node.counters.forwarded) <= {"answered", "gone"}
        assert sum(node.counters.forwarded["answered"] for node in nodes) > 50

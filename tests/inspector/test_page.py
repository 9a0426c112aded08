"""The inspector's page in a real browser: two nodes, three transports, wide and on a phone."""

import asyncio
import os
import secrets
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect
from roomline.transport.pages import CLIENT_PATH

from tests.docs.pages import snippet
from tests.end_to_end.conftest import Gateways
from tests.support.browser import chromium
from tests.support.tokens import API_TOKEN
from tests.support.until import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TOKEN = "an-inspector-token-of-the-tests-0123"
ROOM = "chat.lobby"
IMAGES = Path(__file__).parents[2] / "docs" / "operations" / "images"
WIDE, PHONE = {"width": 1200, "height": 1500}, {"width": 390, "height": 844}
WITHIN_MS = 20_000

CLIENTS = """([address, ways, room]) => {
    window.told = {};
    window.ended = {};
    return Promise.all(ways.map((way) => new Promise((resolve) => {
        const {transport, client, tried} = way;
        const socket = new SockJS(address, null, {transports: [transport]});
        window.told[transport] = [];
        socket.onopen = () => socket.send(JSON.stringify(
            {id: 1, type: "connect", version: 1, client, transport: {tried, ms: 3000}}));
        socket.onclose = (event) => { window.ended[transport] = [event.code, event.reason]; };
        socket.onmessage = (event) => {
            const message = JSON.parse(event.data);
            window.told[transport].push(message);
            if (message.id === 1) {
                way.session = message.session;
                socket.send(JSON.stringify({id: 2, type: "subscribe", room}));
            }
            if (message.id === 2) resolve([transport, way.session]);
        };
    })));
}"""

ROWS = """(id) => [...document.querySelectorAll(`#${id} tbody tr`)].map(
    (row) => [...row.cells].map((cell) => cell.textContent))"""


class Inspector:
    """The page of one node."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        # What Chromium itself says of an answer with an error status is no complaint of the page.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    async def open(self, url: str) -> None:
        await self.page.goto(url + "/inspect")

    async def show(self, token: str) -> None:
        await self.page.get_by_label("Inspector token").fill(token)
        await self.page.get_by_role("button", name="Look").click()

    async def rows(self, table: str) -> list[list[str]]:
        rows: list[list[str]] = await self.page.evaluate(ROWS, table)
        return rows

    async def expect_text(self, selector: str, text: str) -> None:
        await expect(self.page.locator(selector)).to_contain_text(text, timeout=WITHIN_MS)


async def picture(page: Page, name: str) -> None:
    taken = await page.screenshot(animations="disabled")
    assert taken.startswith(b"\x89PNG")
    if os.environ.get("SCREENSHOTS"):
        (IMAGES / f"{name}.png").write_bytes(taken)


async def test_an_operator_looks_and_acts(gateways: Gateways, embedded: str) -> None:
    gateway = gateways(embedded, PROCESSES="2", INSPECT_TOKENS=f"ann:{TOKEN}", NODE="demo")
    tried = {
        "websocket": [],
        "xhr-streaming": [{"transport": "websocket", "reason": "unopened", "ms": 2000}],
        "xhr-polling": [
            {"transport": "websocket", "reason": "cut", "ms": 1500},
            {"transport": "xhr-streaming", "reason": "silent", "ms": 4000},
        ],
    }
    ways = [
        {"transport": name, "client": secrets.token_hex(16), "tried": report}
        for name, report in tried.items()
    ]
    async with chromium() as browser:
        clients = await browser.new_page()
        await clients.goto(gateway.url)
        await clients.add_script_tag(url=gateway.url + CLIENT_PATH)
        sessions = dict(await clients.evaluate(CLIENTS, [gateway.url, ways, ROOM]))
        for place in range(3):
            gateway.get(
                f"/api/rooms/{ROOM}/publications", token=API_TOKEN, body={"data": f"secret {place}"}
            )

        context = await browser.new_context(viewport=WIDE)
        looks = []
        for url in gateway.internals:
            look = Inspector(await context.new_page())
            await look.open(url)
            await look.show("not-one-of-the-tokens-but-long-enough")
            await look.expect_text("#told", "needs an inspector token")
            await expect(look.page.locator("#shown")).to_be_hidden()
            await look.show(TOKEN)
            await look.expect_text("#told", "ready")
            await look.expect_text("#rooms", ROOM)
            await expect(look.page.get_by_label("Inspector token")).to_be_hidden()
            looks.append(look)

        # Each node shows itself and knows the other; together they have all three sessions.
        shown: dict[str, tuple[Inspector, list[str]]] = {}
        for number, look in enumerate(looks):
            await look.expect_text("#node", f"demo-{number}")
            await look.expect_text("#nodes", f"demo-{1 - number}")
            shown |= {row[0]: (look, row) for row in await look.rows("sessions") if len(row) > 1}
        assert shown.keys() == set(sessions.values())
        for transport, session in sessions.items():
            look, row = shown[session]
            assert row[2] == transport
            assert [transport] in [cells[:1] for cells in await look.rows("transports")]
            for trial in tried[transport]:
                assert f"{trial['transport']}: {trial['reason']}" in row[3]
        rooms = [row for look in looks for row in await look.rows("rooms")]
        assert sum(int(row[1]) for row in rooms if row[0] == ROOM) == 3

        # A session is followed, with what comes into its room but not what it says.
        look, row = shown[sessions["xhr-polling"]]
        page = look.page
        await page.get_by_role("row", name=row[0]).get_by_role("button", name="Follow").click()
        await look.expect_text("#followed-told", "xhr-polling, 2 rooms")
        key = secrets.token_hex(8)
        said = {"data": "a secret of somebody's", "key": key}
        gateway.get(f"/api/rooms/{ROOM}/publications", token=API_TOKEN, body=said)
        await look.expect_text("#publications tbody", ROOM)
        [publication] = await look.rows("publications")
        assert publication[1:4] == [ROOM, "message", "24"]
        assert "secret" not in await page.inner_text("body")
        await expect(page.get_by_label("Notice to everybody")).to_be_hidden()
        await picture(page, "inspector-wide")

        # It fits a phone: nothing has to be scrolled sideways, and all can be pressed.
        await page.set_viewport_size(PHONE)
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        await picture(page, "inspector-phone")
        await page.set_viewport_size(WIDE)

        # It is sent away, for good.
        page.on("dialog", lambda dialog: dialog.accept())
        await page.get_by_role("button", name="Disconnect this session").click()
        await look.expect_text("#followed-told", "The session has ended.")
        await look.expect_text("#incidents", "3503 removed")
        await clients.wait_for_function("window.ended['xhr-polling']", timeout=WITHIN_MS)
        assert await clients.evaluate("window.ended") == {"xhr-polling": [3503, "removed"]}

        # The room is followed, and told something.
        await page.get_by_label("Follow a room").fill(ROOM)
        await page.get_by_label("Follow a room").press("Enter")
        await look.expect_text("#followed-what", f"room {ROOM}")
        await page.get_by_label("Notice to everybody").fill("back in five minutes")
        await page.get_by_role("button", name="Send").click()
        await look.expect_text("#publications tbody", "admin")
        for transport in ("websocket", "xhr-streaming"):
            await clients.wait_for_function(
                "(name) => window.told[name].some((one) => one.kind === 'admin')",
                arg=transport,
                timeout=WITHIN_MS,
            )
            told = await clients.evaluate("(name) => window.told[name].at(-1)", transport)
            assert told["data"] == {"text": "back in five minutes"}
            assert told["sender"] == {"id": "ann", "name": "ann"}
        await asyncio.sleep(2)  # the page is written anew each second
        await look.expect_text("#done", "The notice is sent.")

        # The token stays in the tab, and in no address.
        await page.reload()
        await look.expect_text("#told", "ready")
        assert TOKEN not in page.url
        assert await page.evaluate("localStorage.length") == 0
        await page.get_by_role("button", name="Forget the token").click()
        await page.reload()
        await expect(page.get_by_label("Inspector token")).to_be_visible()
        for look in looks:
            assert look.complaints == []
    await until(lambda: "inspector ann ends the session" in gateway.log)
    assert "inspector ann sends a notice" in gateway.log
    assert "inspector ann follows the rooms of the session, without data" in gateway.log
    assert TOKEN not in gateway.log
    assert "secret" not in gateway.log


async def test_it_waits_for_a_node_that_is_away(gateways: Gateways, embedded: str) -> None:
    gateway = gateways(embedded, INSPECT_TOKENS=f"ann:{TOKEN}", INSPECT_DATA="true")
    async with chromium() as browser:
        look = Inspector(await browser.new_page())
        await look.open(gateway.internal)
        await look.show(TOKEN)
        await look.expect_text("#told", "ready")
        await look.page.get_by_label("Follow a room").fill(ROOM)
        await look.page.get_by_label("Follow a room").press("Enter")
        await look.expect_text("#followed-what", ROOM)
        gateway.kill()
        await look.expect_text("#told", "cannot be reached")
        gateway.start()
        await look.expect_text("#told", "ready")
        said = {"data": "<img src=x onerror=alert(1)>"}
        await until(lambda: "follows the room" in gateway.log.rpartition("serving ")[2], within=20)
        gateway.get(f"/api/rooms/{ROOM}/publications", token=API_TOKEN, body=said)
        await look.expect_text("#publications tbody", "<img src=x onerror=alert(1)>")
        assert look.complaints == []
    assert snippet("docs/operations/inspector.rst", "inspector-log").text in gateway.log

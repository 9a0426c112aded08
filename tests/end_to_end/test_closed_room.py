"""Rights that staff takes back in the admin, as an open page shows it to the one who had them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.end_to_end.conftest import Gateways
from tests.end_to_end.test_browser import ROOM, Site, keep, live, open_page, say, shows
from tests.end_to_end.test_notices import admin
from tests.end_to_end.test_room_page import django, state
from tests.support.browser import chromium
from tests.support.demo import DemoData, free_port

pytestmark = pytest.mark.timeout(120)

ANN = (
    "from django.contrib.auth.models import User",
    "User.objects.create_user('ann', password='of ann')",
)
SEEN_WITHIN_MS = 1000
"""From the answer of the admin on."""


@pytest.fixture
def site(tmp_path: Path, gateways: Gateways) -> Iterator[Site]:
    site = Site(DemoData(tmp_path), gateways)
    yield site
    site.close()


async def ann_in_the_room(browser: Browser, url: str) -> Page:
    """The room's page of a user who is logged in."""
    page = await (await browser.new_context(viewport={"width": 900, "height": 640})).new_page()
    page.on("pageerror", lambda error: pytest.fail(f"error in the page: {error}"))
    await page.goto(f"{url.split('/rooms/', maxsplit=1)[0]}/login/?next={ROOM}")
    await page.locator("#id_username").fill("ann")
    await page.locator("#id_password").fill("of ann")
    await page.locator("#id_password").press("Enter")
    await live(page)
    return page


async def with_rooms(staff: Page, url: str, action: str) -> None:
    """Do this with the lobby in the admin's list of rooms, and see that it is done."""
    await staff.goto(f"{url.split('/rooms/', maxsplit=1)[0]}/admin/django_roomline/room/")
    await staff.locator("tr:has-text('chat.lobby') .action-select").check()
    await staff.locator("select[name=action]").select_option(action)
    await staff.locator("button[name=index]").click()
    await expect(staff.locator(".messagelist")).to_contain_text("1 rooms")


async def test_a_closed_room_says_so_and_takes_nothing_more(
    broker: str, tmp_path: Path, site: Site
) -> None:
    port = free_port()
    node = site.gateway(broker, port)
    url = site.demo(broker, node.url, port=port)
    await asyncio.to_thread(django, tmp_path, *ANN)
    async with chromium() as browser:
        page = await ann_in_the_room(browser, url)
        guest = await open_page(browser, url, width=360)
        await say(page, "still open")
        await shows(guest, 1)
        staff = await admin(browser, f"{url.split('/rooms/', maxsplit=1)[0]}/admin/", tmp_path)

        await with_rooms(staff, url, "close")
        for reader in (page, guest):
            note = reader.locator("#note")
            await expect(note).to_contain_text("This room was closed.", timeout=SEEN_WITHIN_MS)
            await expect(reader.locator("#state")).to_have_text("not open")
            await expect(reader.locator("#text")).to_be_disabled()
            await expect(reader.locator("#composer button")).to_be_disabled()
            await expect(reader.locator("#messages .text")).to_have_text(["still open"])
        await keep(page, "room-closed")
        await keep(guest, "room-closed-narrow")
        # Whoever tries it in another way is refused by the gateway.
        await page.evaluate(
            "document.querySelectorAll('#composer :disabled').forEach(e => { e.disabled = false })"
        )
        await say(page, "too late")
        await expect(page.locator("#outgoing .failed")).to_contain_text("Not sent")
        await page.reload()
        await expect(page.locator("#composer")).to_have_count(0)

        await with_rooms(staff, url, "open")
        for reader in (page, guest):
            await reader.goto(url)
            await live(reader)
        await say(page, "open again")
        await shows(guest, 2)
        await expect(page.locator("#note")).to_be_hidden()


async def test_a_deactivated_user_is_told_and_goes_on_as_a_guest(
    embedded: str, tmp_path: Path, site: Site
) -> None:
    port = free_port()
    node = site.gateway(embedded, port)
    url = site.demo(embedded, node.url, port=port)
    await asyncio.to_thread(django, tmp_path, *ANN)
    async with chromium() as browser:
        page = await ann_in_the_room(browser, url)
        await say(page, "as ann")
        await shows(page, 1)
        root = url.split("/rooms/", maxsplit=1)[0]
        staff = await admin(browser, f"{root}/admin/", tmp_path)
        await staff.goto(f"{root}/admin/auth/user/")
        await staff.get_by_role("link", name="ann", exact=True).click()
        await staff.locator("#id_is_active").uncheck()
        await staff.locator("[name=_save]").click()
        await expect(staff.locator(".messagelist .success")).to_be_visible()

        note = page.locator("#note")
        await expect(note).to_contain_text("You are not logged in any more", timeout=5000)
        await expect(note).to_contain_text("as Guest")
        await state(page, "connected")
        await say(page, "as a guest")
        await shows(page, 2)
        await expect(page.locator("#messages .sender").nth(0)).to_have_text("ann")
        await expect(page.locator("#messages .sender").nth(1)).to_contain_text("Guest")
        await keep(page, "user-deactivated")

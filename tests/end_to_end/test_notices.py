"""Notices in Chromium: sent in the real admin, seen by open pages with their sender's name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.end_to_end.conftest import Gateways
from tests.end_to_end.test_browser import Site, keep, open_page
from tests.support.browser import chromium
from tests.support.demo import DemoData, free_port

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def site(tmp_path: Path, gateways: Gateways) -> Iterator[Site]:
    site = Site(DemoData(tmp_path), gateways)
    yield site
    site.close()


async def admin(browser: Browser, url: str, folder: Path) -> Page:
    """The admin's index in a browser profile of its own, of the user that the demo makes."""
    page = await (await browser.new_context(viewport={"width": 1000, "height": 720})).new_page()
    page.on("pageerror", lambda error: pytest.fail(f"error in the page: {error}"))
    await page.goto(url)
    password = json.loads((folder / "secrets.json").read_text())["password"]
    await page.locator("#id_username").fill("demo")
    await page.locator("#id_password").fill(password)
    await page.locator("#id_password").press("Enter")
    await expect(page.locator("#site-name")).to_be_visible()
    return page


async def send(page: Page, name: str) -> None:
    """From composing on, by way of the preview, with a screenshot of each."""
    await keep(page, f"{name}-compose")
    await page.locator("[name=_preview]").click()
    await expect(page.locator("#notice_text")).to_be_visible()
    await keep(page, f"{name}-preview")
    await page.locator("[name=_send]").click()
    await expect(page.locator(".messagelist .success")).to_be_visible()
    await keep(page, f"{name}-sent")


async def test_an_open_page_shows_a_notice_and_who_sent_it(
    broker: str, tmp_path: Path, site: Site
) -> None:
    port = free_port()
    node = site.gateway(broker, port)
    room = site.demo(broker, node.url, port=port)
    url = room.split("/rooms/", maxsplit=1)[0]
    async with chromium() as browser:
        guest = await open_page(browser, room)
        staff = await admin(browser, f"{url}/admin/", tmp_path)

        # To everybody.
        await staff.goto(f"{url}/admin/django_roomline/notice/add/")
        await staff.locator("#id_text").fill("Back at <5>\nPlease save your work")
        await send(staff, "notice-everybody")
        notice = guest.locator("#notice")
        await expect(notice).to_contain_text("demo: Back at <5>")
        await keep(guest, "notice-seen")

        # To a room that is selected in the list of rooms.
        await staff.goto(f"{url}/admin/django_roomline/room/")
        await staff.locator("tr:has-text('chat.lobby') .action-select").check()
        await staff.locator("select[name=action]").select_option("compose_notice")
        await staff.locator("button[name=index]").click()
        await expect(staff.locator("#id_names")).to_have_value("chat.lobby")
        await staff.locator("#id_text").fill("Welcome to the lobby")
        await send(staff, "notice-room")
        message = guest.locator("#messages .admin")
        await expect(message.locator(".text")).to_have_text("Welcome to the lobby")
        await expect(message.locator(".sender")).to_have_text("demo")

        # To one user, on a page of the same person; nobody else sees it.
        await staff.goto(room)
        await expect(staff.locator("#state")).to_have_attribute("data-state", "connected")
        sender = await staff.context.new_page()
        await sender.goto(f"{url}/admin/django_roomline/notice/add/")
        await sender.locator("#id_target_2").check()
        await sender.locator("#id_username").fill("demo")
        await sender.locator("#id_text").fill("For you alone")
        await send(sender, "notice-user")
        await expect(staff.locator("#notice")).to_contain_text("demo: For you alone")
        await expect(notice).to_contain_text("Back at <5>")
        await keep(guest, "notice-room-seen")

        # And staff sees on the page of the log who has done all that.
        await sender.goto(f"{url}/log/")
        await expect(sender.locator("#messages .text")).to_have_text(
            [
                "demo logged in",
                "demo added notice “system.notices”",
                "demo added notice “chat.lobby”",
                re.compile(r"demo added notice “user\.\d+”"),
            ]
        )
        await keep(sender, "log")

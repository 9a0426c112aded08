"""docs/tutorial.rst, followed word by word: its commands, its files, and what one sees."""

import asyncio
import shutil
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.docs.pages import ROOT, page
from tests.docs.waiting import address_of
from tests.docs.walkthrough import Terminal, clean_environment, follow, step, steps
from tests.support.browser import chromium

PAGE = "docs/tutorial.rst"

MINUTES = 10
WORDS_PER_MINUTE = 200
SECONDS_PER_BLOCK = 15
"""To copy a block, find the file or the terminal, and paste it."""
SECONDS_FOR_THE_MACHINE = 120
"""What the commands take, with the packages coming from the network. Much less was measured."""

IN_BROWSER = {"tutorial-shell", "tutorial-start", "tutorial-page-2"}
"""Steps that come when the page is open, or open it."""


@pytest.fixture
def terminals(tmp_path: Path) -> tuple[Terminal, Terminal]:
    """Two terminals in the folder that holds the clone."""
    clone = tmp_path / "roomline"
    for distribution in ("gateway", "djangoapp"):
        # Copies, because an installation leaves build folders in the tree.
        shutil.copytree(
            ROOT / distribution,
            clone / distribution,
            ignore=shutil.ignore_patterns("build", "__pycache__", "*.egg-info", "demo-data"),
        )
    # Not this environment's programs: the tutorial makes one of its own.
    plain = {
        "PATH": clean_environment()["PATH"].partition(":")[2],
        "PIP_CONSTRAINT": str(ROOT / "requirements" / "constraints.txt"),
    }
    return Terminal(tmp_path, **plain), Terminal(tmp_path, **plain)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_every_step(terminals: tuple[Terminal, Terminal], tmp_path: Path):
    first, second = terminals
    later = [each for each in steps(PAGE) if each.name in IN_BROWSER]
    assert [each.verb for each in later] == ["start", "second", "replace"]
    follow(first, [each for each in steps(PAGE) if each not in later])
    with first.start(step(PAGE, "tutorial-start").text) as servers:
        try:
            await see_it_live(address_of(servers), first, second, tmp_path)
        finally:
            servers.terminate()
            servers.wait(timeout=30)


async def see_it_live(address: str, first: Terminal, second: Terminal, folder: Path) -> None:
    """Steps 7 and 8, in a browser."""
    async with chromium() as browser:
        window = await browser.new_context()
        live = await window.new_page()
        await live.goto(address)
        await live.fill("#id_username", "ann")
        await live.fill("#id_password", "open-sesame")
        await live.click("[type=submit]")
        await expect(live.get_by_role("heading", name="Live orders")).to_be_visible()
        await live.wait_for_function("client.subscription('staff.orders').state === 'subscribed'")
        await shows(live, mine=[], staff=[])

        await add_order(await window.new_page(), f"{address}admin/orders/order/add/")
        await shows(live, mine=["Tea: new"], staff=["Tea: new"])
        second.run(step(PAGE, "tutorial-shell").text)
        await shows(live, mine=["Tea: new", "Hello from the shell"], staff=["Tea: new"])
        await live.screenshot(path=folder / "live.png")

        await live.reload()
        await live.wait_for_function("client.subscription('staff.orders').state === 'subscribed'")
        await shows(live, mine=[], staff=[])
        first.write(step(PAGE, "tutorial-page-2"))
        async with asyncio.timeout(30):
            # The development server looks for changed files once in a second.
            while not await live.locator("#form").count():
                await live.reload()
        await shows(live, mine=["Tea: new", "Hello from the shell"], staff=["Tea: new"])
        await live.fill("#text", "Who packs the tea?")
        await live.click("text=Send")
        await expect(live.locator("#staff li")).to_have_text(
            ["Tea: new", "ann: Who packs the tea?"], timeout=15_000
        )
        await expect(live.locator("#text")).to_have_value("")
        await live.screenshot(path=folder / "sending.png")


async def add_order(admin: Page, address: str) -> None:
    """What the page says to do in the second window."""
    await admin.goto(address)
    await admin.select_option("#id_customer", label="ann")
    await admin.fill("#id_item", "Tea")
    await admin.click("[name=_save]")
    await expect(admin.get_by_text("was added successfully")).to_be_visible()


async def shows(live: Page, *, mine: list[str], staff: list[str]) -> None:
    await expect(live.locator("#mine li")).to_have_text(mine, timeout=15_000)
    await expect(live.locator("#staff li")).to_have_text(staff, timeout=15_000)


def test_ten_minutes_are_enough():
    """Reading every word outside of the blocks, pasting every block, and waiting."""
    blocks = steps(PAGE)
    words = len(page(PAGE).astext().split()) - sum(len(each.text.split()) for each in blocks)
    seconds = words / WORDS_PER_MINUTE * 60 + len(blocks) * SECONDS_PER_BLOCK
    assert seconds + SECONDS_FOR_THE_MACHINE <= MINUTES * 60, (words, len(blocks))


def test_the_page_names_what_the_test_does():
    text = (ROOT / PAGE).read_text()
    for words in ("``ann`` with ``open-sesame``", "``/admin/orders/order/add/``", "*Tea: new*"):
        assert words in text
    for words in ("*Hello from the shell*", "*Who packs the tea?*", "*Tea* as the item"):
        assert words in text

"""What a newcomer does: clone, ``make demo``, open the printed page twice, chat, Ctrl-C."""

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.support.browser import chromium

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What is committed, and nothing that was installed or built beside it."""
    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "clone"], check=True, timeout=60)
    return tmp_path / "clone"


@pytest.fixture
def demo(clone: Path) -> Iterator[subprocess.Popen[str]]:
    # Nothing of the environment that runs the tests, its virtual environment above all.
    keep = ("HOME", "LANG", "PIP_CERT", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "SSL_CERT_FILE")
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    process = subprocess.Popen(
        ["make", "demo"],
        cwd=clone,
        env=environment | {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    assert process.stdout is not None
    process.stdout.close()


def printed_address(demo: subprocess.Popen[str]) -> str:
    assert demo.stdout is not None
    output = ""
    for line in demo.stdout:
        output += line
        if match := re.search(r"Open (http://\S+)", line):
            return match[1]
    raise AssertionError(f"make demo printed no address:\n{output}")


async def test_make_demo_in_a_fresh_clone(demo: subprocess.Popen[str]) -> None:
    address = await asyncio.to_thread(printed_address, demo)
    async with chromium() as browser:
        pages = []
        for _ in range(2):
            page = await (await browser.new_context()).new_page()
            await page.goto(address)
            await page.get_by_role("link", name="Lobby").click()
            await expect(page.locator("#state")).to_have_attribute("data-state", "connected")
            pages.append(page)
        for number, page in enumerate(pages):
            await page.locator("#text").fill(f"hello from page {number}")
            await page.locator("#text").press("Enter")
            for other in pages:
                await expect(other.locator("#messages .text").nth(number)).to_have_text(
                    f"hello from page {number}"
                )
    os.killpg(demo.pid, signal.SIGINT)
    assert await asyncio.to_thread(demo.wait, 20) is not None

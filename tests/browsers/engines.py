"""The browser engines, each as a way to open one page and to leave it open."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tests.support.browser import chromium
from tests.support.phantomjs import PHANTOMJS_ENVIRONMENT, runnable

Engine = Callable[[str, Path], AbstractAsyncContextManager[None]]
"""Opens a URL; the folder is its own, empty."""

FIREFOX_PREFERENCES = {
    # Nothing but the page: no first-run pages, updates, telemetry, captive portal.
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.systemAddon.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}


@asynccontextmanager
async def in_chromium(url: str, folder: Path) -> AsyncIterator[None]:
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(url)
        yield
        await page.screenshot(path=folder / "page.png")


@asynccontextmanager
async def in_firefox(url: str, folder: Path) -> AsyncIterator[None]:
    lines = [
        f'user_pref("{name}", {str(value).lower() if isinstance(value, bool) else repr(value)});'
        for name, value in FIREFOX_PREFERENCES.items()
    ]
    (folder / "user.js").write_text("\n".join(lines).replace("'", '"'))
    command = ["firefox-esr", "--headless", "--no-remote", "--profile", str(folder), url]
    async with _running(command, {"HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"}):
        yield


@asynccontextmanager
async def in_qtwebkit(url: str, folder: Path) -> AsyncIterator[None]:
    # Debian's own Python has Debian's Qt.
    script = Path(__file__).with_name("qtwebkit.py")
    command = ["/usr/bin/python3", str(script), url, str(folder / "page.png")]
    async with _running(command, {"QT_QPA_PLATFORM": "offscreen", "HOME": str(folder)}):
        yield


@asynccontextmanager
async def in_phantomjs(url: str, folder: Path) -> AsyncIterator[None]:
    script = Path(__file__).with_name("phantom.js")
    command = [str(runnable(folder)), str(script), url, str(folder)]
    async with _running(command, PHANTOMJS_ENVIRONMENT):
        yield


ENGINES: dict[str, Engine] = {
    "chromium": in_chromium,
    "firefox": in_firefox,
    "qtwebkit": in_qtwebkit,
    "phantomjs": in_phantomjs,
}


@asynccontextmanager
async def _running(command: Sequence[str], environment: dict[str, str]) -> AsyncIterator[None]:
    """A process that must not end by itself."""
    kept = {name: value for name, value in os.environ.items() if name != "QT_QPA_PLATFORM"}
    # setpriv becomes the browser, and takes care that it does not outlive this process.
    process = await asyncio.create_subprocess_exec(
        "setpriv", "--pdeathsig", "KILL", *command, env=kept | environment,
        stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield
        assert process.returncode is None, f"{command[0]} ended with {process.returncode}"
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()

"""docs/sockjs.rst against the endpoint, the settings, and a browser."""

import re
from pathlib import Path

import pytest
from roomline.config import load
from roomline.config.settings import DEFAULT_TRANSPORTS, TRANSPORTS
from roomline.transport import Endpoint, TransportSettings
from roomline.transport.echoes import Echo

from tests.docs.pages import snippet, table
from tests.support.browser import chromium
from tests.support.gateway import Gateway

PAGE = "docs/sockjs.rst"

COVERS = {"sockjs-all-transports", "sockjs-page"}

_PATH = re.compile(r"/[\w./-]*")


async def test_the_paths_are_those_that_are_served():
    """Each path of the page is somebody's, and there is no other."""
    default = load({}, {}).prefix
    settings = TransportSettings(
        prefix=default, transports=frozenset(TRANSPORTS), raw_websocket=True
    )
    endpoint = Endpoint(Echo(), settings)
    try:
        shown = {
            path.strip(",")
            for row in table(PAGE, "sockjs-paths")
            for path in (row[0].replace("(nothing),", "").split() or [""])
        }
        for path in {*shown, ""}:
            routes = [each for each in endpoint.own_urls if each.regex.match(default + path)]
            assert len(routes) == 1, path
        for route in endpoint.own_urls:
            assert any(route.regex.match(default + path) for path in shown), route
    finally:
        endpoint.close()


def test_the_transports_are_those_of_the_setting():
    rows = [row[:2] for row in table(PAGE, "sockjs-transports")]
    assert rows == [[name, "on" if name in DEFAULT_TRANSPORTS else "off"] for name in TRANSPORTS]


def test_all_transports(tmp_path: Path):
    path = tmp_path / "roomline.toml"
    path.write_text(snippet(PAGE, "sockjs-all-transports").text)
    assert load({"config": str(path)}, {}).transports == TRANSPORTS


@pytest.mark.slow
async def test_the_page(tmp_path: Path):
    """In a browser, from the gateway's own origin."""
    gateway = Gateway(f"embedded:{tmp_path}/log.sqlite3")
    gateway.start()
    try:
        async with chromium() as browser:
            page = await browser.new_page()
            await page.goto(gateway.url)
            await page.set_content(snippet(PAGE, "sockjs-page").text)
            await page.wait_for_function("document.title === 'connected'", timeout=20_000)
    finally:
        gateway.close()

"""The README's page for plain sockjs-client, in a real browser, with the gateway it names."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, snippet
from tests.docs.waiting import wait_until_answering
from tests.support.browser import chromium
from tests.support.rabbitmq import free_port
from tests.support.site import site

COVERS = {"plain-gateway", "plain-page"}

CLIENT = ROOT / "gateway/roomline/transport/static/sockjs.min.js"


@pytest.mark.slow
async def test_the_plain_page(tmp_path: Path):
    """It connects, subscribes, publishes, and hears its own publication."""
    port = free_port()
    page_text = snippet("README.rst", "plain-page").text
    assert "127.0.0.1:8001" in page_text
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text(page_text.replace("127.0.0.1:8001", f"127.0.0.1:{port}"))
    (folder / "sockjs.min.js").write_bytes(CLIENT.read_bytes())
    heard: list[str] = []
    with site(folder) as origin, gateway(port, origin, tmp_path / "log.sqlite3"):
        async with chromium() as browser:
            page = await browser.new_page()
            page.on("console", lambda message: heard.append(message.text))
            await page.goto(origin)
            while not any('"type":"publication"' in text for text in heard):
                heard.append((await page.wait_for_event("console", timeout=10_000)).text)
    publication = next(text for text in heard if '"type":"publication"' in text)
    assert json.loads(publication)["data"] == {"text": "hello"}


@contextmanager
def gateway(port: int, origin: str, log: Path) -> Iterator[None]:
    """The README's command, but for the ports, the log, and the page's origin."""
    shown = shlex.split(snippet("README.rst", "plain-gateway").text)
    assert shown[:2] == ["roomline", "serve"]
    arguments = [origin if word == "http://127.0.0.1:8000" else word for word in shown[1:]]
    assert origin in arguments
    internal = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "roomline", *arguments],
        env=os.environ
        | {
            "ROOMLINE_PORT": str(port),
            "ROOMLINE_INTERNAL_PORT": str(internal),
            "ROOMLINE_BROKER": f"embedded:{log}",
            "ROOMLINE_DRAIN": "0",
        },
    ) as process:
        try:
            wait_until_answering(f"http://127.0.0.1:{internal}/readyz", process)
            yield
        finally:
            process.terminate()

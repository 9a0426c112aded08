"""The conformance server, run as its users run it."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.transport.clients import Closed, ask, poll, websocket

pytestmark = pytest.mark.timeout(60)

COMMAND = (sys.executable, "-m", "roomline.transport.conformance")


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[int]:
    """The port of a server that ends in order when it is interrupted."""
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "--port", "0", *arguments), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        match = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert match, line
        yield int(match[1])
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_runs(tmp_path: Path) -> None:
    (tmp_path / "tests.html").write_text("<p>Tests</p>")
    async with started("--static", str(tmp_path)) as port:
        for name in ("echo", "disabled_websocket_echo", "cookie_needed_echo"):
            assert await poll(port, f"/{name}/000/abc{name}") == "o"
        for name in ("amplify", "broadcast", "ticker"):
            assert (await ask(port, "GET", f"/{name}")).body == b"Welcome to SockJS!\n"
        # The suite uses ids like these, and an origin like this.
        assert await poll(port, "/echo/abcdefgh_i-j%20/abcdefg_i-j%20") == "o"
        asd = {"Origin": "http://asd"}
        async with websocket(port, "/echo/0/one/websocket", asd) as client:
            assert await client.receive() == "o"
        async with websocket(port, "/close/websocket") as client:
            assert await client.receive() == Closed(3000, "Go away!")
        assert (await ask(port, "GET", "/tests.html")).body == b"<p>Tests</p>"


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "--static", str(tmp_path / "none")), stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert f"--static takes a folder that is there, and {tmp_path}/none is none" in said.decode()

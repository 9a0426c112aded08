"""The server for the public protocol suite, run as its users run it."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from tests.transport.clients import Closed, ask, poll, post, streaming, websocket

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "roomline.transport.conformance", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 15)).decode()
        match = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert match, line
        yield int(match[1])
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 5) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_endpoints_of_the_public_suite(port: int) -> None:
    test = {"Origin": "test"}
    for name in ("echo", "disabled_websocket_echo", "cookie_needed_echo", "close"):
        assert (await ask(port, "GET", f"/{name}")).body == b"Welcome to SockJS!\n"
        response = await ask(port, "GET", f"/{name}/info", headers=test)
        assert response["Access-Control-Allow-Origin"] == "test"
        assert response["Access-Control-Allow-Credentials"] == "true"
        info = json.loads(response.body)
        assert info["websocket"] == (name != "disabled_websocket_echo")
        assert info["cookie_needed"] == (name == "cookie_needed_echo")
    anybody = await ask(port, "GET", "/echo/info")
    assert anybody["Access-Control-Allow-Origin"] == "*"

    assert await poll(port, "/echo/abcdefgh_i-j%20/abcdefg_i-j%20") == "o"
    assert await poll(port, "/echo/0/one") == "o"
    assert await post(port, "/echo/0/one", "a", "b") == 204
    assert json.loads((await poll(port, "/echo/0/one"))[1:]) == ["a", "b"]
    assert await poll(port, "/close/0/one") == "o"
    assert await poll(port, "/close/0/one") == 'c[3000,"Go away!"]'

    async with streaming(port, "/echo/0/two") as stream:
        assert await stream.frame() == "o"
        assert await post(port, "/echo/0/two", "x" * 4096) == 204
        assert await stream.frame() == f'a["{"x" * 4096}"]'
        assert await stream.frame() is None

    async with websocket(port, "/echo/0/three/websocket", {"Origin": "http://asd"}) as client:
        assert await client.receive() == "o"
        client.send('["a"]')
        assert await client.receive() == 'a["a"]'
    async with websocket(port, "/close/websocket") as client:
        assert await client.receive() == Closed(3000, "Go away!")
    response = await ask(port, "POST", "/cookie_needed_echo/0/one/xhr")
    assert (response["Set-Cookie"] or "").startswith("JSESSIONID=dummy; Path=/")

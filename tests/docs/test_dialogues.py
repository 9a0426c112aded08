"""What clients say on the pages, said to a running gateway: it answers what the page says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.docs.pages import snippet
from tests.support.gateway import Gateway

DIALOGUES = ("dialogue-session", "dialogue-transport", "dialogue-error")
COVERS = {*DIALOGUES, "python-client"}

VARYING = {"session", "node", "position", "head", "previous", "time"}
"""Fields whose values no page can know; their type is compared."""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with an empty log, where anybody may chat."""
    rules = "chat:read=public,write=public"
    with closing(Gateway(f"embedded:{tmp_path}/log.sqlite3", NAMESPACES=rules)) as gateway:
        gateway.start()
        yield gateway


@pytest.mark.parametrize("name", DIALOGUES)
async def test_the_gateway_answers_as_the_page_says(gateway: Gateway, name: str):
    url = gateway.url.replace("http", "ws", 1)
    socket = await websocket_connect(f"{url}/000/dialogue/websocket")
    assert await socket.read_message() == "o"
    heard: list[dict[str, Any]] = []
    expected: list[dict[str, Any]] = []
    for line in snippet("docs/protocol.rst", name).text.splitlines():
        direction, text = line[0], line[2:]
        if direction == "→":
            await _hear(socket, heard, len(expected))
            assert _sorted(heard) == _sorted(expected)
            await socket.write_message(json.dumps([text]))
        else:
            assert direction == "←"
            expected.append(_comparable(json.loads(text)))
    await _hear(socket, heard, len(expected))
    assert _sorted(heard) == _sorted(expected)
    socket.close()


def test_the_python_client(gateway: Gateway):
    text = snippet("README.rst", "python-client").text
    address = "http://127.0.0.1:8001/roomline"
    assert address in text
    done = subprocess.run(
        [sys.executable, "-c", text.replace(address, gateway.url)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == "{'text': 'hello'}\n", done.stderr


async def _hear(socket: WebSocketClientConnection, heard: list[dict[str, Any]], count: int) -> None:
    while len(heard) < count:
        frame = await socket.read_message()
        assert isinstance(frame, str)
        assert frame.startswith("a")
        heard += [_comparable(json.loads(text)) for text in json.loads(frame[1:])]


def _comparable(value: Any) -> Any:
    """`value` without what differs from run to run."""
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: type(item).__name__
        if key in VARYING and not isinstance(item, dict | list)
        else _comparable(item)
        for key, item in value.items()
    }


def _sorted(messages: list[dict[str, Any]]) -> list[str]:
    # A reply and a push are independent of each other, and so is their order.
    return sorted(json.dumps(message) for message in messages)

"""docs/broker.rst: what is published by hand, as the page says, arrives as the page says."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from roomline.wire import Envelope, Sender, envelope_of, properties_of
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.docs.pages import ROOT, snippet, table
from tests.support.gateway import Gateway
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]

COVERS = {"publish-with-pika"}

PAGE = "docs/broker.rst"


@pytest.fixture
def gateway(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> Iterator[Gateway]:
    """A gateway on a broker, with rooms that anybody may read."""
    with closing(Gateway(rabbitmq.url(vhost=rabbitmq_vhost))) as gateway:
        gateway.start()
        yield gateway


def test_the_tables_name_what_travels():
    envelope = Envelope("a", b"", "id", 1000, "admin", Sender("7", "Ann"), "k", "gateway")
    properties = properties_of(envelope)
    headers = properties.pop("headers")
    assert {row[0] for row in table(PAGE, "properties")} == properties.keys() | {"headers"}
    assert {row[0] for row in table(PAGE, "headers")} == headers.keys()
    assert envelope_of("a", b"", properties | {"headers": headers}) == envelope


@pytest.mark.slow
async def test_publishing_with_pika(gateway: Gateway):
    socket = await notices_of(gateway)
    text = snippet(PAGE, "publish-with-pika").text
    address = "amqp://guest:guest@localhost"
    assert address in text
    run("-c", text.replace(address, gateway.broker))
    push = await next_push(socket)
    assert push["data"] == "Back in five minutes"
    assert push["kind"] == "system"
    assert push["origin"] == "operations"
    assert push["time"] is None
    socket.close()


async def test_publishing_from_a_shell(tmp_path: Path):
    """The two commands of the page, on the embedded log; `tail` shows it, too."""
    text = (ROOT / PAGE).read_text()
    assert '``roomline publish system.notices "Back in five minutes" --text``' in text
    assert "``roomline tail system.notices``" in text
    with closing(Gateway(f"embedded:{tmp_path}/log.sqlite3")) as gateway:
        gateway.start()
        socket = await notices_of(gateway)
        roomline(gateway, "publish", "system.notices", "Back in five minutes", "--text")
        assert (await next_push(socket))["data"] == "Back in five minutes"
        shown = roomline(gateway, "tail", "system.notices", "--since", "first", "--no-follow")
        assert "Back in five minutes" in shown
        socket.close()


async def notices_of(gateway: Gateway) -> WebSocketClientConnection:
    """A client that hears the notices, as every client does."""
    url = gateway.url.replace("http", "ws", 1)
    socket = await websocket_connect(f"{url}/000/session/websocket")
    assert await socket.read_message() == "o"
    await socket.write_message(json.dumps(['{"id":1,"type":"connect","version":1}']))
    connected = await next_push(socket)
    assert [room["room"] for room in connected["rooms"]] == ["system.notices"]
    return socket


async def next_push(socket: WebSocketClientConnection) -> dict[str, Any]:
    frame = await socket.read_message()
    assert isinstance(frame, str)
    [text] = json.loads(frame[1:])
    message: dict[str, Any] = json.loads(text)
    return message


def roomline(gateway: Gateway, *arguments: str) -> str:
    """What a command says about the gateway's log."""
    return run("-m", "roomline", *arguments, ROOMLINE_BROKER=gateway.broker)


def run(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

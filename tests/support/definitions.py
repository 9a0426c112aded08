"""A RabbitMQ that was set up by rabbitmq/definitions.json, with passwords, as its users see it."""

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, UnroutableError
from roomline.wire import ROOMS_EXCHANGE

from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]

FOLDER = Path(__file__).parents[2] / "rabbitmq"
NAMESPACES = "chat:read=token,write=token"
"""What the file in the repository is for."""
PASSWORDS = {name: f"the-{name}-passwörd-&/\\1" for name in ("gateway", "django", "ops", "monitor")}
ENVIRONMENT = {f"{name.upper()}_PASSWORD": password for name, password in PASSWORDS.items()}


def generated(*arguments: str) -> str:
    """What ``roomline definitions`` prints."""
    command = [sys.executable, "-m", "roomline", "definitions", "--namespaces", NAMESPACES]
    return subprocess.run(
        [*command, *arguments], check=True, capture_output=True, text=True, timeout=30
    ).stdout


def enter(folder: Path, definitions: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the image's entry point. Where it would start RabbitMQ, it prints its environment."""
    (folder / "definitions.json").write_text(definitions)
    start = folder / "docker-entrypoint.sh"
    start.write_text('#!/bin/sh\necho "starts: $*"\nenv\n')
    start.chmod(0o755)
    return subprocess.run(
        [FOLDER / "entrypoint.sh", "rabbitmq-server"],
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ROOMLINE_DEFINITIONS": str(folder / "definitions.json"),
            "ROOMLINE_LOADED_DEFINITIONS": str(folder / "loaded.json"),
            "ROOMLINE_COOKIE": str(folder / "cookie"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Defined:
    """A virtual host that was made by the definitions, as its users see it."""

    def __init__(self, node: RabbitMQNode, vhost: str) -> None:
        self.node = node
        self.vhost = vhost

    def url(self, user: str) -> str:
        return self.node.url(user, PASSWORDS[user], self.vhost)

    @contextmanager
    def channel(self, user: str) -> Iterator[Any]:
        connection = pika.BlockingConnection(pika.URLParameters(self.url(user)))
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_qos(prefetch_count=1)  # streams want it
        try:
            yield channel
        finally:
            connection.close()

    def code(self, user: str, method: str, *arguments: Any, **named: Any) -> int:
        """What RabbitMQ answers: 0 if it does it, else AMQP's reply code."""
        try:
            with self.channel(user) as channel:
                getattr(channel, method)(*arguments, **named)
        except ChannelClosedByBroker as error:
            return int(error.reply_code)
        except UnroutableError:
            return 312
        return 0

    def publish_in_console(
        self,
        user: str,
        room: str,
        payload: str,
        *,
        encoding: str = "string",
        properties: dict[str, Any] | None = None,
    ) -> Any:
        """What the console's HTTP API answers."""
        message = {
            "properties": properties or {},
            "routing_key": room,
            "payload": payload,
            "payload_encoding": encoding,
        }
        login = base64.b64encode(f"{user}:{PASSWORDS.get(user, user)}".encode()).decode()
        request = urllib.request.Request(
            f"{self.node.management_url}/api/exchanges/{self.vhost}/{ROOMS_EXCHANGE}/publish",
            json.dumps(message).encode(),
            {"Authorization": f"Basic {login}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)


@pytest.fixture
def defined(
    rabbitmq: RabbitMQNode,
    rabbitmq_vhost: str,
    tmp_path: Path,
) -> Iterator[Defined]:
    done = enter(tmp_path, generated("--vhost", rabbitmq_vhost), **ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    rabbitmq.define(json.loads((tmp_path / "loaded.json").read_text()))
    yield Defined(rabbitmq, rabbitmq_vhost)
    for name in PASSWORDS:
        rabbitmq.delete_user(name)

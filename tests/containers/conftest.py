"""One stack for the tests of this folder, and a cluster, all for ``make test-containers`` only."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.containers.stack import CLUSTER, PROJECT, Stack
from tests.support.rabbitmq import free_port

ASKED = "TEST_CONTAINERS"

collect_ignore_glob = [] if os.environ.get(ASKED) else ["test_*.py"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, healthy; stopped and deleted in the end."""
    yield from running(Stack(tmp_path_factory.mktemp("stack"), free_port(), free_port()))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The same with three RabbitMQ nodes, and networks of its own."""
    folder = tmp_path_factory.mktemp("cluster")
    other: dict[str, Any] = {"project": f"{PROJECT}-cluster", "network": "172.29.82"}
    yield from running(Stack(folder, free_port(), free_port(), files=CLUSTER, **other))


def running(stack: Stack) -> Iterator[Stack]:
    """Bring it up, and delete it in the end."""
    docker = shutil.which("docker")
    reachable = docker and subprocess.run(["docker", "compose", "ls"], capture_output=True)
    assert reachable, "docker is not installed"
    assert reachable.returncode == 0, f"no docker engine: {reachable.stderr.decode()}"
    try:
        stack.up()
        yield stack
        print(stack.logs())
    finally:
        stack.down()


@pytest.fixture(autouse=True)
def healthy(stack: Stack) -> None:
    """However the last test left it."""
    stack.compose("up", "--detach", "--wait", "--no-recreate")

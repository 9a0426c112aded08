"""Three RabbitMQ nodes: one of them is lost, with it a leader, and nobody misses anything."""

import asyncio
import contextlib
import json
import urllib.request
from typing import Any

import pytest
from roomline.requests import DEAD_REQUESTS, REQUESTS_QUEUE
from roomline.wire import CONTROL_STREAM, ROOMS_STREAM

from tests.containers.stack import Stack, run
from tests.containers.surviving import survives
from tests.docs.pages import snippet
from tests.support.until import until

pytestmark = pytest.mark.timeout(400)

NODES = ("rabbitmq", "rabbitmq2", "rabbitmq3")
REPLICATED = {ROOMS_STREAM, CONTROL_STREAM, REQUESTS_QUEUE, DEAD_REQUESTS}

TOOLS = ("--env", "PATH=/usr/lib/rabbitmq/bin:/opt/rabbitmq/sbin:/usr/local/bin:/usr/bin:/bin")
"""Debian has not all of RabbitMQ's commands where they are found."""


@pytest.fixture(scope="module")
def stack(cluster: Stack) -> Stack:
    return cluster


def queues(stack: Stack, asked: str) -> dict[str, Any]:
    """What a node says about all queues."""
    [container] = stack.containers(asked)
    columns = ("name", "leader", "members", "online")
    command = ("rabbitmqctl", "-q", "list_queues", *columns, "--formatter", "json")
    return {row["name"]: row for row in json.loads(run("docker", "exec", container, *command))}


def test_everything_that_is_kept_is_on_every_node(stack: Stack) -> None:
    found = queues(stack, "rabbitmq")
    assert set(found) >= REPLICATED
    for name in REPLICATED:
        assert set(found[name]["members"]) == {f"rabbit@{node}" for node in NODES}, name


def test_the_nodes_share_a_secret_that_is_theirs_alone(stack: Stack) -> None:
    for node in NODES:
        [container] = stack.containers(node)
        said = run(
            "docker", "exec", container, "stat", "-c", "%a", "/var/lib/rabbitmq/.erlang.cookie"
        )
        assert said.strip() == "600"


async def test_the_node_of_the_leader_is_killed(stack: Stack) -> None:
    """While it is away everything goes on: publications are confirmed before it is back."""
    leader = queues(stack, "rabbitmq")[ROOMS_STREAM]["leader"].removeprefix("rabbit@")
    [other, *_] = [node for node in NODES if node != leader]
    [doomed] = stack.containers(leader)
    await survives(stack, lambda: stack.kill(doomed), lambda: None)

    def leader_now() -> str | None:
        # A node that has just lost another one may not talk to its tools for a moment.
        with contextlib.suppress(AssertionError):
            found: str = queues(stack, other)[ROOMS_STREAM]["leader"]
            return found
        return None

    assert await until(leader_now, within=60) != f"rabbit@{leader}"
    await asyncio.to_thread(stack.compose, "up", "--detach", "--wait", "--no-recreate")

    def whole() -> bool:
        found = queues(stack, other)
        return all(len(found[name]["online"]) == len(NODES) for name in REPLICATED)

    await until(whole, within=120)


async def test_replicas_are_added_by_the_commands_of_the_page(stack: Stack) -> None:
    lost = "rabbit@rabbitmq2"
    [container] = stack.containers("rabbitmq")
    for tool, command, name in (
        ("rabbitmq-streams", "delete_replica", ROOMS_STREAM),
        ("rabbitmq-queues", "delete_member", REQUESTS_QUEUE),
    ):
        run("docker", "exec", *TOOLS, container, tool, command, name, lost)

    def there() -> list[bool]:
        found = queues(stack, "rabbitmq")
        return [lost in found[name]["members"] for name in (ROOMS_STREAM, REQUESTS_QUEUE)]

    await until(lambda: there() == [False, False], within=60)
    for line in snippet("docs/containers.rst", "stack-replicas").text.splitlines():
        words = line.split()
        assert words[:3] == ["docker", "compose", "exec"]
        stack.compose("exec", *TOOLS, *words[3:])
    await until(lambda: there() == [True, True], within=60)


async def test_prometheus_sees_every_node(stack: Stack) -> None:
    await asyncio.to_thread(stack.compose, "up", "--detach", "--wait", "prometheus")
    url = f"http://{stack.compose('port', 'prometheus', '9090').strip()}/api/v1"

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"{url}/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def all_up() -> bool:
        targets = ask("targets")["activeTargets"]
        up = sorted(found["labels"]["job"] for found in targets if found["health"] == "up")
        return up == ["rabbitmq"] * 3 + ["roomline"] * 2

    await until(all_up, within=90)

    def rules_work() -> bool:
        rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
        assert rules
        return all(rule["health"] == "ok" for rule in rules)

    await until(rules_work, within=60)
    assert ask("query?query=sum(roomline_ready)")["result"][0]["value"][1] == "2"

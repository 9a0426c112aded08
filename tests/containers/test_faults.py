"""Containers are killed, cut off and replaced under load; every client ends with the same log."""

import asyncio
import base64
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import expect

from tests.containers.stack import PROJECT, Stack, run
from tests.containers.surviving import survives
from tests.support.browser import chromium
from tests.support.until import until

pytestmark = pytest.mark.timeout(240)

NO_WEBSOCKET = "delete window.WebSocket;"
ONLY_POLLING = (
    NO_WEBSOCKET
    + """
    delete window.EventSource;
    const whole = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, "responseText");
    Object.defineProperty(XMLHttpRequest.prototype, "responseText", {
      get() { return this.readyState < 4 ? "" : whole.get.call(this); }
    });
    """
)
"""What a browser is that shows nothing of a response before its end."""


async def test_a_gateway_is_killed(stack: Stack) -> None:
    doomed = stack.containers("gateway")[0]
    await survives(stack, lambda: stack.kill(doomed), lambda: stack.start(doomed))


async def test_the_broker_is_killed(stack: Stack) -> None:
    [broker] = stack.containers("rabbitmq")
    await survives(stack, lambda: stack.kill(broker), lambda: stack.start(broker))


async def test_django_is_killed(stack: Stack) -> None:
    [django] = stack.containers("django")
    await survives(stack, lambda: stack.kill(django), lambda: stack.start(django))


async def test_the_proxy_is_killed(stack: Stack) -> None:
    [proxy] = stack.containers("proxy")
    await survives(stack, lambda: stack.kill(proxy), lambda: stack.start(proxy))


async def test_a_gateway_is_cut_off(stack: Stack) -> None:
    """From the broker: its clients keep their sockets, and go on when it is back."""
    cut = stack.containers("gateway")[0]
    network = f"{PROJECT}_back"
    await survives(
        stack,
        lambda: void(run("docker", "network", "disconnect", network, cut)),
        lambda: void(run("docker", "network", "connect", "--alias", "gateway", network, cut)),
    )


async def test_the_inspector_shows_what_happened(stack: Stack) -> None:
    """On one gateway: that it was cut off, and that the other one was killed and came back."""
    shown, doomed = stack.containers("gateway")
    before = await asyncio.to_thread(stack.inspected, shown)
    assert before["node"]["status"] == "ready"
    assert len(before["nodes"]) == 1
    network = f"{PROJECT}_back"
    run("docker", "network", "disconnect", network, shown)

    async def until_shown(expected: Callable[[Any], object]) -> Any:
        return await until(
            lambda: (state := stack.inspected(shown)) and expected(state) and state, within=60
        )

    await until_shown(lambda state: state["node"]["status"] != "ready")
    run("docker", "network", "connect", "--alias", "gateway", network, shown)
    state = await until_shown(lambda state: state["node"]["status"] == "ready")
    reconnects = [sum(each["broker"]["reconnects"].values()) for each in (before, state)]
    assert reconnects[0] < reconnects[1]

    stack.kill(doomed)
    await until_shown(lambda state: not state["nodes"])
    stack.start(doomed)
    await until_shown(lambda state: len(state["nodes"]) == 1)

    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"{stack.internal(shown)}/inspect")
        await page.get_by_label("Inspector token").fill(stack.secret("INSPECT_TOKEN"))
        await page.keyboard.press("Enter")
        await expect(page.locator("#told")).to_contain_text("ready")
        await expect(page.locator("#node")).to_contain_text(state["node"]["name"])
        await expect(page.locator("#nodes")).to_contain_text(state["nodes"][0]["name"])


async def test_a_rolling_deploy(stack: Stack) -> None:
    """Every gateway is replaced while everybody talks."""
    before = set(stack.containers("gateway"))
    await survives(
        stack,
        lambda: void(
            stack.compose(
                "up", "--detach", "--no-deps", "--build", "--force-recreate", "--wait", "gateway"
            )
        ),
        lambda: None,
    )
    assert not before & set(stack.containers("gateway"))


async def test_one_more_gateway(stack: Stack) -> None:
    await survives(
        stack,
        lambda: void(
            stack.compose("up", "--detach", "--wait", "--scale", "gateway=3", "--no-recreate")
        ),
        lambda: None,
    )
    assert len(stack.containers("gateway")) == 3
    stack.compose("up", "--detach", "--wait", "--scale", "gateway=2", "--no-recreate")


async def test_pages_chat_on_every_transport_and_hear_the_console(stack: Stack) -> None:
    async with chromium() as browser:
        pages = {}
        for transport, script in (
            ("websocket", ""),
            ("xhr-streaming", NO_WEBSOCKET),
            ("xhr-polling", ONLY_POLLING),
        ):
            context = await browser.new_context()
            page = await context.new_page()
            await page.add_init_script(script)
            await page.goto(f"{stack.url}/rooms/chat.lobby/")
            await expect(page.locator("main")).to_contain_text(transport, timeout=20_000)
            pages[transport] = page
        for transport, page in pages.items():
            await page.get_by_role("textbox").fill(f"by {transport}")
            await page.keyboard.press("Enter")
            for other in pages.values():
                await expect(other.locator("main")).to_contain_text(f"by {transport}")
        said = await asyncio.to_thread(publish_in_console, stack, "chat.lobby", "by hand")
        assert said == {"routed": True}
        for other in pages.values():
            await expect(other.locator("main")).to_contain_text("by hand", timeout=1_000)


def publish_in_console(stack: Stack, room: str, text: str) -> Any:
    """What the console answers to `ops`."""
    message = {"properties": {}, "routing_key": room, "payload": text, "payload_encoding": "string"}
    login = base64.b64encode(f"ops:{stack.secret('OPS_PASSWORD')}".encode()).decode()
    request = urllib.request.Request(
        f"{stack.console}/api/exchanges/%2F/rooms/publish",
        json.dumps(message).encode(),
        {"Authorization": f"Basic {login}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def void(_: object) -> None:
    """Forget a result."""

"""docs/event-stream.rst: its commands and its page with the gateway it names, its tables against
the code."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.async_api import expect
from roomline.core.codes import ErrorCode, Unsubscribed
from roomline.proxy.events import STATUSES

from tests.docs.pages import snippet, table
from tests.docs.waiting import wait_until_answering
from tests.support.browser import chromium
from tests.support.rabbitmq import free_port
from tests.support.tokens import API_TOKEN, SECRETS, connection_token

COVERS = {
    "events-gateway", "events-curl", "events-shown", "events-page", "events-continue",
    "events-token",
}  # fmt: skip

PAGE = "docs/event-stream.rst"
ADDRESS = "127.0.0.1:8001"


class Served(NamedTuple):
    """The page's gateway, on ports of our own."""

    port: int
    internal: int

    def publish(self, room: str, data: Any) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.internal}/api/rooms/{room}/publications",
            json.dumps({"data": data}).encode(),
            {"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 201

    def streams(self, count: int) -> None:
        """Return when so many streams are read."""
        deadline = time.monotonic() + 20
        line = f"roomline_held_responses {count:.1f}"
        while True:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.internal}/metrics", timeout=10
            ) as answer:
                if line in answer.read().decode().splitlines():
                    return
            assert time.monotonic() < deadline, f"no {line}"
            time.sleep(0.05)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """By the page's command, with ports, keys, and one more namespace for its second half."""
    *variables, command, verb = shlex.split(snippet(PAGE, "events-gateway").text)
    assert (command, verb) == ("roomline", "serve")
    shown = dict(variable.split("=", 1) for variable in variables)
    shown["ROOMLINE_NAMESPACES"] += ";club:read=token"
    port, internal = free_port(), free_port()
    ours = {
        "ROOMLINE_BROKER": f"embedded:{tmp_path}/log.sqlite3",
        "ROOMLINE_PORT": str(port),
        "ROOMLINE_INTERNAL_PORT": str(internal),
        "ROOMLINE_API_TOKENS": API_TOKEN,
        "ROOMLINE_KEYS": ",".join(f"{kid}:{secret}" for kid, secret in SECRETS.items()),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "roomline", verb], env=os.environ | shown | ours
    ) as process:
        try:
            wait_until_answering(f"http://127.0.0.1:{internal}/readyz", process)
            yield Served(port, internal)
        finally:
            process.send_signal(signal.SIGKILL)


class Curl:
    """A command of the page in a shell; what it prints is read block by block."""

    def __init__(self, name: str, served: Served, **variables: str) -> None:
        text = snippet(PAGE, name).text
        assert ADDRESS in text
        self.process = subprocess.Popen(
            ["sh", "-c", "exec " + text.replace(ADDRESS, f"127.0.0.1:{served.port}")],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def block(self) -> list[str]:
        assert self.process.stdout is not None
        lines: list[str] = []
        while line := self.process.stdout.readline().rstrip("\n"):
            lines.append(line)
        return lines

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_the_commands(served: Served) -> None:
    reading = Curl("events-curl", served)
    try:
        opening = reading.block()
        served.streams(1)
        served.publish("news.today", {"text": "hello"})
        shown = snippet(PAGE, "events-shown").text.split("\n\n")
        blocks = [opening, reading.block()]
        for block, expected in zip(blocks, map(str.splitlines, shown), strict=True):
            assert [line.split(": ")[0] for line in block] == [
                line.split(": ")[0] for line in expected
            ]
        event, expected_event = (
            json.loads(block[1].removeprefix("data: "))
            for block in (blocks[1], shown[1].splitlines())
        )
        assert event.keys() == expected_event.keys()
        assert event["data"] == expected_event["data"]
    finally:
        reading.close()
    served.publish("news.today", {"text": "meanwhile"})
    again = Curl("events-continue", served, POSITION=event["position"])
    try:
        assert again.block()[0] == "retry: 1000"
        assert '"meanwhile"' in again.block()[1]
    finally:
        again.close()
    token = Curl("events-token", served, TOKEN=connection_token("ann", read=("club.**",)))
    try:
        assert token.block()[0] == "retry: 1000"
        served.streams(1)
        served.publish("club.board", {"text": "secret"})
        assert '"secret"' in token.block()[1]
    finally:
        token.close()


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_the_page(served: Served) -> None:
    """As a page of the gateway's own origin, which any origin on the list is like."""
    text = snippet(PAGE, "events-page").text
    html = text.replace(ADDRESS, f"127.0.0.1:{served.port}")
    async with chromium() as browser:
        page = await browser.new_page()
        url = f"http://127.0.0.1:{served.port}/page"
        await page.route(
            url,
            lambda route: route.fulfill(content_type="text/html", body=f"<title>x</title>{html}"),
        )
        await page.goto(url)
        await page.wait_for_function("events.readyState === 1", timeout=20_000)
        served.streams(1)
        served.publish("news.today", {"text": "hello"})
        served.publish("news.today", {"text": "again"})
        await expect(page.locator("li")).to_have_text(["hello", "again"], timeout=20_000)


def test_the_tables_are_complete() -> None:
    refused: dict[str, set[str]] = {}
    for error, status in STATUSES.items():
        refused.setdefault(str(status), set()).add(error.code)
    refused["429"].add(ErrorCode.LIMIT_REACHED.code)  # by the keeper of what is held
    shown = {row[0]: set(row[1].split(", ")) for row in table(PAGE, "events-errors")}
    assert refused.items() <= shown.items()
    assert shown.keys() - refused.keys() == {"405", "503"}
    ends = {row[0] for row in table(PAGE, "events-ends")}
    assert {end.code for end in Unsubscribed if end is not Unsubscribed.FORBIDDEN} < ends
    assert ends == {"draining", *(end.code for end in Unsubscribed)} - {"forbidden"}


def test_the_address_is_what_a_gateway_serves_unless_told_otherwise() -> None:
    for name in ("events-curl", "events-continue", "events-token"):
        assert re.search(rf"http://{re.escape(ADDRESS)}/roomline/rooms/", snippet(PAGE, name).text)

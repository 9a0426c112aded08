"""docs/operations/publishing-by-hand.rst: whatever is typed has the outcome that the page says.

With ``SCREENSHOTS=1`` the page's pictures are taken anew.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from playwright.async_api import Locator, expect

from tests.docs.heard import Listening
from tests.docs.pages import ROOT, table
from tests.support.browser import chromium
from tests.support.definitions import PASSWORDS, Defined, defined, rabbitmq, rabbitmq_vhost
from tests.support.gateway import Gateway
from tests.support.until import until

__all__ = ["defined", "rabbitmq", "rabbitmq_vhost"]

PAGE = "docs/operations/publishing-by-hand.rst"
IMAGES = ROOT / "docs" / "operations" / "images"
ROOM = "chat.lobby"
SAYS = "Back at five"
PUBLISHED = "Message published."
NOT_ROUTED = "Message published, but not routed."


class Typed(NamedTuple):
    """What somebody types into the form."""

    payload: str = SAYS
    room: str = ROOM
    encoding: str = "string"
    properties: dict[str, Any] = {}  # noqa: RUF012 - never changed
    user: str = "ops"
    times: int = 1


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


CASES = {
    "JSON": Typed('{"text": "Back at five"}'),
    "plain text": Typed(),
    "nothing at all": Typed(""),
    "text with line breaks and emoji": Typed("Sorry 😀\nback at five"),
    "JSON with a mistake": Typed('{"text": "Back at five"'),
    "base64 of JSON, as payload encoding Base64": Typed(
        encoded(b'{"text": "Back at five"}'), encoding="base64"
    ),
    "base64 of bytes that are no text": Typed(encoded(b"\xff\x00"), encoding="base64"),
    "no base64, as payload encoding Base64": Typed("no base64!", encoding="base64"),
    "65536 characters": Typed("x" * 65536),
    "65537 characters": Typed("x" * 65537),
    "headers": Typed(properties={"headers": {"colour": "red", "x-stream-offset": "5"}}),
    "headers sender-id and sender-name": Typed(
        properties={"headers": {"sender-id": "1", "sender-name": "The director"}}
    ),
    "header CC, another room": Typed(properties={"headers": {"CC": ["chat.other"]}}),
    "property type, system": Typed(properties={"type": "system"}),
    "property type, admin": Typed(properties={"type": "admin"}),
    "property timestamp, 1700000000": Typed(properties={"timestamp": 1700000000}),
    "property content_type, anything": Typed(properties={"content_type": "image/png"}),
    "property message_id, the same twice": Typed(properties={"message_id": "mine"}, times=2),
    "property expiration, no number": Typed(properties={"expiration": "soon"}),
    "property user_id, django": Typed(properties={"user_id": "django"}),
    "property user_id, ops": Typed(properties={"user_id": "ops"}),
    "room admin.log": Typed(room="admin.log"),
    "room control.user": Typed(room="control.user"),
    "room shop.lobby, of a namespace that is not configured": Typed(room="shop.lobby"),
    "the same, as an administrator": Typed(room="shop.lobby", user="guest"),
    'room "chat.lobby " with a blank at its end': Typed(room="chat.lobby "),
    "no room": Typed(room=""),
    "a room of 201 characters": Typed(room="chat." + "x" * 196),
    "an empty room, as an administrator": Typed(room="", user="guest"),
}


@pytest.fixture
def gateway(defined: Defined) -> Iterator[Gateway]:
    gateway = Gateway(
        defined.url("gateway"), NAMESPACES="chat:read=public,write=public", PUBLISHERS="django"
    )
    with contextlib.closing(gateway):
        gateway.start()
        yield gateway


def test_every_row_is_tried():
    assert [row[0] for row in table(PAGE, "typed")] == list(CASES)


async def test_whatever_they_type(defined: Defined, gateway: Gateway):
    """Every row of the table, over the API that the console's form calls, seen by a browser."""
    async with chromium() as browser:
        lobby = await Listening.to(browser, gateway.url, ROOM)
        other = await Listening.to(browser, gateway.url, "chat.other")
        for name, says, seen in table(PAGE, "typed"):
            typed = CASES[name]
            for _ in range(typed.times):
                answer = await publish(defined, typed)
                check_answer(name, says, answer)
            # Whatever came of it has come before the next publication.
            mark = secrets.token_hex(8)
            assert (await publish(defined, Typed(mark)))["routed"]
            check_seen(name, typed, seen, await lobby.hears(mark))
        mark = secrets.token_hex(8)
        assert (await publish(defined, Typed(mark, room="chat.other")))["routed"]
        assert await other.hears(mark) == [], "CC is not looked at"


async def publish(defined: Defined, typed: Typed) -> Any:
    return await asyncio.to_thread(
        defined.publish_in_console,
        typed.user,
        typed.room,
        typed.payload,
        encoding=typed.encoding,
        properties=typed.properties,
    )


def check_answer(name: str, says: str, answer: Any) -> None:
    """The console's words, from its API's."""
    if says in (PUBLISHED, NOT_ROUTED):
        assert answer == {"routed": says == PUBLISHED}, name
    else:
        assert says.startswith("refused: "), name
        reason = answer["reason"]
        assert says.removeprefix("refused: ") in (
            reason if isinstance(reason, str) else json.dumps(reason)
        ), name


def check_seen(name: str, typed: Typed, seen: str, heard: list[dict[str, Any]]) -> None:
    """What the page's table says that browsers see."""
    if seen == "nothing":
        assert heard == [], name
        return
    assert len(heard) == 1, (name, heard)
    [publication] = heard
    if seen == "all of them":
        assert publication["data"] == typed.payload, name
        rest = ""
    else:
        data, end = json.JSONDecoder().raw_decode(seen)
        assert publication["data"] == data, name
        rest = seen[end:]
    assert publication["room"] == ROOM
    assert publication["origin"] == "operations", name
    assert "sender" not in publication, name
    kind = re.search(r"of the kind (\w+)", rest)
    assert publication["kind"] == (kind[1] if kind else "message"), name
    time = re.search(r"at (\S+Z)", rest)
    assert publication["time"] == (time[1] if time else None), name


async def test_in_the_console_itself(defined: Defined, gateway: Gateway):
    """As the page tells: log in, exchange rooms, type, and press the button."""
    async with chromium() as browser:
        lobby = await Listening.to(browser, gateway.url, ROOM)
        console = await browser.new_page(viewport={"width": 1000, "height": 760})
        await console.goto(defined.node.management_url)
        await console.fill("input[name=username]", "ops")
        await console.fill("input[name=password]", PASSWORDS["ops"])
        await console.click("input[type=submit]")
        await console.click("a[href='#/exchanges']")
        await console.click("a[href$='/rooms']")
        await expect(console.locator("h1")).to_contain_text("Exchange: rooms")
        await console.locator("h2", has_text="Publish message").click()

        form = console.locator("form[action='#/exchanges/publish']")
        await type_in(form, ROOM, SAYS)
        await shoot(form, "form")
        await form.locator("input[type=submit]").click()
        popup = console.locator(".form-popup-info")
        await expect(popup).to_contain_text(PUBLISHED)
        await shoot(popup, "published")
        [publication] = await until(lambda: lobby.heard, within=30)
        assert publication["data"] == SAYS
        assert publication["origin"] == "operations"
        assert publication["time"] is None
        await expect(lobby.page.locator("li")).to_have_text(f"operations: {SAYS}")
        await shoot(lobby.page.locator("body"), "page")
        await popup.locator("span").click()

        await type_in(form, "admin.log", SAYS)
        await form.locator("input[type=submit]").click()
        popup = console.locator(".form-popup-warn")
        await expect(popup).to_contain_text("access to topic 'admin.log'")
        await shoot(popup, "refused")


async def type_in(form: Locator, room: str, payload: str) -> None:
    await form.locator("input[name=routing_key]").fill(room)
    await form.locator("textarea[name=payload]").fill(payload)


async def shoot(what: Locator, name: str) -> None:
    """Take a picture, if pictures are asked for; that it can be taken is tried in any case."""
    picture = await what.screenshot(animations="disabled")
    assert picture.startswith(b"\x89PNG")
    if os.environ.get("SCREENSHOTS"):
        (IMAGES / f"{name}.png").write_bytes(picture)

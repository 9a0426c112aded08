"""docs/howto/permissions.rst: the function, the ceiling, the room token, and the page."""

import json
from pathlib import Path

import pytest
from playwright.async_api import expect
from roomline.config import load

from tests.docs.pages import ROOT
from tests.docs.shop import Shop, shop
from tests.docs.waiting import address_of
from tests.support.browser import chromium
from tests.support.talk import Talk

__all__ = ["shop"]

PAGE = "docs/howto/permissions.rst"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TOKENS = """
import json
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from orders.models import Order
from orders.policy import may
bob = User.objects.create_user("bob", password="open-sesame")
eve = User.objects.create_user("eve", password="open-sesame")
Order.objects.bulk_create([Order(pk=1, customer=bob, item="Tea")])
assert not may(eve, "order." + "9" * 100, "read")
assert not may(eve, "order", "read") and not may(eve, "order.1.notes", "read")

def client_of(name):
    client = Client(headers={"host": "localhost"})
    assert client.login(username=name, password="open-sesame")
    return client

def tokens(name, room, status):
    client = client_of(name)
    answer = client.get("/roomline/room-token", {"room": room})
    assert answer.status_code == status, (name, answer.content)
    return client.get("/roomline/token").json()["token"], answer.json().get("token")

print(json.dumps({
    "ann": tokens("ann", "order.1", 200),
    "bob": tokens("bob", "order.1", 200),
    "eve": tokens("eve", "order.1", 403),
    "missing": tokens("eve", "order.2", 403),
    "namespaces": settings.ROOMLINE["GATEWAY"]["NAMESPACES"],
}))
"""


async def test_the_rights(shop: Shop):
    shop.follow(PAGE)
    given = json.loads(shop.shell(TOKENS).splitlines()[-1])
    with shop.gateway(given["namespaces"]) as gateway:
        for name, reads_staff in (("ann", True), ("bob", False)):
            connection, room = given[name]
            async with Talk.to(gateway.url, token=connection) as talk:
                await talk.refused("room_token_required", "subscribe", room="order.1")
                await talk.subscribe("order.1", token=room)
                # Of the staff, too, whom the function would let write.
                await talk.refused("forbidden", "publish", room="order.1", data=1, key="a")
                if reads_staff:
                    await talk.subscribe("staff.orders")
                else:
                    await talk.refused("room_token_required", "subscribe", room="staff.orders")
        connection, none = given["eve"]
        assert none is None
        async with Talk.to(gateway.url, token=connection) as eve:
            # Nobody else's token is good for her.
            token = given["bob"][1]
            await eve.refused_any("subscribe", room="order.1", token=token)
    raised = given["namespaces"].replace("write=none", "write=token")
    with shop.gateway(raised) as gateway:
        connection, room = given["ann"]
        async with Talk.to(gateway.url, token=connection) as talk:
            await talk.subscribe("order.1", token=room)
            await talk.publish("order.1", {"status": "paid"}, key="a")
        connection, room = given["bob"]
        async with Talk.to(gateway.url, token=connection) as talk:
            await talk.subscribe("order.1", token=room)
            await talk.refused("forbidden", "publish", room="order.1", data=1, key="a")


async def test_the_page(shop: Shop, tmp_path: Path):
    shop.follow(PAGE)
    shop.shell(
        "from orders.policy import Order\nfrom django.contrib.auth.models import User\n"
        "eve = User.objects.create_user('eve', password='open-sesame')\n"
        "Order.objects.bulk_create([Order(pk=1, customer_id=1, item='Tea')])\n"
        "from django_roomline import publish\npublish('order.1', {'status': 'new'})\n"
    )
    with shop.terminal.start("python manage.py runroomline --noreload") as servers:
        try:
            address = address_of(servers)
            async with chromium() as browser:
                page = await browser.new_page()
                await page.goto(f"{address}admin/login/?next=/orders/1/")
                await page.fill("#id_username", "ann")
                await page.fill("#id_password", "open-sesame")
                await page.click("[type=submit]")
                await expect(page.locator("#status")).to_have_text("new", timeout=15_000)
                shop.shell(
                    "from django_roomline import publish\npublish('order.1', {'status': 'paid'})\n"
                )
                await expect(page.locator("#status")).to_have_text("paid", timeout=15_000)
                await page.screenshot(path=tmp_path / "order.png")

                # The admin's login is for staff; eve has a session from elsewhere.
                cookie = shop.shell(SESSION).split("cookie ")[1].split()[0]
                context = await browser.new_context()
                await context.add_cookies([{"name": "sessionid", "value": cookie, "url": address}])
                other = await context.new_page()
                await other.goto(f"{address}orders/1/")
                await expect(other.locator("#status")).to_have_text("not for you", timeout=15_000)
        finally:
            servers.terminate()
            servers.wait(timeout=30)


SESSION = """
from django.test import Client
client = Client()
assert client.login(username="eve", password="open-sesame")
print("cookie", client.cookies["sessionid"].value)
"""


def test_the_shortest_lifetime_is_the_one_that_is_named():
    from django_roomline.conf import FIELDS

    assert FIELDS["TOKEN_LIFETIME"].default == 600
    assert "from 30 to" in FIELDS["TOKEN_LIFETIME"].accepted


def test_the_words_of_rules_are_the_gateways():
    text = (ROOT / PAGE).read_text()
    for rule in ("public", "authenticated", "token", "none"):
        assert f"``{rule}``" in text
        assert load({"namespaces": f"order:read={rule}", "keys": "1:" + "x" * 32}, {})

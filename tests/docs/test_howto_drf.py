"""docs/howto/drf.rst: the viewset publishes, and the token view's tokens are good."""

import json

import pytest

from tests.docs.shop import Shop, shop, texts
from tests.docs.waiting import address_of
from tests.docs.walkthrough import step
from tests.support.rabbitmq import free_port
from tests.support.talk import Talk

__all__ = ["shop"]

PAGE = "docs/howto/drf.rst"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CLIENT = """
import json
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient
ann = User.objects.get(username="ann")
bob = User.objects.create_user("bob")

def client_of(user):
    client = APIClient(headers={"host": "localhost"})
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get_or_create(user=user)[0]}")
    return client

"""

CALLS = """
ann, bob = client_of(ann), client_of(bob)
made = ann.post("/api/orders/", {"customer": 1, "item": "Tea"})
assert made.status_code == 201, made.content
assert ann.post("/api/orders/", {"customer": 1}).status_code == 400
assert bob.post("/api/orders/", {"customer": 1, "item": "No"}).status_code == 403
changed = ann.patch("/api/orders/1/", {"status": "paid"})
assert changed.status_code == 200, changed.content
nobody = APIClient(headers={"host": "localhost"})
assert nobody.post("/api/roomline-token").status_code == 401
assert ann.get("/api/roomline-token").status_code == 405
answer = ann.post("/api/roomline-token")
assert "no-store" in answer["Cache-Control"]
tokens = [client.post("/api/roomline-token").json()["token"] for client in (ann, bob)]
print(json.dumps([made.json(), changed.json(), *tokens]))
"""


async def test_the_page(shop: Shop):
    shop.follow(PAGE, without=frozenset({"drf-install"}))
    made, changed, anns, bobs = json.loads(shop.shell(CLIENT + CALLS).splitlines()[-1])
    assert made == {"id": 1, "customer": 1, "item": "Tea", "status": "new"}
    rows = [json.loads(row) for row in texts(shop.published(), "staff.rows")]
    assert rows == [made, changed]
    with shop.gateway("staff:read=token,write=token") as gateway:
        async with Talk.to(gateway.url, token=anns) as ann:
            assert ann.connected.user is not None
            assert ann.connected.user.name == "ann"
            assert (await ann.subscribe("staff.rows", history=5)).publications
        async with Talk.to(gateway.url, token=bobs) as bob:
            await bob.refused("room_token_required", "subscribe", room="staff.rows")


def test_following_from_python(shop: Shop):
    """The page's program, against the development servers."""
    shop.follow(PAGE, without=frozenset({"drf-install", "drf-tables"}))
    tables = step(PAGE, "drf-tables").text
    said = shop.terminal.run(tables)
    token = said.split("Generated token ")[1].split()[0]
    command = f"python manage.py runroomline --noreload --addrport {free_port()}"
    with shop.terminal.start(command) as servers:
        try:
            site = address_of(servers).rstrip("/")
            endpoint = f"{site}/roomline"
            with shop.terminal.start(f"python follow.py {site} {endpoint} {token}") as follower:
                try:
                    shop.shell(
                        "from django_roomline import publish\npublish('staff.rows', {'id': 1})\n"
                    )
                    assert follower.stdout is not None
                    assert follower.stdout.readline() == b"{'id': 1}\n"
                finally:
                    follower.terminate()
        finally:
            servers.terminate()
            servers.wait(timeout=30)

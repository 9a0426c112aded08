"""docs/howto/signals.rst: what is announced, and what is not."""

import json

import pytest

from tests.docs.shop import Shop, shop, texts

__all__ = ["shop"]

PAGE = "docs/howto/signals.rst"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NAMES = """
from django.contrib.auth.models import User
from django.db import transaction
from orders.models import Order
ann = User.objects.get(username="ann")
"""


def test_the_page(shop: Shop):
    shop.follow(PAGE)
    assert "No changes detected" in shop.terminal.run("python manage.py makemigrations --dry-run")

    shop.shell(NAMES + SAVED_AND_ROLLED_BACK)
    tea = ['{"order":1,"text":"Tea:new"}', '{"order":1,"text":"Tea:paid"}']
    assert said(shop, "user.1") == said(shop, "staff.orders") == tea

    shop.shell(NAMES + IN_BULK)
    assert said(shop, "user.1") == [
        *tea,
        '{"order":2,"text":"Milk:packed"}',
        '{"order":3,"text":"Sugar:packed"}',
    ]
    assert said(shop, "staff.orders") == [*tea, '{"text":"2orders:packed"}']

    before = shop.published()
    fixture = {"model": "orders.order", "pk": 7, "fields": {"customer": 1, "item": "Old"}}
    (shop.folder / "old.json").write_text(json.dumps([fixture]))
    assert "Installed 1 object" in shop.terminal.run("python manage.py loaddata old.json")
    assert shop.published() == before


def test_what_is_placed_is_saved_without_a_broker(shop: Shop):
    shop.follow(PAGE)
    shop.log.mkdir()  # no log can be here
    said = shop.shell(NAMES + PLACED)
    assert "saved True" in said
    assert "refused BrokerUnavailable" in said


SAVED_AND_ROLLED_BACK = """
with transaction.atomic():
    order = Order.objects.create(customer=ann, item="Tea")
    order.status = "paid"
    order.save()

try:
    with transaction.atomic():
        Order.objects.create(customer=ann, item="Regretted")
        raise KeyError
except KeyError:
    pass

"""

IN_BULK = """
from orders.bulk import set_status
Order.objects.bulk_create(
    [Order(pk=2, customer=ann, item="Milk"), Order(pk=3, customer=ann, item="Sugar")]
)
Order.objects.filter(pk=1).update(status="paid")
set_status(Order.objects.filter(status="new").order_by("pk"), "packed")
assert Order.objects.filter(status="packed").count() == 2
"""

PLACED = """
from django_roomline import PublishError
from orders.placing import place
print("saved", Order.objects.filter(pk=place(ann, "Tea").pk).exists())
try:
    Order.objects.create(customer=ann, item="Milk")
except PublishError as error:
    print("refused", type(error).__name__)

assert Order.objects.count() == 2
"""


def said(shop: Shop, room: str) -> list[str]:
    return [data.replace(" ", "") for data in texts(shop.published(), room)]

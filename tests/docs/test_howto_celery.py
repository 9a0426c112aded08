"""docs/howto/celery.rst, with a real worker of the prefork pool."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from roomline.client import Publication
from roomline.tokens import Keyring

from tests.docs.shop import KEYS, Shop, shop
from tests.docs.walkthrough import step
from tests.support.gateway import Gateway
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost
from tests.support.talk import Talk
from tests.support.tokens import connection_token
from tests.support.until import until

__all__ = ["rabbitmq", "rabbitmq_vhost", "shop"]

PAGE = "docs/howto/celery.rst"
START_SECONDS = 60.0
ORDERS = 8
TASKS_PER_CHILD = 3
"""Then another one is forked: so several publish, whichever the pool prefers."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ORDER = """
from django.contrib.auth.models import User
from django.db import transaction
from orders.admin import ship_orders
from orders.models import Order
from orders.tasks import ship
ann = User.objects.get(username="ann")
Order.objects.bulk_create([Order(customer=ann, item=f"Tea {n}") for n in range(1, 9)])
"""

ROLLED_BACK = """
try:
    with transaction.atomic():
        ship_orders(None, None, Order.objects.all())
        raise KeyError
except KeyError:
    pass

"""

COMMITTED = """
with transaction.atomic():
    ship_orders(None, None, Order.objects.order_by("pk"))

"""

RUN_TWICE = """
ship.apply_async((1,), task_id="one-id")
ship.apply_async((1,), task_id="one-id")
"""


async def test_tasks_publish_from_every_fork(shop: Shop):
    """What is committed is done, once for subscribers; what is rolled back is not."""
    follow_page(shop)
    with shop.gateway("staff:read=token,write=token") as gateway:
        async with Talk.to(gateway.url, token=ann()) as talk, worker(shop) as log:
            shop.shell(ORDER + ROLLED_BACK + COMMITTED)
            heard = await talk.publications(ORDERS, within=START_SECONDS)
            assert sorted(text_of(each) for each in heard) == shipped(range(1, ORDERS + 1))
            await until(lambda: len(shippers(log())) == ORDERS, within=START_SECONDS)
            assert len(set(shippers(log()))) >= ORDERS / TASKS_PER_CHILD

            shop.shell(ORDER.rpartition("Order.objects")[0] + RUN_TWICE)
            await until(lambda: len(shippers(log())) == ORDERS + 2, within=START_SECONDS)
            [again] = await talk.publications(1)
            assert again.key == "one-id"
            await talk.silence()
    assert [room for room, _ in shop.published()] == ["user.1"] * (ORDERS + 2)


async def test_a_task_is_tried_again_until_the_broker_is_there(shop: Shop):
    follow_page(shop)
    shop.log.mkdir()  # no log can be here
    async with worker(shop) as log:
        shop.shell(ORDER + "ship.delay(1)\n")
        await until(lambda: "Retry in" in log(), within=START_SECONDS)
        assert "BrokerUnavailable" in log()
        shop.log.rmdir()
        await until(lambda: shippers(log()), within=START_SECONDS)
    assert [room for room, _ in shop.published()] == ["user.1"]


async def test_tasks_publish_to_rabbitmq(shop: Shop, rabbitmq: RabbitMQNode, rabbitmq_vhost: str):
    """The same worker, with the address of a RabbitMQ for publications and for tasks."""
    follow_page(shop)
    url = rabbitmq.url(vhost=rabbitmq_vhost)
    with (shop.folder / "shop" / "settings.py").open("a") as settings:
        settings.write(f"ROOMLINE['BROKER'] = CELERY_BROKER_URL = {url!r}\n")
        settings.write("CELERY_BROKER_TRANSPORT_OPTIONS = {}\n")
    gateway = Gateway(url, KEYS=KEYS, ANONYMOUS="false", NAMESPACES="staff:read=token")
    try:
        gateway.start()
        async with Talk.to(gateway.url, token=ann()) as talk, worker(shop) as log:
            shop.shell(ORDER + COMMITTED)
            heard = await talk.publications(ORDERS, within=START_SECONDS)
            assert sorted(text_of(each) for each in heard) == shipped(range(1, ORDERS + 1))
            await until(lambda: len(shippers(log())) == ORDERS, within=START_SECONDS)
            assert len(set(shippers(log()))) >= ORDERS / TASKS_PER_CHILD
    finally:
        gateway.close()


def test_the_admin_action_is_there(shop: Shop):
    follow_page(shop)
    said = shop.shell(
        "from django.contrib import admin\nfrom orders.models import Order\n"
        "print([action.short_description for action in admin.site._registry[Order].actions])\n"
    )
    assert "['Ship']" in said


def follow_page(shop: Shop) -> None:
    shop.follow(PAGE, without=frozenset({"celery-install"}))
    _install, folder = step(PAGE, "celery-install").text.splitlines()
    shop.terminal.run(folder)
    with (shop.folder / "shop" / "settings.py").open("a") as settings:
        settings.write(f"CELERY_WORKER_MAX_TASKS_PER_CHILD = {TASKS_PER_CHILD}\n")


@asynccontextmanager
async def worker(shop: Shop) -> AsyncIterator[Callable[[], str]]:
    """The page's worker, ready; gives what it has written so far."""
    output = shop.folder / "worker.log"
    command = step(PAGE, "celery-worker").text.strip()
    with shop.terminal.start(f"{command} >{output} 2>&1") as process:
        try:
            await until(lambda: "ready." in text(output, process), within=START_SECONDS)
            yield lambda: text(output, process)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 30)
            print(output.read_text())


def text(output: Path, process: "subprocess.Popen[bytes]") -> str:
    shown = output.read_text() if output.exists() else ""
    assert process.poll() is None, shown
    return shown


def shippers(log: str) -> list[str]:
    """The process of each task that has succeeded."""
    return re.findall(r"/(ForkPoolWorker-\d+)\] Task orders\.tasks\.ship\S+ succeeded", log)


def ann() -> str:
    """A connection token for the tutorial's user."""
    kid, secret = KEYS.split(":")
    return connection_token("1", keys=Keyring({kid: secret}))


def shipped(numbers: range) -> list[str]:
    return [f"Tea {number}: shipped" for number in numbers]


def text_of(publication: Publication) -> str:
    text: str = publication.data["text"]
    return text

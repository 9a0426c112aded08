"""Rooms of objects: their names, publishing to them, and who may use them."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django_roomline import conf, room_of
from django_roomline.models import OutboxMessage, Room
from django_roomline.policy import Rights, may, rights_in
from roomline.client import Client as RoomClient
from roomline.client import CommandRefused
from roomline.wire import Envelope, InvalidData, InvalidName

from tests.django.orders.models import (
    Closed,
    ExpressOrder,
    Named,
    Order,
    ProxyOrder,
    Soft,
    WriteOnly,
)
from tests.support.gateway import Gateway

Entries = Callable[[], list[Envelope]]
SOME_ID = uuid.UUID("c0ffee00-0000-4000-8000-00000000beef")


@pytest.mark.parametrize(
    ("instance", "name"),
    [
        (Order(pk=7), "object.orders.order.7"),
        (Order(pk="7"), "object.orders.order.7"),
        (ProxyOrder(pk=7), "object.orders.order.7"),
        (ExpressOrder(pk=7), "object.orders.expressorder.7"),
        (Closed(pk=SOME_ID), f"object.orders.closed.{SOME_ID}"),
        (Closed(pk=SOME_ID.hex), f"object.orders.closed.{SOME_ID}"),
        (Named(pk="a_b-C"), "object.orders.named.a_b-C"),
        (User(pk=3), "object.auth.user.3"),
    ],
)
def test_an_object_has_a_room(instance: Any, name: str) -> None:
    assert room_of(instance).name == name


@pytest.mark.parametrize("name", ["a b", "a.b", "ä", "a/b", "", "a\n"])
def test_a_key_that_is_no_room_word_is_named(name: str) -> None:
    with pytest.raises(InvalidName, match="accepted") as caught:
        _ = Named(pk=name).room
    assert ascii(name) in str(caught.value)
    assert "orders.Named" in str(caught.value)


def test_an_object_that_is_not_saved_has_no_room() -> None:
    with pytest.raises(InvalidName, match="no primary key yet: save it"):
        _ = Order().room


def test_a_key_that_is_too_long_for_a_room_is_an_error() -> None:
    with pytest.raises(InvalidName, match="at most 200"):
        _ = Named(pk="x" * 190).room


def test_publishing_reaches_its_room(db: None, entries: Entries) -> None:
    order = Order.objects.create()
    order.room.publish({"state": "paid"}, kind="system", key="paid", on_commit=False)
    room_of(order).publish(1, on_commit=False)
    first, second = entries()
    assert first.room == second.room == f"object.orders.order.{order.pk}"
    assert (first.body, first.kind, first.key) == (b'{"state":"paid"}', "system", "paid")
    with pytest.raises(InvalidData):
        order.room.publish(object())


def test_it_is_the_transaction_of_the_objects_database(entries: Entries) -> None:
    with transaction.atomic(using="other"):
        order = Order.objects.using("other").create()
        order.room.publish("with it")
        order.room.publish("stored with it", outbox=True)
        order.room.publish("not with it", using="default")
        assert [envelope.body for envelope in entries()] == [b'"not with it"']
        assert OutboxMessage.objects.using("other").count() == 1
        transaction.set_rollback(True, using="other")
    assert len(entries()) == 1
    assert not OutboxMessage.objects.using("other").exists()


class Replica:
    """A router of a project that reads from a replica."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "other"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


def test_what_was_read_from_a_replica_is_published_with_the_main_database() -> None:
    order = Order(pk=7)
    order._state.db = "other"
    assert order.room.using == "other"
    with override_settings(DATABASE_ROUTERS=["tests.django.test_objects.Replica"]):
        assert order.room.using == "default"


@pytest.fixture
def order(users: dict[str, Any]) -> Order:
    return Order.objects.create(customer=users["member"])


def test_the_object_says_who_may(users: dict[str, Any], order: Order) -> None:
    room = order.room.name
    assert rights_in(users["member"], room) == Rights(read=True, write=False)
    assert rights_in(users["staff"], room) == Rights(read=True, write=True)
    assert rights_in(users["anonymous"], room) == Rights(read=False, write=False)
    assert may(users["member"], room, "read")
    assert not may(users["member"], room, "write")
    assert may(users["staff"], room, "write")


def test_it_takes_one_query(users: dict[str, Any], order: Order) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert rights_in(users["staff"], order.room.name).write
    assert len(queries) == 1


def test_nobody_may_unless_the_model_says_so(users: dict[str, Any]) -> None:
    closed = Closed.objects.create()
    assert rights_in(users["staff"], closed.room.name) == Rights(read=False, write=False)


def test_who_may_not_read_may_not_write(users: dict[str, Any]) -> None:
    room = WriteOnly.objects.create().room.name
    assert not may(users["staff"], room, "write")


def everybody(user: Any, room: str, action: str) -> bool:
    """A policy that knows no limits."""
    return True


@pytest.mark.parametrize(
    "room",
    [
        "object",
        "object.orders",
        "object.orders.order",
        "object.orders.order.999999",
        "object.orders.order.99999999999999999999999999",
        "object.orders.order.x",
        "object.orders.order.1.2",
        "object.orders.nothing.1",
        "object.nobodys.order.1",
        "object.orders.closed.not-a-uuid",
    ],
)
def test_an_object_that_is_not_there_is_nobodys(
    users: dict[str, Any], roomline: Any, room: str
) -> None:
    roomline(POLICY="tests.django.test_objects.everybody")
    assert not may(users["staff"], room, "read")


def test_an_object_has_no_other_room(users: dict[str, Any], order: Order) -> None:
    key = order.pk
    for room in (f"orders.order.0{key}", f"Orders.order.{key}", f"orders.Order.{key}"):
        assert not may(users["staff"], f"object.{room}", "read")
    assert not may(users["staff"], f"object.orders.proxyorder.{key}", "read")


def test_what_the_manager_does_not_find_is_not_there(users: dict[str, Any]) -> None:
    soft = Soft.objects.create()
    assert may(users["anonymous"], soft.room.name, "read")
    Soft.objects.update(hidden=True)
    assert not may(users["anonymous"], soft.room.name, "read")


def test_the_policy_decides_about_models_without_the_mixin(
    users: dict[str, Any], roomline: Any
) -> None:
    room = room_of(users["member"]).name
    assert not may(users["staff"], room, "read")
    roomline(POLICY="tests.django.test_objects.everybody")
    assert may(users["staff"], room, "read")


def test_no_room_of_the_database_can_take_their_place(users: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="reserved"):
        Room(name="object.orders.order.1", title="x").clean_fields()
    Room.objects.create(name="object.orders.order.1", title="x", readers="everyone")
    assert not may(users["anonymous"], "object.orders.order.1", "read")


def test_a_room_token_is_given_for_it(client: Client, users: dict[str, Any], order: Order) -> None:
    client.force_login(users["member"])
    answer = client.get("/roomline/room-token", {"room": order.room.name})
    assert answer.status_code == 200, answer.content
    client.force_login(users["staff"])
    missing = client.get("/roomline/room-token", {"room": "object.orders.order.999999"})
    assert missing.status_code == 403


@pytest.mark.slow
def test_its_listeners_hear_it_and_nobody_else(
    client: Client, users: dict[str, Any], order: Order, entries: Entries
) -> None:
    another = Order.objects.create()
    gateway = Gateway(
        conf.current().broker,
        KEYS="test:" + "t" * 32,
        ANONYMOUS="false",
        NAMESPACES="object:read=token,write=token",
    )
    client.force_login(users["member"])
    token = client.get("/roomline/token").json()["token"]
    query = {"room": order.room.name}
    room_token = client.get("/roomline/room-token", query).json()["token"]

    async def page(publish: Callable[[], None]) -> list[Any]:
        async with RoomClient(gateway.url, token=lambda: token) as page:
            room = await page.subscribe(order.room.name, token=lambda: room_token)
            with pytest.raises(CommandRefused):
                await page.subscribe(another.room.name, token=lambda: room_token)
            await asyncio.to_thread(publish)
            return [(await anext(room)).data for _ in range(2)]

    def publish() -> None:
        for each, data in ((another, "not for them"), (order, 1), (order, 2)):
            each.room.publish(data, on_commit=False)

    try:
        gateway.start()
        assert asyncio.run(page(publish)) == [1, 2]
    finally:
        gateway.close()

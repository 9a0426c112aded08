"""apublish(): publish() for async code, with the transaction of the thread that it runs in."""

import asyncio
import inspect
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from django_roomline import BrokerUnavailable, apublish, publish
from django_roomline.models import OutboxMessage
from roomline.wire import Envelope, InvalidData, InvalidName

Entries = Callable[[], list[Envelope]]


def test_it_takes_what_publish_takes() -> None:
    mine, other = inspect.signature(apublish), inspect.signature(publish)
    assert mine.parameters == other.parameters


def test_every_argument_is_handed_on(entries: Entries) -> None:
    asyncio.run(apublish("a", {"n": 1}, "system", False, key="k"))
    (envelope,) = entries()
    assert (envelope.room, envelope.kind, envelope.key) == ("a", "system", "k")
    asyncio.run(apublish("a", 2, using="other", outbox=True))
    stored = OutboxMessage.objects.using("other")
    assert stored.get().delete()[0] == 1


def test_it_waits_for_the_transaction_of_its_thread(entries: Entries) -> None:
    async def view(roll_back: bool) -> None:
        block = transaction.atomic()
        await sync_to_async(block.__enter__)()
        await apublish("a", roll_back)
        await sync_to_async(publish)("a", roll_back)
        assert not entries()
        await sync_to_async(transaction.set_rollback)(roll_back)
        await sync_to_async(block.__exit__)(None, None, None)

    asyncio.run(view(True))
    assert entries() == []
    asyncio.run(view(False))
    assert [envelope.body for envelope in entries()] == [b"false", b"false"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a b", 1), InvalidName),
        (("a", object()), InvalidData),
        (("a", 1, "shout"), ValueError),
    ],
)
def test_bad_arguments_are_said(entries: Entries, arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        asyncio.run(apublish(*arguments))
    assert entries() == []


def test_the_loop_goes_on_while_the_log_is_busy(
    entries: Entries, tmp_path: Path, roomline: Any
) -> None:
    publish("a", 1)
    roomline(BROKER=f"embedded:{tmp_path / 'rooms.sqlite3'}", PUBLISH_TIMEOUT=0.5)
    holder = sqlite3.connect(tmp_path / "rooms.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    turns = 0

    async def view() -> None:
        nonlocal turns
        waiting = asyncio.ensure_future(apublish("a", 2))
        while not waiting.done():
            turns += 1
            await asyncio.sleep(0.01)
        await waiting

    with pytest.raises(BrokerUnavailable):
        asyncio.run(view())
    holder.close()
    assert turns > 5

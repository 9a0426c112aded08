"""Clients that follow a room through faults, and the proof that all of them have the same."""

import asyncio
from collections.abc import AsyncIterator, Sequence, Set
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from roomline.client import Client, Subscription, Transport

from tests.support.until import until

ROOM = "chat.lobby"
TRANSPORTS: tuple[Transport, ...] = ("websocket", "xhr-streaming", "xhr-polling", "eventsource")
FAST: dict[str, Any] = {"first_delay": 0.1, "longest_delay": 1.0, "ping_every": 2.0}
"""Options of clients that are soon back."""


class Follower:
    """A client in the room, and the data of all that it received, in order."""

    def __init__(self, client: Client, room: Subscription) -> None:
        self.client = client
        self.room = room
        self.received: list[int] = []

    async def follow(self) -> None:
        async for publication in self.room:
            self.received.append(publication.data)


@asynccontextmanager
async def followers(
    *urls: str, transports: Sequence[Transport] = TRANSPORTS, **options: Any
) -> AsyncIterator[list[Follower]]:
    """One client per transport, in the room, all at the first of these endpoints, which know the
    others too. They are `FAST`, except for the options that are given."""
    async with AsyncExitStack() as stack:
        clients = []
        for transport in transports:
            client = Client(list(urls), transport=transport, **(FAST | options))
            clients.append(await stack.enter_async_context(client))
        yield await stack.enter_async_context(following(clients))


@asynccontextmanager
async def following(clients: list[Client]) -> AsyncIterator[list[Follower]]:
    """These clients, in the room."""
    those = [Follower(client, await client.subscribe(ROOM)) for client in clients]
    tasks = [asyncio.create_task(follower.follow()) for follower in those]
    yield those
    for follower in those:
        await follower.room.close()
    await asyncio.gather(*tasks)


async def publish(clients: list[Client], amount: int, *, abreast: int, pace: float = 0.0) -> None:
    """Publish the numbers below `amount`, `abreast` at a time, through the clients in turn.

    Returns when every one is confirmed, however often that had to be tried.
    """
    numbers = iter(range(amount))

    async def work() -> None:
        for number in numbers:
            await clients[number % len(clients)].publish(ROOM, number)
            await asyncio.sleep(pace)

    await asyncio.gather(*[work() for _ in range(abreast)])


async def all_alike(
    following: list[Follower],
    expected: int,
    confirmed: Set[int] = frozenset(),
    *,
    within: float = 20.0,
) -> None:
    """Every follower has received the numbers below `expected` and those `confirmed`, nothing
    twice, and all of them have it in one order."""
    everything = confirmed.union(range(expected))
    for follower in following:
        try:
            await until(lambda f=follower: everything <= set(f.received), within=within)  # type: ignore[misc]
        except TimeoutError:
            missing = sorted(everything - set(follower.received))
            pytest.fail(
                f"{follower.client.transport} has {len(follower.received)}, without {missing[:20]}"
            )
    await asyncio.sleep(0.3)  # time for what should not come
    order = following[0].received
    assert len(order) == len(set(order))
    assert sorted(number for number in order if number < expected) == list(range(expected))
    for follower in following:
        assert follower.received == order, follower.client.transport
        assert follower.room.losses == 0, follower.room.reason

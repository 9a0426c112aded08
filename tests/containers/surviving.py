"""Clients of a stack that talk while something happens to it, and end with the same log."""

import asyncio
from collections.abc import Callable
from typing import Any

from roomline.client import Client, Transport

from tests.containers.stack import Stack
from tests.support.followers import ROOM, all_alike, followers
from tests.support.until import until

COUNT = 400
TRANSPORTS: tuple[Transport, ...] = ("websocket", "xhr-streaming", "xhr-polling")
FAST: dict[str, Any] = {"first_delay": 0.2, "longest_delay": 2.0, "ping_every": 3.0}


async def publish(stack: Stack, first: int, count: int) -> None:
    """Publish the numbers from `first` on, some twenty a second; each until it is confirmed."""
    numbers = iter(range(first, first + count))
    async with Client(stack.endpoint, token=stack.token, **FAST) as client:

        async def work() -> None:
            for number in numbers:
                await client.publish(ROOM, number, within=150)
                await asyncio.sleep(0.2)

        await asyncio.gather(*[work() for _ in range(4)])


async def survives(stack: Stack, fault: Callable[[], None], mend: Callable[[], None]) -> None:
    """The fault happens amid publications, and is mended; nothing is lost or doubled."""
    async with followers(
        stack.endpoint, transports=TRANSPORTS * 2, token=stack.token, **FAST
    ) as following:
        publishing = asyncio.create_task(publish(stack, 0, COUNT))
        await until(lambda: min(len(f.received) for f in following) > 50, within=60)
        await asyncio.to_thread(fault)
        assert not publishing.done()
        await asyncio.sleep(3)
        await asyncio.to_thread(mend)
        await publishing
        await all_alike(following, COUNT, within=60)

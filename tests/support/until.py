"""Waiting for what another process or task brings about."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], T], *, within: float = 10.0) -> T:
    """The first true value of `condition`, looked at every 10 ms; `TimeoutError` if none."""
    async with asyncio.timeout(within):
        while True:
            if value := condition():
                return value
            await asyncio.sleep(0.01)

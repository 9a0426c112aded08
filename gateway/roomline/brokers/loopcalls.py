"""What a thread tells the event loop."""

import asyncio
from collections.abc import Callable


class LoopEnded(Exception):
    """The event loop was closed, so there is nobody to tell anything."""


class LoopCalls:
    """Calls for `loop`, in the order in which any thread makes them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __call__(self, callback: Callable[..., object], *arguments: object) -> None:
        """Let the loop call this soon. Raises `LoopEnded`."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            raise LoopEnded from None

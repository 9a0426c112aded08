"""Several ways of signals as one: among the processes of a machine, and from machine to machine."""

import asyncio
from collections.abc import Callable, Sequence

from roomline.broker import Signals


class AllSignals:
    """See `roomline.broker.Signals`. What goes more than one way comes more than once."""

    def __init__(self, ways: Sequence[Signals]) -> None:
        self._ways = ways

    async def start(self, take: Callable[[bytes], None]) -> None:
        """See `Signals.start`."""
        for way in self._ways:
            await way.start(take)

    def send(self, signal: bytes) -> None:
        """See `Signals.send`."""
        for way in self._ways:
            way.send(signal)

    async def close(self) -> None:
        """See `Signals.close`."""
        await asyncio.gather(*(way.close() for way in self._ways))

"""What the conformance server's endpoints do with their clients: echo, close, and so on."""

import asyncio
import math
from typing import Final

from roomline.core.codes import Disconnect
from roomline.core.link import Link
from roomline.core.outbox import Encoded, Outbox

OUTBOX_CHARACTERS: Final = 1_048_576
TICK_SECONDS: Final = 1.0
HIGHEST_POWER: Final = 18


class SilentPeer:
    """Takes messages in and says nothing."""

    def __init__(self, link: Link) -> None:
        self.outbox = Outbox(OUTBOX_CHARACTERS)
        self._link = link

    def receive(self, text: str) -> None:
        """Not answered."""

    def send(self, message: Encoded) -> None:
        """Queue a message, and close when it does not fit."""
        if self.outbox.put(message):
            self._link.flush()
        else:
            self.outbox.take()
            self._link.close(Disconnect.SLOW.code, Disconnect.SLOW.reason)

    def refuse(self, code: int, reason: str) -> None:
        """Nothing to count."""

    def gone(self) -> None:
        """Nothing to clean up."""


class EchoPeer(SilentPeer):
    """Sends every message back."""

    def receive(self, text: str) -> None:
        self.send(Encoded(text))


class Echo:
    """An application that sends every message back."""

    def open(self, link: Link) -> EchoPeer:
        return EchoPeer(link)


class Close:
    """An application that closes every session at once."""

    def open(self, link: Link) -> SilentPeer:
        link.close(3000, "Go away!")
        return SilentPeer(link)


class AmplifyPeer(SilentPeer):
    """Answers a number n with a text of 2**n characters; what is none from 1 to 18 counts as 1."""

    def receive(self, text: str) -> None:
        try:
            power = math.floor(float(text))
        except (ValueError, OverflowError):
            power = 1
        self.send(Encoded("x" * 2 ** (power if 1 <= power <= HIGHEST_POWER else 1)))


class Amplify:
    """An application that answers with more than it was sent."""

    def open(self, link: Link) -> AmplifyPeer:
        return AmplifyPeer(link)


class BroadcastPeer(SilentPeer):
    """Sends every message to all, itself among them."""

    def __init__(self, link: Link, everybody: "set[BroadcastPeer]") -> None:
        super().__init__(link)
        self._everybody = everybody
        everybody.add(self)

    def receive(self, text: str) -> None:
        message = Encoded(text)
        for peer in list(self._everybody):
            peer.send(message)

    def gone(self) -> None:
        self._everybody.discard(self)


class Broadcast:
    """An application that sends every message to all of its clients."""

    def __init__(self) -> None:
        self._everybody: set[BroadcastPeer] = set()

    def open(self, link: Link) -> BroadcastPeer:
        return BroadcastPeer(link, self._everybody)


class TickerPeer(SilentPeer):
    """Says ``tick!`` every second, until the client has left."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._schedule()

    def gone(self) -> None:
        self._timer.cancel()

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._schedule()
        self.send(Encoded("tick!"))


class Ticker:
    """An application that speaks by itself."""

    def open(self, link: Link) -> TickerPeer:
        return TickerPeer(link)

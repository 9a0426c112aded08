"""Keeps held responses: how many there may be, when each is due, and what is sent when."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from roomline.core.address import network_of
from roomline.core.codes import ErrorCode
from roomline.holding import Hold, Mode
from roomline.joined import Joined
from roomline.node import Node
from roomline.proxy.frames import FORMATS
from roomline.proxy.held import Answer, Held, HeldAnswer
from roomline.proxy.settings import HeldSettings
from roomline.proxy.stream import HeldStream
from roomline.relay import Client
from roomline.wheel import Wheel
from roomline.writer import chunk

log = logging.getLogger(__name__)

_RESOLUTION: Final = 0.25
_PER_TURN: Final = 200
"""Held responses that are served in one turn of the event loop: a room may have thousands."""


class Keeper:
    """All held responses of one node. Make it while the event loop runs."""

    def __init__(self, node: Node, settings: HeldSettings) -> None:
        self.node = node
        self.settings = settings
        self.wheel = Wheel(_RESOLUTION)
        self.draining = False
        self._held: dict[Held, str] = {}
        self._addresses: Counter[str] = Counter()
        self._ready: deque[Held] = deque()
        self._serving: asyncio.Handle | None = None
        self._pieces: dict[tuple[Mode, bool], Joined[bytes]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, client: Client, hold: Hold, answer: Answer) -> Held | None:
        """Hold a response of Django's; None if it was answered, because there are too many."""
        kind = HeldAnswer if hold.mode == "hold" else HeldStream
        return self.keep(client, lambda: kind(self, client, hold, answer))

    def keep(self, client: Client, make: Callable[[], Held]) -> Held | None:
        """Hold what is made for a client; None if it was answered, because there are too many."""
        address = network_of(client.request.remote_ip or "")
        of_address = self._addresses[address] >= self.settings.held_per_address
        if of_address or len(self._held) >= self.settings.held:
            self.node.counters.held["refused"] += 1
            which = f"address {address}" if of_address else "this node"
            reason = f"{which} holds as many responses as it may"
            client.error(429 if of_address else 503, ErrorCode.LIMIT_REACHED.code, reason)
            return None
        held = make()
        self._held[held] = address
        self._addresses[address] += 1
        self._guarded(held, held.begin)
        return held

    async def drain(self, seconds: float) -> None:
        """End them all, spread over `seconds`, and hold nothing from now on; returns then."""
        self.draining = True
        clock = asyncio.get_running_loop().time
        now = clock()
        for place, held in enumerate(list(self._held)):
            # The last fifth is for requests that come meanwhile.
            held.end_by(now + 0.8 * seconds * place / len(self._held))
        while self._held and clock() < now + seconds:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(0.05)

    def hold_again(self) -> None:
        """It was not for good."""
        self.draining = False

    def close(self) -> None:
        """End what is left at once."""
        self.draining = True
        for held in list(self._held):
            self._guarded(held, held.finish_now)
        self.wheel.close()
        if self._serving is not None:
            self._serving.cancel()

    # What held responses call.

    def want(self, held: Held) -> None:
        """`held` has something to send: it is served after this turn of the event loop, because
        rooms must not change while one of them pushes."""
        self._ready.append(held)
        if self._serving is None:
            self._serving = asyncio.get_running_loop().call_soon(self._serve)

    def over(self, held: Held, how: str) -> None:
        """`held` has ended."""
        address = self._held.pop(held)
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]
        self.wheel.forget(held)
        self.node.guests.leave(held)
        self.node.counters.held[how] += 1

    def pieces(self, mode: Mode, chunked: bool) -> Joined[bytes]:
        """What all streams share that are written like this."""
        key = (mode, chunked)
        if key not in self._pieces:
            build = FORMATS[mode].publications
            self._pieces[key] = Joined(lambda m: chunk(build(m)) if chunked else build(m))
        return self._pieces[key]

    def _serve(self) -> None:
        self._serving = None
        for _ in range(min(_PER_TURN, len(self._ready))):
            held = self._ready.popleft()
            if held in self._held:
                self._guarded(held, held.serve)
        if self._ready:
            self._serving = asyncio.get_running_loop().call_soon(self._serve)

    @staticmethod
    def _guarded(held: Held, action: Callable[[], None]) -> None:
        """A defect met by one of them ends that one alone."""
        try:
            action()
        except Exception:
            log.exception("a held response could not be served")
            held.cut_off("failed")

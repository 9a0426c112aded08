"""The sessions of an endpoint: how many there may be, and which id is whose."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from roomline.core.address import network_of
from roomline.core.limits import Rate

if TYPE_CHECKING:
    from roomline.transport.session import Session
    from roomline.transport.settings import TransportSettings


class TooManySessions(Exception):
    """No further session is accepted now, in total or from this address: there are too many, or
    too many came lately."""


class Registry:
    """Counts all sessions and finds those that HTTP requests refer to by id.

    A session that has ended leaves its tombstone for a while, so that a late request learns why
    instead of opening another session under the old id. There are as many tombstones as sessions
    at most; the oldest give way.
    """

    def __init__(self, options: "TransportSettings", timer: Callable[[], float]) -> None:
        """`timer` gives seconds."""
        total = self._total = options.sessions
        per_address = self._per_address = options.sessions_per_address
        rate, burst = options.new_sessions_per_second, options.new_sessions_burst
        self._timer = timer
        # All addresses together may bring as many times more as they may have sessions.
        factor = max(1, total / per_address)
        self._arrivals = Rate(rate, burst, timer(), each=1, together=factor)
        self.refused: Counter[str] = Counter()
        """Who was not accepted, by why: ``sessions``, or ``arrivals``."""
        self._count = 0
        self._addresses: Counter[str] = Counter()
        self._living: dict[str, Session] = {}
        self._tombs: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def arrive(self, address: str) -> None:
        """Somebody wants a session. Raises `TooManySessions` if it would be one too many."""
        network = network_of(address)
        if self._full(network):
            self.refused["sessions"] += 1
            raise TooManySessions
        if not self.let_come(address):
            raise TooManySessions

    def let_come(self, address: str) -> bool:
        """Count somebody who comes, for a session or for what costs as much to open; False if too
        many came lately, from this address or at all."""
        taken = self._arrivals.take(network_of(address), self._timer())
        if not taken:
            self.refused["arrivals"] += 1
        return taken

    def admit(self, session: "Session") -> None:
        """Count a session that has arrived; raises `TooManySessions` if others were faster."""
        network = network_of(session.address)
        if self._full(network):
            self.refused["sessions"] += 1
            raise TooManySessions
        self._count += 1
        self._addresses[network] += 1

    def _full(self, network: str) -> bool:
        return self._count >= self._total or self._addresses[network] >= self._per_address

    def release(self, session: "Session") -> None:
        """The session has ended and counts no more."""
        network = network_of(session.address)
        self._count -= 1
        self._addresses[network] -= 1
        if not self._addresses[network]:
            del self._addresses[network]

    def put(self, session: "Session") -> None:
        """Find `session` by its id from now on."""
        self._living[session.session_id] = session

    def find(self, session_id: str) -> "Session | None":
        """The session with this id, alive or ended."""
        return self._living.get(session_id) or self._tombs.get(session_id)

    def living(self) -> "list[Session]":
        """Those that are found by their ids and have not ended."""
        return list(self._living.values())

    def bury(self, session: "Session") -> "Session | None":
        """The session has ended: keep its tombstone. Returns the one that gives way, if any."""
        del self._living[session.session_id]
        self._tombs[session.session_id] = session
        if len(self._tombs) > self._total:
            return self._tombs.popitem(last=False)[1]
        return None

    def forget(self, session: "Session") -> None:
        """The time of the tombstone is over."""
        self._tombs.pop(session.session_id, None)

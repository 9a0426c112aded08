"""The sessions of an endpoint: how many there may be, and which id is whose."""

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from roomline.core.address import network_of

if TYPE_CHECKING:
    from roomline.transport.session import Session


class TooManySessions(Exception):
    """No further session is accepted now, in total or from this address."""


class Registry:
    """Counts all sessions and finds those that HTTP requests refer to by id.

    A session that has ended leaves its tombstone for a while, so that a late request learns why
    instead of opening another session under the old id. There are as many tombstones as sessions
    at most; the oldest give way.
    """

    def __init__(self, total: int, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._count = 0
        self._addresses: Counter[str] = Counter()
        self._living: dict[str, Session] = {}
        self._tombs: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def check(self, address: str) -> None:
        """Raise `TooManySessions` if a session from `address` would be one too many."""
        if self._count >= self._total:
            raise TooManySessions(f"there are {self._total} sessions, which is the limit")
        if self._addresses[network_of(address)] >= self._per_address:
            raise TooManySessions(
                f"{address} has {self._per_address} sessions, which is the limit per address"
            )

    def admit(self, session: "Session") -> None:
        """Count a session; raises `TooManySessions`."""
        self.check(session.address)
        self._count += 1
        self._addresses[network_of(session.address)] += 1

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

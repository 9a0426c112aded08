"""The listener of the control log: takes note of revocations, and tells of what is new.

What is known is never forgotten for a fault of the log: revocations only deny, and the ones that
come again change nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from roomline.core.revocations import Revocations
from roomline.reading import Reading
from roomline.revocations import UserRevoked, revocations_of
from roomline.wire import Envelope, InvalidData, shorten

log = logging.getLogger(__name__)

Told = Callable[[frozenset[str], Mapping[str, bool]], None]
"""Takes the users revoked in one turn of the event loop, and the rooms, each with whether it was
closed."""


class Control:
    """A `roomline.broker.Listener` that fills `revocations`.

    Only what one of `publishers` has published counts, by the broker's word. `revoked` is told
    at the latest at the end of the turn of the event loop, `caught_up` when everything has been
    read. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        revocations: Revocations,
        reading: Reading,
        publishers: frozenset[str],
        *,
        revoked: Told,
        caught_up: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.read = 0
        """How many revocations were new."""
        self._revocations = revocations
        self._reading = reading
        self._publishers = publishers
        self._revoked = revoked
        self._tell_caught_up = caught_up
        self._clock = clock
        self._users: set[str] = set()
        self._rooms: dict[str, bool] = {}

    def deliver(self, partition: int, offset: int, envelope: Envelope) -> None:
        """One entry of the control log."""
        if envelope.publisher not in self._publishers:
            log.warning(
                "a revocation does not count: its publisher is %s, which is none of those that"
                " the setting publishers names",
                shorten(envelope.publisher),
            )
            return
        try:
            revocations = revocations_of(envelope)
        except InvalidData as error:
            log.warning("the entry at offset %d of the control log says nothing: %s", offset, error)
            return
        now = self._clock()
        for revocation in revocations:
            if not self._revocations.add(revocation, now):
                continue
            self.read += 1
            if not self._users and not self._rooms:
                asyncio.get_running_loop().call_soon(self.tell)
            if isinstance(revocation, UserRevoked):
                self._users.add(revocation.user_id)
            else:
                self._rooms[revocation.room] = revocation.closed

    def tell(self) -> None:
        """Tell now of what has been read and not been told of, if there is anything."""
        if not self._users and not self._rooms:
            return
        users, rooms = frozenset(self._users), self._rooms
        self._users, self._rooms = set(), {}
        self._revoked(users, rooms)

    def caught_up(self) -> None:
        """All revocations that stood in the log are known."""
        self._reading.reached()
        self._tell_caught_up()

    def cut_off(self, reason: str) -> None:
        """Revocations cannot be read for now."""
        self._reading.lost()
        log.warning("revocations cannot be read: %s", reason)

    def log_reset(self, reason: str) -> None:
        """The log is another one. What it said before stays true."""
        self._reading.begun_anew()
        log.error("the control log is another one now, what is known stays: %s", reason)

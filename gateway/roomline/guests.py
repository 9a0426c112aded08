"""Subscribers without a session, each let into one room by somebody whom the node believes."""

from collections.abc import Callable, Collection, Mapping

from roomline.core.codec import ProtocolError
from roomline.core.codes import Unsubscribed
from roomline.core.limits import NodeLimits
from roomline.core.policy import Policy
from roomline.core.room import Guest
from roomline.core.rooms import Page, Rooms


class Guests:
    """Who is in which room. `unreadable` gives what is in the way of continuing from a position,
    or None, given whether it was waited for; `clock` gives seconds since the epoch."""

    def __init__(
        self,
        rooms: Rooms,
        policy: Policy,
        limits: NodeLimits,
        unreadable: Callable[[str | None, bool], ProtocolError | None],
        clock: Callable[[], float],
    ) -> None:
        self._rooms = rooms
        self._policy = policy
        self._page_bytes = limits.outbox_bytes // 2
        self._unreadable = unreadable
        self._clock = clock
        self._known: dict[Guest, None] = {}
        """Who wants to come in, and who is live."""
        self._present: dict[Guest, None] = {}

    def __len__(self) -> int:
        """How many are live."""
        return len(self._present)

    def attach(self, guest: Guest, since: str | None, *, overdue: bool = False) -> Page:
        """Let a guest into its room, after what it has missed since a position (None: nothing).

        It is live unless the page has `more`: then attach it again, from the page's position.
        Raises `ProtocolError`: for good for a bad or unknown room, and with a temporary code when
        the node has not read that far. After it was tried for long enough, it is `overdue`: a
        position that the log does not reach is then in no log.
        """
        self._policy.namespace(guest.room)
        self._known[guest] = None
        if obstacle := self._unreadable(since, overdue):
            raise obstacle
        page = self._rooms.page(guest.room, since, 0, self._page_bytes)
        if not page.more:
            self._rooms.room(guest.room).subscribers[guest] = None
            self._present[guest] = None
        return page

    def leave(self, guest: Guest) -> None:
        """A guest has left, or comes no more."""
        self._known.pop(guest, None)
        if guest in self._present:
            del self._present[guest]
            self._rooms.leave(guest.room, guest, self._clock())

    def end_all(self, reason: Unsubscribed) -> None:
        """The rooms are not there any more."""
        for guest in list(self._present):
            guest.end(reason)

    def revoke(self, users: Collection[str], rooms: Mapping[str, bool]) -> None:
        """End what was let in by rights that are revoked: of these users, and in these rooms, each
        with whether it was closed. Whoever let it in can be asked again."""
        for guest in list(self._known):
            if guest.room in rooms:
                closed = rooms[guest.room]
                guest.end(Unsubscribed.ROOM_CLOSED if closed else Unsubscribed.RIGHTS_CHANGED)
            elif guest.user in users:
                guest.end(Unsubscribed.RIGHTS_CHANGED)

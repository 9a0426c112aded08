"""What a subscription holds of one room's log, and whether what comes continues it.

Everything up to the *proved* position has been received: publications prove it by naming the one
before them, and the gateway by its replies. A ping whose count agrees moves a second position on,
the *sounded* one, without which a quiet room could not be continued once its last publication has
left what gateways hold. But a push that was lost and one that came twice make counts agree, too. So
the sounded position is only where to ask first: if what comes does not continue the head, the
proved one is asked. A room without a head has nothing to compare with, and is not sounded.
"""

from collections.abc import Sequence

from roomline.client.session import Publication


class Chain:
    """Positions are opaque texts; None: there is none."""

    def __init__(self, since: str | None) -> None:
        self.proved = since
        self.head: str | None = None
        """The position of the room's last publication, as far as known."""
        self._sounded: str | None = None

    @property
    def since(self) -> str | None:
        """Where to continue from."""
        return self.proved if self._sounded is None else self._sounded

    def joins(self, publications: Sequence[Publication], head: str | None, *, more: bool) -> bool:
        """Whether the first page that was recovered from `since` leaves nothing out. `head` is
        the room's, unless there is `more`."""
        if self._sounded is None:
            return True
        if publications:
            return publications[0].previous == self.head
        return not more and head == self.head

    def settle(self, position: str, head: str | None) -> None:
        """Everything up to `position` has been received."""
        self.proved, self.head, self._sounded = position, head, None

    def advance(self, position: str) -> None:
        """Counting suggests that nothing of the room came up to `position`."""
        if self.head is not None:
            self._sounded = position

    def retreat(self) -> None:
        """Something is missing, so that a count that agreed may have been chance."""
        self._sounded = None

    def forget(self) -> None:
        """The log of these positions is no more."""
        self.proved = self.head = self._sounded = None

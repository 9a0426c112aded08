"""Sends a node's sessions elsewhere: for good when it ends, or for as long as it cannot read."""

import asyncio
import contextlib
from collections.abc import Callable, Collection

from roomline.core.codes import Disconnect
from roomline.core.messages import Reconnect
from roomline.live import LiveSession


class Draining:
    """Whether a node takes clients. `sessions` are those that it has now, `disconnect` closes
    one."""

    def __init__(
        self,
        sessions: Collection[LiveSession],
        disconnect: Callable[[LiveSession, Disconnect], None],
    ) -> None:
        self.for_good = False
        """The node ends: it takes no clients any more."""
        self.for_now = False
        """It takes none for as long as this is so."""
        self._sessions = sessions
        self._disconnect = disconnect
        self._all_left = asyncio.Event()

    @property
    def under_way(self) -> bool:
        """Whether new clients are turned away."""
        return self.for_good or self.for_now

    async def send(self, seconds: float) -> None:
        """Send every client elsewhere, spread over `seconds`; returns when they have left.

        Sessions are served as before until then. Whoever stays is closed at the end.
        """
        leaving = list(self._sessions)
        for place, live in enumerate(leaving):
            # The last fifth is for those who are told last to leave in.
            after = int(1000 * 0.8 * seconds * place / len(leaving))
            live.send(Reconnect(after_ms=after))
        if self._sessions:
            self._all_left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_left.wait(), seconds)
        self._close_all()

    def close(self) -> None:
        """Close all sessions at once, and take none any more."""
        self.for_good = True
        self._close_all()

    def left(self) -> None:
        """A session has left."""
        if not self._sessions:
            self._all_left.set()

    def _close_all(self) -> None:
        for live in list(self._sessions):
            self._disconnect(live, Disconnect.DRAINING)

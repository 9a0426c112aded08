"""A session with its link and its outbox, and the one write per turn of the loop."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Protocol

from roomline.core.codec import encode
from roomline.core.link import Link
from roomline.core.messages import Message, Push, TransportReport
from roomline.core.outbox import Encoded, Outbox
from roomline.core.session import Session

log = logging.getLogger(__name__)


class Owner(Protocol):
    """What a live session tells its node."""

    def receive(self, live: "LiveSession", text: str) -> None: ...
    def refused(self, live: "LiveSession", code: int, reason: str) -> None: ...
    def gone(self, live: "LiveSession") -> None: ...


class Flusher:
    """Writes each outbox at most once in a turn of the event loop, whatever came in that turn."""

    def __init__(self, slow: Callable[["LiveSession"], None]) -> None:
        self._slow = slow
        self._wanted: list[LiveSession] = []
        self._overflowed: set[LiveSession] = set()
        self._scheduled = False

    def want(self, live: "LiveSession") -> None:
        """The outbox of `live` has its first message."""
        self._wanted.append(live)
        self._schedule()

    def overflowed(self, live: "LiveSession") -> None:
        """The outbox of `live` is full. That is acted upon at the end of the turn, because rooms
        must not change while one of them pushes."""
        self._overflowed.add(live)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        wanted, self._wanted = self._wanted, []
        overflowed, self._overflowed = self._overflowed, set()
        for live in wanted:
            try:
                live.link.flush()
            except Exception:
                # It never should; but the others' messages must leave, whatever one link does.
                log.exception("a link failed to write", extra={"session": live.session.id})
                overflowed.add(live)
        for live in overflowed:
            self._slow(live)


class LiveSession:
    """What the transport knows as its `Peer` and a room as its `Subscriber`."""

    __slots__ = (
        "_flusher",
        "_owner",
        "closed",
        "link",
        "outbox",
        "overflowed",
        "report",
        "sent",
        "session",
        "subscriptions",
        "unanswered",
        "unconfirmed",
        "watched",
    )

    def __init__(
        self, owner: Owner, flusher: Flusher, link: Link, session: Session, outbox: Outbox
    ) -> None:
        self._owner = owner
        self._flusher = flusher
        self.link = link
        self.session = session
        self.outbox = outbox
        self.sent = 0
        """Messages without an id that were queued to this session."""
        self.unconfirmed = 0
        """Publications that wait for the broker's confirmation."""
        self.subscriptions = 0
        """How many of the session's subscriptions the node has counted."""
        self.unanswered = 0
        """Requests that wait for their answer."""
        self.report: TransportReport | None = None
        """How the client says that it came to its transport."""
        self.watched = math.inf
        self.overflowed = False
        """A message did not fit: nothing after it may be sent, or the client would see a gap."""
        self.closed = False

    @property
    def deadline(self) -> float | None:
        return self.session.deadline

    def receive(self, text: str) -> None:
        self._owner.receive(self, text)

    def refuse(self, code: int, reason: str) -> None:
        self._owner.refused(self, code, reason)

    def gone(self) -> None:
        self._owner.gone(self)

    def send(self, message: Message) -> None:
        """Queue a reply or push."""
        if not self.closed:
            self.sent += isinstance(message, Push)
            self._queue(Encoded(encode(message)))

    def push(self, message: Encoded) -> None:
        """Queue a publication: the path that every delivery takes."""
        self.sent += 1
        self._queue(message)

    def _queue(self, message: Encoded) -> None:
        if self.overflowed:
            return
        if not self.outbox.items:
            self._flusher.want(self)
        if not self.outbox.put(message):
            self.overflowed = True
            self._flusher.overflowed(self)

"""A held response, and the one that waits for a room's next publication; `roomline.proxy.stream`
has the one that streams them all.

Neither has a task. The room pushes to them, the keeper's clock calls them, and the client's
connection says when it is gone or reads again.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from tornado.httputil import HTTPHeaders
from tornado.iostream import IOStream

from roomline.core.codec import ProtocolError
from roomline.core.codes import Unsubscribed
from roomline.core.outbox import Encoded, Outbox
from roomline.core.rooms import Page
from roomline.holding import POSITION_HEADER, Hold, Mode
from roomline.joined import Joined
from roomline.node import Node
from roomline.proxy.frames import Beginning, answer, position_of
from roomline.proxy.settings import HeldSettings
from roomline.relay import Client
from roomline.wheel import Due, Wheel
from roomline.writer import PATIENCE

log = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 0.25
_OF_THE_BODY: Final = (
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Content-Language",
    "Content-Disposition",
    "ETag",
    "Last-Modified",
)
"""Headers of Django's body, which is not the one that is sent."""


class Answer(NamedTuple):
    """What the upstream has answered itself."""

    status: int
    headers: HTTPHeaders
    body: bytes


class Owner(Protocol):
    """What a held response asks of its keeper."""

    node: Node
    settings: HeldSettings
    wheel: Wheel
    draining: bool

    def want(self, held: "Held") -> None: ...
    def over(self, held: "Held", how: str) -> None: ...
    def pieces(self, mode: Mode, chunked: bool) -> Joined[bytes]: ...


class Held:
    """What the two have in common: how they come into the room, and how they end."""

    def __init__(self, owner: Owner, client: Client, hold: Hold, said: Answer) -> None:
        self.due = 0.0
        self.slot: int | None = None
        self._owner = owner
        self._client = client
        self._hold = hold
        self._said = said
        self._since = hold.since
        self._outbox = Outbox(owner.settings.outbox_bytes)
        self._live = False
        self._full = False
        """Whether something of the room did not fit any more."""
        self._over = False
        now = self._now()
        self._ends = now if owner.draining else now + hold.timeout
        self._patient_until = now + owner.settings.waiting_seconds

    def begin(self) -> None:
        """Come into the room."""
        self._client.connection.set_close_callback(self.gone)
        self._attach()

    # What the node asks: `Guest`.

    @property
    def room(self) -> str:
        """The room that it is in, or will be."""
        return self._hold.room

    @property
    def user(self) -> str | None:
        """The user whom it is for."""
        return self._hold.user

    def push(self, message: Encoded) -> None:
        """A publication of the room."""
        raise NotImplementedError

    def end(self, reason: Unsubscribed) -> None:
        """The node has ended it."""
        raise NotImplementedError

    # What the keeper calls.

    def serve(self) -> None:
        """Send what the outbox has."""
        raise NotImplementedError

    def finish_now(self) -> None:
        """The time is over."""
        raise NotImplementedError

    def on_due(self, now: float) -> None:
        """The wheel's call: try again, or the time is over."""
        if not self._live:
            self._attach()
        elif now >= self._ends:
            self.finish_now()
        else:
            self._while_live(now)

    def end_by(self, time: float) -> None:
        """End at `time` at the latest."""
        if time < self._ends:
            self._ends = time
            if self._live:
                self._wake(min(self.due, time))

    # What the client's connection calls.

    def gone(self) -> None:
        """The client has gone."""
        self._end_as("gone")

    def cut_off(self, how: str) -> None:
        """End it without a word."""
        if self._end_as(how):
            self._client.abort()

    # For the two.

    def _attached(self, page: Page) -> None:
        """It is in the room, or has the first page of what it missed."""
        raise NotImplementedError

    def _while_live(self, now: float) -> None:
        """It is woken before its end."""

    def _attach(self) -> None:
        try:
            overdue = self._now() >= self._patient_until
            page = self._owner.node.guests.attach(self, self._since, overdue=overdue)
        except ProtocolError as error:
            self._refused(error)
            return
        self._live = not page.more
        self._attached(page)

    def _refused(self, error: ProtocolError) -> None:
        code = error.code
        if code.temporary and self._now() < self._patient_until:
            self._wake(self._now() + _RETRY_SECONDS)
        elif self._client.began:
            self.cut_off("refused")
        elif self._end_as("refused"):
            if code.temporary:
                self._client.error(503, code.code, error.reason)
                return
            log.error("the upstream asks for what cannot be held: %s", error.reason)
            self._client.page(502, "The server behind this gateway asks for a room that is not.")

    def _end_as(self, how: str) -> bool:
        """Leave the room; False if that was so before."""
        if self._over:
            return False
        self._over = True
        self._owner.over(self, how)
        return True

    def _wake(self, due: float) -> None:
        self.due = due
        self._owner.wheel.watch(self)

    def _watch_unread(self) -> None:
        stream = self._client.stream
        if not stream.closed() and stream.writing():
            seconds = PATIENCE * self._owner.settings.heartbeat_seconds
            self._owner.wheel.watch(_Unread(stream, self._now() + seconds))

    def _ended_as(self) -> str:
        return "drained" if self._owner.draining else "timeout"

    def _headers(self, content_type: str, position: str | None) -> HTTPHeaders:
        headers = self._said.headers
        for name in _OF_THE_BODY:
            headers.pop(name, None)
        headers["Content-Type"] = content_type
        headers["Cache-Control"] = "no-store"
        return self._with_position(headers, position)

    @staticmethod
    def _with_position(headers: HTTPHeaders, position: str | None) -> HTTPHeaders:
        if position is not None:
            headers[POSITION_HEADER] = position
        return headers

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class _Unread(Due):
    """What its client has not read yet of a response that has ended: it does not wait for ever."""

    def __init__(self, stream: IOStream, due: float) -> None:
        self.due = due
        self.slot: int | None = None
        self._stream = stream
        self._written = stream.write(b"")

    def on_due(self, now: float) -> None:
        if not self._written.done():
            self._stream.close()


class HeldAnswer(Held):
    """Waits for the room's next publication, and answers with it, or when the time is over."""

    def push(self, message: Encoded) -> None:
        if self._full:
            return
        # What does not fit, and all that is behind it, comes after the position that is answered.
        self._full = not self._outbox.put(message)
        if not self._full and len(self._outbox.items) == 1:
            self._owner.want(self)

    def end(self, reason: Unsubscribed) -> None:
        if reason is Unsubscribed.LOG_RESET:
            self._answer("ended", (), None, reason.code)
        elif self._outbox.items:
            self.serve()
        else:
            # Nothing was missed; whether there may be more, the next request will tell.
            self._answer("ended", (), self._reached)

    def serve(self) -> None:
        messages = self._outbox.take()
        self._answer("published", messages, position_of(messages[-1]))

    def finish_now(self) -> None:
        if self._outbox.items:
            self.serve()
            return
        position = self._reached
        how = self._ended_as()
        if not self._hold.answer:
            self._answer(how, (), position)
        elif self._end_as(how):
            said = self._said
            self._send(said.status, self._with_position(said.headers, position), said.body)

    @property
    def _reached(self) -> str | None:
        """Up to where nothing was missed, while nothing waits to be answered."""
        return self._owner.node.position if self._live else self._since

    def _attached(self, page: Page) -> None:
        messages = [publication.message for publication in page.publications]
        if page.doubt:
            self._answer("unrecovered", messages, page.position, page.doubt.code)
        elif messages:
            self._answer("published", messages, page.position)
        else:
            self._wake(self._ends)

    def _answer(
        self,
        how: str,
        messages: Sequence[Encoded],
        position: str | None,
        reason: str | None = None,
    ) -> None:
        if self._end_as(how):
            body = answer(Beginning(self._hold.room, position, reason), messages)
            self._send(200, self._headers("application/json", position), body)

    def _send(self, status: int, headers: HTTPHeaders, body: bytes) -> None:
        self._client.whole(status, headers, body)
        self._watch_unread()

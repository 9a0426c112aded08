"""One SockJS session: the link between an application's peer and whichever response carries it."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from roomline.core.codes import Disconnect
from roomline.core.link import Application, Peer
from roomline.core.outbox import Outbox
from roomline.transport import framing
from roomline.transport.upstream import (
    CLOSED,
    CONNECTING,
    OPEN,
    BaseSession,
    SockJSConnection,
)

if TYPE_CHECKING:
    from roomline.transport.endpoint import Endpoint

log = logging.getLogger(__name__)

GO_AWAY = (3000, "Go away!")
INTERRUPTED = (1002, "Connection interrupted")
ANOTHER_OPEN = (2010, "Another connection still open")
INTERNAL_ERROR = (1011, "internal error")


class Receiver(Protocol):
    """A connection or response that a session writes to."""

    @property
    def transport(self) -> str: ...

    active: bool
    """Whether it takes a frame now. What does not go out at once makes this false for a while,
    and the receiver flushes the session when it is true again."""

    def send_control(self, frame: str) -> None:
        """Write a SockJS frame other than messages."""

    def send_messages(self, outbox: Outbox) -> None:
        """Take messages out of the outbox, which is not empty, and write them."""

    def send_close(self, code: int, reason: str) -> None:
        """Write the close frame and end. Called once, as the last."""

    def beat(self) -> bool:
        """Write a heartbeat if that can be done now; False: the client shows no sign of life."""

    def abort(self) -> None:
        """End at once, whatever is queued."""


class PeerConnection(SockJSConnection):
    """sockjs-tornado's idea of an application, as a door to ours."""

    def __init__(self, application: Application, session: "Session") -> None:
        super().__init__(session)
        self._application = application
        self.peer: Peer | None = None

    def on_open(self, request: None) -> None:
        self.peer = self._application.open(self.session)

    def on_message(self, text: str) -> None:
        assert self.peer is not None, "messages come after open"
        self.peer.receive(text)

    def on_close(self) -> None:
        if self.peer is not None:
            peer, self.peer = self.peer, None
            peer.gone()
        self.session = None  # which knows this, and would wait for the garbage collector


class Session(BaseSession):
    """A `roomline.core.link.Link`. Its life, as the endpoint's wheel sees it:

    with a receiver: heartbeats; without one: expires after the disconnect delay; closed with
    messages left: waits as long for a request that fetches them; closed and nothing left: a
    tombstone until the endpoint forgets it. A websocket's session never lacks its receiver and
    leaves no tombstone.
    """

    server: "Endpoint"
    conn: PeerConnection
    handler: Receiver | None

    def __init__(self, server: "Endpoint", session_id: str, address: str, *, lasting: bool) -> None:
        """`lasting`: it outlives the request that opens it, and is found by its id."""
        super().__init__(server.connect, server)
        self.session_id = session_id
        self.address = address
        self.transport = ""
        self.outbox = Outbox(0)
        self.due = 0.0
        self.slot: int | None = None
        self._lasting = lasting
        self._opening = False
        self._close_sent = False
        self._ended = False

    # What the application calls.

    def flush(self) -> None:
        """Write what waits, as far as the receiver takes it now."""
        outbox = self.outbox
        receiver = self.handler
        while receiver is not None and receiver.active:
            if outbox.items:
                receiver.send_messages(outbox)
            elif self.close_reason is not None and not self._close_sent and not self._opening:
                self._close_sent = True
                receiver.send_close(*self.close_reason)
            else:
                return
            receiver = self.handler

    def close(self, code: int = GO_AWAY[0], reason: str = GO_AWAY[1]) -> None:
        """Write what waits, then close. Only the first close counts."""
        if self.close_reason is not None:
            return
        self.close_reason = (code, reason)
        if not self._opening:
            self._close()

    # What receivers call.

    def set_handler(self, receiver: Receiver, start_heartbeat: bool = True) -> bool:
        """Make `receiver` the one that carries the session; False: it was sent away with a
        close frame."""
        if self.handler is not None:
            receiver.send_close(*ANOTHER_OPEN)
            return False
        if self.close_reason is not None and not self.outbox.items:
            receiver.send_close(*self.close_reason)
            return False
        self.handler = receiver
        if not self.transport:
            self.transport = receiver.transport
        self._wait(self.server.options.heartbeat_seconds)
        return True

    def verify_state(self) -> None:
        """Open the session if it is new, then write what waits."""
        if self.state == CONNECTING:
            self._open()
        self.flush()

    def remove_handler(self, receiver: Receiver) -> None:
        """The response is complete and has been written; the next request may carry on."""
        if self.handler is not receiver:
            return
        self.handler = None
        if self.close_reason is not None and not self.outbox.items:
            self._end()
        else:
            self._wait(self.server.options.disconnect_delay)

    def interrupted(self, receiver: Receiver) -> None:
        """The connection broke. What it carried may be lost, so the session is over."""
        if self.handler is not receiver:
            return
        self.handler = None
        self.close(*INTERRUPTED)
        self._end()

    def on_messages(self, messages: Sequence[str]) -> bool:
        """Pass on what the client sent. False: it was too long, or too many at once, and the
        session is closed for it."""
        options = self.server.options
        if len(messages) > options.messages_per_body:
            self.refuse(Disconnect.FLOOD)
            return False
        for text in messages:
            if self.state != OPEN:
                return True
            if framing.longer_than(text, options.message_bytes):
                self.refuse(Disconnect.MESSAGE_TOO_LONG)
                return False
            try:
                self.conn.on_message(text)
            except Exception:
                log.exception("a peer failed to receive a message")
                self.close(*INTERNAL_ERROR)
        return True

    def refuse(self, why: Disconnect) -> None:
        """Close because of what the client sent."""
        if self.state != OPEN:
            return
        if self.conn.peer is not None:
            self.conn.peer.refuse(why.code, why.reason)
        self.close(why.code, why.reason)

    # What the wheel calls.

    def on_due(self, now: float) -> None:
        """The time of the present part of its life is over."""
        options = self.server.options
        if self._ended:
            self.server.registry.forget(self)
        elif self.handler is None:
            self.outbox = Outbox(0)
            self.close(*GO_AWAY)
            self._end()
        elif self.close_reason is None and self.handler.beat():
            if self.handler is not None:
                self._wait(options.heartbeat_seconds)
        else:
            self._wait(options.close_seconds)
            self.handler.abort()

    def _open(self) -> None:
        assert self.handler is not None, "a session opens with its first receiver"
        self.state = OPEN
        self.handler.send_control(framing.OPEN)
        if self.close_reason is not None:
            return  # the client has gone already
        self._opening = True
        try:
            self.conn.on_open(None)
        except Exception:
            log.exception("the application failed to open a session")
            if self.close_reason is None:
                self.close_reason = INTERNAL_ERROR
        self._opening = False
        if self.conn.peer is not None:
            self.outbox = self.conn.peer.outbox
        if self.close_reason is not None:
            self._close()

    def _close(self) -> None:
        """Take over what is left for the client and let the peer go."""
        self.state = CLOSED
        left = Outbox(0)
        left.size = self.outbox.size
        left.items = self.outbox.take()
        self.outbox = left
        # Later, since the application may be amid something that it would disturb.
        asyncio.get_running_loop().call_soon(self._gone)
        if self.handler is not None:
            self._wait(self.server.options.close_seconds)
            self.flush()
        elif left.items:
            self._wait(self.server.options.disconnect_delay)
        else:
            self._end()

    def _gone(self) -> None:
        try:
            self.conn.on_close()
        except Exception:
            log.exception("a peer failed to leave")

    def _end(self) -> None:
        """Nothing can be sent any more."""
        if self._ended:
            return
        self._ended = True
        self.outbox = Outbox(0)
        self.server.ended(self, lasting=self._lasting)
        if self._lasting:
            self._wait(self.server.options.tombstone_seconds)
        else:
            self.server.wheel.forget(self)

    def _wait(self, seconds: float) -> None:
        self.due = asyncio.get_running_loop().time() + seconds
        self.server.wheel.watch(self)

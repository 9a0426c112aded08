"""An HTTP response that carries a session until it is complete."""

from abc import ABC, abstractmethod
from asyncio import Future
from typing import TYPE_CHECKING, ClassVar

from tornado.iostream import IOStream

from roomline.core.outbox import Outbox
from roomline.transport.handlers import Handler
from roomline.transport.registry import TooManySessions
from roomline.transport.session import Session

if TYPE_CHECKING:
    from roomline.transport.endpoint import Endpoint

RETRY_AFTER_SECONDS = 5


class HttpReceiver(Handler, ABC):
    """What all requests that receive have in common."""

    transport: ClassVar[str]

    def initialize(self, server: "Endpoint") -> None:
        super().initialize(server)
        self.session: Session | None = None
        self.active = False
        self._auto_finish = False  # the response is complete when the session says so

    @property
    def address(self) -> str:
        return self.request.remote_ip or ""

    @property
    def stream(self) -> IOStream:
        """The connection's stream."""
        stream: IOStream = self.request.connection.stream  # type: ignore[union-attr]
        return stream

    def find_session(self, session_id: str) -> Session | None:
        """The session with this id, opened if there is none. None: there are too many, and the
        request has been answered with that; or nobody waits for an answer any more."""
        if self.stream.closed():
            self.on_connection_close()  # it closed before this handler was there to be told
            return None
        session = self.server.registry.find(session_id)
        if session is not None:
            return session
        try:
            self.server.registry.arrive(self.address)
            return self.server.open_session(session_id, self.address, lasting=True)
        except TooManySessions:
            self.set_header("Retry-After", RETRY_AFTER_SECONDS)
            self.answer(503)
            return None

    def attach(self, session: Session) -> None:
        """Carry `session` from now on."""
        self.active = True
        if session.set_handler(self):
            self.session = session
            session.verify_state()

    def complete(self, written: "Future[None]") -> None:
        """The response has been finished: the session goes on when all of it has left."""
        self.active = False
        stream = self.stream
        if stream.writing():
            # Tornado's own future calls it a success when the connection breaks before the end.
            stream.write(b"").add_done_callback(self._on_written)
        elif not written.done() or written.exception() is not None or stream.error is not None:
            self.on_connection_close()
        else:
            # It may be closed by now, for being the last response on its connection.
            self._release()

    @abstractmethod
    def send_control(self, frame: str) -> None: ...

    @abstractmethod
    def send_messages(self, outbox: Outbox) -> None: ...

    @abstractmethod
    def send_close(self, code: int, reason: str) -> None: ...

    @abstractmethod
    def beat(self) -> bool: ...

    def let_go(self) -> None:
        """End the response as if it were full: the session goes on with the next request."""
        if self.active:
            self.beat()  # which is all that a poll can carry

    def abort(self) -> None:
        """Cut the connection."""
        self.stream.close()
        self.on_connection_close()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.active = False
        session, self.session = self.session, None
        if session is not None:
            session.interrupted(self)

    def _on_written(self, written: "Future[None]") -> None:
        if written.cancelled() or written.exception() is not None:
            self.on_connection_close()
        else:
            self._release()

    def _release(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            session.remove_handler(self)

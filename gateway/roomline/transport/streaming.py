"""xhr-streaming and eventsource: one response carries frames until its limit is reached."""

from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from roomline.core.outbox import Outbox
from roomline.transport import framing
from roomline.transport.receiver import HttpReceiver
from roomline.transport.session import Session
from roomline.writer import PATIENCE, Writer, chunk, limit_silence

if TYPE_CHECKING:
    from roomline.transport.endpoint import Endpoint


class Piece(NamedTuple):
    """A part of a streaming response."""

    data: bytes
    """As it goes over the connection."""
    size: int
    """What it counts against the response's limit, in bytes."""


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How a transport wraps a frame: the same for every response, so its output is shared."""

    before: bytes
    after: bytes
    chunked: bool
    escape: Callable[[str], str]

    def __call__(self, frame: str) -> Piece:
        payload = self.before + self.escape(frame).encode() + self.after
        return Piece(chunk(payload) if self.chunked else payload, len(payload))


class StreamingReceiver(HttpReceiver):
    """What streaming transports have in common."""

    content_type: ClassVar[str]
    prelude: bytes
    before: ClassVar[bytes]
    after: ClassVar[bytes]

    @staticmethod
    def escape(frame: str) -> str:
        """The frame where not every character may stand for itself."""
        return frame

    def initialize(self, server: "Endpoint") -> None:
        super().initialize(server)
        self._left = server.options.response_limit
        chunked = self.request.version == "HTTP/1.1"
        self._wrap = Wrapping(self.before, self.after, chunked, self.escape)
        self._join = server.joined_pieces(self._wrap)
        self._writer = Writer(self.stream, self._drained)
        self._unanswered = 0

    def start(self, session_id: str) -> None:
        """Send headers and prelude, then what the session has."""
        self.stick()
        self.do_not_cache()
        session = self.find_session(session_id)
        if session is None:
            return
        stream = self.stream
        if not self._wrap.chunked:
            # Nothing but its end tells HTTP/1.0 clients where the response ends.
            self.request.headers.pop("Connection", None)
        self.set_header("Content-Type", self.content_type)
        stream.set_nodelay(True)
        limit_silence(stream, PATIENCE * self.server.options.heartbeat_seconds)
        self.write(self.prelude)
        self.flush()
        self.attach(session)

    def send_control(self, frame: str) -> None:
        self._send(self._wrap(frame))

    def send_messages(self, outbox: Outbox) -> None:
        self._send(self._join(framing.take(outbox, self._left)))

    def send_close(self, code: int, reason: str) -> None:
        self._writer.write(self._wrap(framing.close_frame(code, reason)).data)
        self._end()

    def beat(self) -> bool:
        if self.active:
            self._unanswered = 0
            self.send_control(framing.HEARTBEAT)
            return True
        self._unanswered += 1
        return self._unanswered < PATIENCE

    def let_go(self) -> None:
        if not self._finished:
            self._end()

    def on_connection_close(self) -> None:
        self._writer.end()
        super().on_connection_close()

    def finish(self, chunk: Any = None) -> "Future[None]":
        finished = super().finish(chunk)
        if not self._wrap.chunked:
            stream = self.stream
            finished.add_done_callback(lambda _: stream.close())
        return finished

    def _send(self, piece: Piece) -> None:
        self._writer.write(piece.data)
        self._left -= piece.size
        if self._left <= 0:
            self._end()
        elif self._writer.blocked:
            self.active = False

    def _drained(self) -> None:
        self._unanswered = 0
        session: Session | None = self.session
        if session is not None and not self._finished:
            self.active = True
            session.flush()

    def _end(self) -> None:
        self._writer.end()
        self.complete(self.finish())


class XhrStreaming(StreamingReceiver):
    """``xhr_streaming``: a line for each frame."""

    methods = ("POST",)
    transport = "xhr-streaming"
    content_type = "application/javascript; charset=UTF-8"
    prelude = b"h" * 2048 + b"\n"
    before = b""
    after = b"\n"

    def post(self, session_id: str) -> None:
        self.start(session_id)


class EventSource(StreamingReceiver):
    """``eventsource``: server-sent events."""

    methods = ("GET",)
    transport = "eventsource"
    content_type = "text/event-stream"
    prelude = b"\r\n"
    before = b"data: "
    after = b"\r\n\r\n"
    escape = staticmethod(framing.event_data)

    def get(self, session_id: str) -> None:
        self.start(session_id)

"""The websocket transport, and the raw endpoint beside it."""

from typing import TYPE_CHECKING, Any

from tornado.websocket import WebSocketHandler, WebSocketProtocol

from roomline.core.codes import Disconnect
from roomline.core.outbox import Outbox
from roomline.transport import framing
from roomline.transport.handlers import origin_of, own_origin_of
from roomline.transport.receiver import RETRY_AFTER_SECONDS
from roomline.transport.registry import TooManySessions
from roomline.transport.rfc6455 import Connection
from roomline.transport.upstream import WebSocketTransport
from roomline.wire import well_formed
from roomline.writer import PATIENCE, Writer

if TYPE_CHECKING:
    from roomline.transport.endpoint import Endpoint
    from roomline.transport.session import Session

# What of an outbox goes into one frame: larger ones leave in parts, so that not everything that
# waits for a slow client is queued a second time below.
_FRAME_BYTES = 65_536
_PING = b"\x89\x00"
_CLOSE_REASON_BYTES = 123
# 13 is RFC 6455; 7 and 8 are its drafts, spoken by browsers of 2011, which differ only in the
# name of the Origin header.
_VERSIONS = frozenset({"13", "8", "7"})


class WebSocket(WebSocketTransport):
    """``websocket``: one connection, one session."""

    server: "Endpoint"
    session: "Session | None"
    transport = "websocket"
    heartbeat = framing.websocket_frame(framing.HEARTBEAT) + _PING

    def initialize(self, server: "Endpoint") -> None:
        super().initialize(server)
        self.active = False
        self._unanswered = 0
        self._tells = True
        connection: Any = self.request.connection
        self._writer = Writer(connection.stream, self._drained)

    # The handshake.

    def set_default_headers(self) -> None:
        """Nobody needs to know what serves this; and errors are not what they are taken for."""
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")

    def _execute(self, transforms: Any, *args: Any, **kwargs: Any) -> Any:
        # sockjs-tornado checks the handshake here, ahead of `prepare`; Tornado does it as well.
        return WebSocketHandler._execute(self, transforms, *args, **kwargs)

    def prepare(self) -> None:
        """Turn away foreign pages and clients that are too many."""
        if self.request.method != "GET":
            self.set_header("Allow", "GET")
            self._answer(405)
            return
        self.set_header("Vary", "Origin")
        if not self.server.origins.admits(origin_of(self), own_origin_of(self)):
            self._answer(403)
            return
        try:
            self.server.registry.arrive(self.address)
        except TooManySessions:
            self.set_header("Retry-After", RETRY_AFTER_SECONDS)
            self._answer(503)

    def check_origin(self, origin: str) -> bool:
        return True  # `prepare` has asked more strictly

    def get_compression_options(self) -> None:
        return None  # it costs 150 KiB for each connection

    @property
    def max_message_size(self) -> int:
        return self.server.options.body_bytes

    @property
    def ping_interval(self) -> float | None:
        return None  # pings go with heartbeats, without a task for each connection

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        if self.request.headers.get("Sec-WebSocket-Version") not in _VERSIONS:
            return None
        return Connection(self, self.max_message_size)

    # What the client does.

    def open(self, session_id: str = "") -> None:
        assert isinstance(self.ws_connection, Connection)
        self.ws_connection.stream.set_nodelay(True)
        self.session = self.server.open_session(session_id, self.address, lasting=False)
        self.active = True
        self.session.set_handler(self)
        self.session.verify_state()

    def on_message(self, message: str | bytes) -> None:
        self._unanswered = 0
        session = self.session
        if session is None:
            return
        try:
            if isinstance(message, bytes):
                raise framing.MalformedBody("Messages are text.")
            messages = self.decode(message)
        except framing.MalformedBody:
            # The protocol wants such a connection ended without a close frame of SockJS's own.
            self._tells = False
            session.refuse(Disconnect.BAD_PROTOCOL)
        else:
            session.on_messages(messages)

    def on_too_long(self) -> None:
        """A frame exceeds the limit; what follows of it is dropped."""
        if self.session is not None:
            self.session.refuse(Disconnect.MESSAGE_TOO_LONG)

    def on_violation(self, code: int, reason: str) -> None:
        """The client broke the websocket protocol, and is told so in its words alone."""
        self.active = False
        session, self.session = self.session, None
        if session is not None:
            if session.conn.peer is not None:
                session.conn.peer.refuse(code, reason)
            session.interrupted(self)

    def on_pong(self, data: bytes) -> None:
        self._alive()

    def on_close(self) -> None:
        self.active = False
        self._writer.end()
        session, self.session = self.session, None
        if session is not None:
            session.interrupted(self)

    # What the session does.

    @property
    def address(self) -> str:
        return self.request.remote_ip or ""

    def send_control(self, frame: str) -> None:
        self._write(framing.websocket_frame(frame))

    def send_messages(self, outbox: Outbox) -> None:
        if outbox.size <= _FRAME_BYTES:
            messages = outbox.take()
        else:
            messages = framing.take(outbox, _FRAME_BYTES)
        if len(messages) > 1:
            self._write(self.server.joined_frames(messages))
            return
        message = messages[0]
        frame = message.frame
        if frame is None:
            frame = message.frame = framing.websocket_frame(framing.messages_frame(messages))
        self._write(frame)

    def send_close(self, code: int, reason: str) -> None:
        if self._tells:
            self._writer.write(framing.websocket_frame(framing.close_frame(code, reason)))
        self.active = False
        self.close(code, reason.encode()[:_CLOSE_REASON_BYTES].decode(errors="ignore"))

    def beat(self) -> bool:
        self._unanswered += 1
        if self._unanswered > PATIENCE:
            return False
        if self.active:
            self._write(self.heartbeat)
        return True

    def abort(self) -> None:
        self._writer.abort()

    def decode(self, message: str) -> list[str]:
        """The messages in a frame; raises `framing.MalformedBody`."""
        return framing.decode_frame(message)

    def _write(self, data: bytes) -> None:
        self._writer.write(data)
        if self._writer.blocked:
            self.active = False

    def _alive(self) -> None:
        # Not while a message does not end, whatever comes between its fragments: it takes memory.
        if not (isinstance(self.ws_connection, Connection) and self.ws_connection.amid_message):
            self._unanswered = 0

    def _drained(self) -> None:
        self._alive()
        if self.session is not None and self.ws_connection is not None:
            self.active = True
            self.session.flush()

    def _answer(self, status: int) -> None:
        self.set_status(status)
        self.clear_header("Content-Type")
        self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self._answer(status_code)


class RawWebSocket(WebSocket):
    """``<prefix>/websocket``: messages as they are, a frame each, and nothing else."""

    transport = "raw-websocket"
    heartbeat = _PING

    def initialize(self, server: "Endpoint") -> None:
        super().initialize(server)
        self._tells = False

    def send_control(self, frame: str) -> None:
        """There are no frames but messages."""

    def send_messages(self, outbox: Outbox) -> None:
        for message in framing.take(outbox, _FRAME_BYTES):
            self._write(framing.data_frame(well_formed(message.text).encode()))

    def decode(self, message: str) -> list[str]:
        return [message]

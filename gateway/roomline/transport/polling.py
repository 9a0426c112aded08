"""xhr-polling: each response carries one frame. And the way back, which streaming shares."""

from abc import abstractmethod

from roomline.core.codes import Disconnect
from roomline.core.outbox import Outbox
from roomline.transport import framing
from roomline.transport.handlers import Handler
from roomline.transport.receiver import HttpReceiver
from roomline.transport.session import Session

# Room that the frame itself takes within the response limit.
_FRAME_OVERHEAD = 4


class PollingReceiver(HttpReceiver):
    """Waits until there is a frame, answers with it, and the client asks again."""

    @abstractmethod
    def wrap(self, frame: str) -> str:
        """The body of the answer that carries this frame."""

    def start(self, session_id: str) -> None:
        """Answer as soon as the session has something."""
        self.stick()
        self.do_not_cache()
        session = self.find_session(session_id)
        if session is not None:
            self.attach(session)

    def send_control(self, frame: str) -> None:
        self._respond(frame)

    def send_messages(self, outbox: Outbox) -> None:
        limit = self.server.options.response_limit - _FRAME_OVERHEAD
        self._respond(framing.messages_frame(framing.take(outbox, limit)))

    def send_close(self, code: int, reason: str) -> None:
        self._respond(framing.close_frame(code, reason))

    def beat(self) -> bool:
        if not self.active:
            return False  # answered, but the answer has not been read for a whole heartbeat
        self._respond(framing.HEARTBEAT)
        return True

    def _respond(self, frame: str) -> None:
        body = self.wrap(frame).encode()
        self.set_header("Content-Type", "application/javascript; charset=UTF-8")
        self.set_header("Content-Length", len(body))
        self.complete(self.finish(body))


class XhrPolling(PollingReceiver):
    """``xhr``: the frame on a line."""

    methods = ("POST",)
    transport = "xhr-polling"

    def post(self, session_id: str) -> None:
        self.start(session_id)

    def wrap(self, frame: str) -> str:
        return f"{frame}\n"


class XhrSend(Handler):
    """``xhr_send``: the messages of a client that receives by another request."""

    methods = ("POST",)

    def prepare(self) -> None:
        """Refuse what is too long before it has arrived."""
        self._body = bytearray()
        super().prepare()
        if self._finished or self.request.method != "POST":
            return
        self.stick()
        self.do_not_cache()
        if self._session() is None:
            self.answer(404)
        elif self._announced() > self._limit:
            self._refuse_long()

    def data_received(self, chunk: bytes) -> None:
        if len(self._body) + len(chunk) > self._limit:
            self._body.clear()
            self._refuse_long()
        else:
            self._body += chunk

    def post(self, session_id: str) -> None:
        session = self._session()  # it may have ended while the body was on its way
        if session is None:
            self.answer(404)
            return
        try:
            messages = framing.decode_body(self.payload(bytes(self._body)))
        except framing.MalformedBody as error:
            self.set_status(500)
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.finish(str(error))
            return
        if not session.on_messages(messages):
            self.answer(413)
            return
        self.accepted()

    def payload(self, body: bytes) -> bytes:
        """The JSON in a body; raises `framing.MalformedBody`."""
        return body

    def accepted(self) -> None:
        """Answer that the messages have been taken."""
        # Firefox takes an answer without a type for XML and complains. Tornado drops the type of
        # an empty answer when it finishes it, but not when it has been flushed before.
        self.set_status(204)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.flush()
        self.finish()

    @property
    def _limit(self) -> int:
        return self.server.options.body_bytes

    def _announced(self) -> int:
        length = self.request.headers.get("Content-Length", "")
        # Tornado refuses what is no number.
        return int(length) if length.isdecimal() and len(length) < 19 else 0

    def _session(self) -> Session | None:
        session = self.server.registry.find(self.path_kwargs["session_id"])
        return None if session is None or session.is_closed else session

    def _refuse_long(self) -> None:
        session = self._session()
        if session is not None:
            session.refuse(Disconnect.MESSAGE_TOO_LONG)
        self.answer(413)

"""A held response that streams a room's publications."""

from roomline.core.codec import ProtocolError
from roomline.core.codes import Disconnect, ErrorCode, Unsubscribed
from roomline.core.outbox import Encoded
from roomline.core.rooms import Page
from roomline.holding import Hold
from roomline.proxy.frames import FORMATS, Beginning, Format
from roomline.proxy.held import Answer, Held, Owner
from roomline.relay import Client
from roomline.wire import parse_position
from roomline.writer import PATIENCE, Writer, chunk, limit_silence


class HeldStream(Held):
    """Sends the room's publications as they come, until the time is over."""

    _timeout = ("timeout", "the time is over")
    """Why it ends then, as a code and a sentence."""

    def __init__(
        self,
        owner: Owner,
        client: Client,
        hold: Hold,
        said: Answer,
        format: Format | None = None,
    ) -> None:
        """`format` is its own only if it writes publications as the hold's mode does."""
        super().__init__(owner, client, hold, said)
        self._format = format or FORMATS[hold.mode]
        self._join = owner.pieces(hold.mode, client.chunked)
        self._writer: Writer | None = None
        self._unread_beats = 0

    def push(self, message: Encoded) -> None:
        if self._full:
            return
        first = not self._outbox.items
        self._full = not self._outbox.put(message)
        if first or self._full:
            self._owner.want(self)

    def end(self, reason: Unsubscribed) -> None:
        self._finish("ended", reason.code, reason.meaning)

    def serve(self) -> None:
        if self._full:
            self.cut_off("slow")
        elif self._writer and not self._writer.blocked and self._outbox.items:
            self._writer.write(self._join(self._outbox.take()))

    def finish_now(self) -> None:
        self.serve()
        if self._outbox.items:
            self.cut_off("slow")
        elif self._owner.draining:
            self._finish_drained()
        else:
            self._finish("timeout", *self._timeout)

    def _finish_drained(self) -> None:
        self._finish("drained", Disconnect.DRAINING.reason, Disconnect.DRAINING.meaning)

    def _refused(self, error: ProtocolError) -> None:
        if not (error.code.temporary and self._owner.draining):
            super()._refused(error)
            return
        # Told so, and not refused, which browsers would take for good.
        if not self._client.began:
            # Not whatever a stranger has written there: nobody has looked at it yet.
            since = self._since if parse_position(self._since or "") else None
            self._open(Beginning(self._hold.room, since, None))
        self._finish_drained()

    def on_due(self, now: float) -> None:
        if self._writer is None or not self._writer.blocked:
            self._unread_beats = 0
            super().on_due(now)
            return
        self._unread_beats += 1
        if self._unread_beats < PATIENCE:
            self._wake(now + self._beat)
        else:
            self.cut_off("slow")

    @property
    def _beat(self) -> float:
        return self._owner.settings.heartbeat_seconds

    def _while_live(self, now: float) -> None:
        self.serve()
        if self._writer is not None and not self._writer.blocked:
            self._write(self._format.heartbeat(self._owner.node.position))
        self._wake(min(now + self._beat, self._ends))

    def _attached(self, page: Page) -> None:
        if page.doubt and self._writer is not None:
            # Between two pages. Whoever comes back from where it is will be told.
            self.cut_off("unrecovered")
            return
        messages = [publication.message for publication in page.publications]
        if self._writer is None:
            position = self._since if messages else page.position
            self._open(Beginning(self._hold.room, position, page.doubt and page.doubt.code))
        assert self._writer is not None
        if messages:
            self._writer.write(self._join(messages))
        now = self._now()
        if self._live:
            self._wake(min(now + self._beat, self._ends))
            return
        self._since = page.position
        self._patient_until = now + self._owner.settings.waiting_seconds
        # The next page when this one has left.
        self._wake(now + self._beat if self._writer.blocked else now)

    def _open(self, beginning: Beginning) -> None:
        headers = self._headers(self._format.content_type, beginning.position)
        headers["X-Accel-Buffering"] = "no"
        opening = self._format.opening(beginning)
        self._client.begin(200, headers, opening)
        self._client.stream.set_nodelay(True)
        limit_silence(self._client.stream, PATIENCE * self._beat)
        self._writer = Writer(self._client.stream, self._drained)

    def _drained(self) -> None:
        self._unread_beats = 0
        if self._over:
            return
        if self._live:
            self.serve()
        else:
            self._attach()

    def _write(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(chunk(data) if self._client.chunked else data)

    def _finish(self, how: str, code: str, reason: str) -> None:
        if not self._end_as(how):
            return
        if self._client.began:
            if last := self._format.ending(code, reason):
                self._write(last)
            self._client.finish()
            self._watch_unread()
        else:
            self._client.error(503, ErrorCode.CATCHING_UP.code, "this node ends")

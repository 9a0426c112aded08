"""The websocket protocol by the book (RFC 6455): Tornado's, with a reader of frames of our own.

Tornado keeps the handshake, what is written, pings, and the clock of the closing handshake. Its
reader takes frames that no client may send (unmasked ones, reserved opcodes, close codes that mean
nothing on the wire), and cuts the connection where the RFC wants to tell why. What is used of its
insides is pinned by tests/transport/test_rfc6455.py.
"""

import asyncio
import codecs
import contextlib
import socket
import time
from asyncio import Future
from base64 import b64decode
from typing import Any, Final, Protocol

from tornado.iostream import IOStream
from tornado.util import _websocket_mask as unmask
from tornado.websocket import WebSocketHandler, WebSocketProtocol13
from tornado.websocket import _WebSocketParams as WebSocketParams

PROTOCOL_ERROR: Final = 1002
INVALID_DATA: Final = 1007

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PONG = 0, 1, 2, 8, 10
_FINAL, _RESERVED, _CONTROL, _MASKED = 0x80, 0x70, 0x08, 0x80
_KEY_BYTES: Final = 16

FRAMES_PER_SECOND: Final = 200
FRAMES_BURST: Final = 1000
"""What one client's frames may be read at, whatever they are: those that carry no message, which
nothing else counts, cost time as well. More of them wait in the client's own buffers."""
FRAME_BYTES: Final = 8192
"""So much data counts as a frame more."""
_PAUSE_SECONDS = 0.25
_DROPPED_AT_ONCE: Final = 65_536

_ON_THE_WIRE: Final = frozenset({*range(1000, 1004), *range(1007, 1015)})
"""Close codes below 3000 that a peer may send: those of section 7.4.1, and the three that were
registered later."""

_utf8 = codecs.getincrementaldecoder("utf-8")


class Violation(Exception):
    """What a client sent breaks the RFC; `code` is that of the close frame, the text its reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Owner(Protocol):
    """What a connection tells the handler that it serves, beside what Tornado's does."""

    def on_too_long(self) -> None:
        """A message exceeds the limit. Close; what else comes of it is dropped."""

    def on_violation(self, code: int, reason: str) -> None:
        """The client broke the protocol. The close frame with this code follows."""


class Connection(WebSocketProtocol13):
    """One client's connection: its side of the protocol. The handler is an `Owner`.

    A message is read piece by piece as it comes, and what can be no UTF-8 any more ends it there
    (section 8.1). One that is too long is not kept.
    """

    handler: Any

    def __init__(self, handler: WebSocketHandler, max_message_size: int) -> None:
        super().__init__(handler, False, WebSocketParams(max_message_size=max_message_size))
        self._opcode: int | None = None
        """Of the message that has begun."""
        self._message = bytearray()
        self._text = _utf8()
        """Has seen what `_message` holds, if that is text."""
        self._deaf = False
        """The client was told to go: frames are read, and their data is dropped."""
        self._failed = False
        """There are no frames to be found any more: everything is dropped."""
        self._allowance = float(FRAMES_BURST)
        self._allowed_at = time.monotonic()
        """Frames that may be read at once, and when that was counted."""

    @property
    def amid_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._opcode is not None

    # The handshake.

    def _handle_websocket_headers(self, handler: WebSocketHandler) -> None:
        super()._handle_websocket_headers(handler)
        key = handler.request.headers["Sec-WebSocket-Key"]
        if len(b64decode(key, validate=True)) != _KEY_BYTES:  # raises ValueError itself, too
            raise ValueError("Sec-WebSocket-Key is not 16 bytes in base64")

    # What Tornado's loop calls, until the connection ends.

    async def _receive_frame(self) -> None:
        if self._failed:
            self._wire_bytes_in += len(await self.stream.read_bytes(_DROPPED_AT_ONCE, partial=True))
            return
        try:
            await self._read_frame()
        except Violation as violation:
            self._fail(violation)

    async def _read_frame(self) -> None:
        first, second = await self._read_bytes(2)
        opcode = first & 0x0F
        final = bool(first & _FINAL)
        self._check_head(first, second, opcode, final)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await self._read_bytes(2 if size == 126 else 8))
        mask = await self._read_bytes(4)
        self._allowance -= 1
        if self._allowance < 0:
            await self._slow_down()
        if opcode & _CONTROL:
            self._control(opcode, unmask(mask, await self._read_bytes(size)))
            return
        if not self._stays_deaf() and len(self._message) + size > self.params.max_message_size:
            self._deaf = True
            self.handler.on_too_long()
        if opcode != _CONTINUATION:
            self._opcode = opcode
        await self._read_data(mask, size, final)
        if final:
            self._opcode = None

    async def _slow_down(self) -> None:
        now = time.monotonic()
        earned = (now - self._allowed_at) * FRAMES_PER_SECOND
        self._allowance = min(FRAMES_BURST, self._allowance + earned)
        self._allowed_at = now
        if self._allowance < 0:
            # As long as it takes to earn what was spent, and some frames more at a time.
            await asyncio.sleep(_PAUSE_SECONDS - self._allowance / FRAMES_PER_SECOND)

    def _check_head(self, first: int, second: int, opcode: int, final: bool) -> None:
        if first & _RESERVED:
            raise Violation(PROTOCOL_ERROR, "reserved bits are set")
        if not second & _MASKED:
            raise Violation(PROTOCOL_ERROR, "frames of clients are masked")
        if opcode & _CONTROL:
            if opcode > _PONG:
                raise Violation(PROTOCOL_ERROR, "the opcode is reserved")
            if not final or second & 0x7F > 125:
                raise Violation(PROTOCOL_ERROR, "control frames are whole and short")
        elif opcode > _BINARY:
            raise Violation(PROTOCOL_ERROR, "the opcode is reserved")
        elif (opcode == _CONTINUATION) != (self._opcode is not None):
            raise Violation(PROTOCOL_ERROR, "fragments of messages are out of order")

    async def _read_data(self, mask: bytes, left: int, final: bool) -> None:
        whole = False
        while not whole:
            piece = b""
            if left:
                piece = await self.stream.read_bytes(left, partial=True)
                self._wire_bytes_in += len(piece)
                self._allowance -= len(piece) / FRAME_BYTES
                left -= len(piece)
            whole = not left
            if self._stays_deaf():
                continue
            data = unmask(mask, piece)
            turn = len(piece) % 4
            mask = mask[turn:] + mask[:turn]
            if whole and final:
                self._complete(data)
            else:
                if self._opcode == _TEXT:
                    self._decode(self._text.decode, data)
                self._message += data

    def _complete(self, data: bytes) -> None:
        """`data` ends the message."""
        if self._message:
            if self._opcode == _TEXT:
                # That it has been looked at already makes bad text end early, not good text dear.
                self._decode(lambda last: self._text.decode(last, final=True), data)
                self._text.reset()
            data = bytes(self._message + data)
            self._message = bytearray()
        message = self._decode(bytes.decode, data) if self._opcode == _TEXT else data
        self._run_callback(self.handler.on_message, message)

    def _decode(self, decode: Any, data: bytes) -> str:
        try:
            text: str = decode(data)
        except UnicodeDecodeError:
            raise Violation(INVALID_DATA, "text is UTF-8") from None
        return text

    def _control(self, opcode: int, data: bytes) -> None:
        if opcode == _CLOSE:
            check_close(data)
        self._handle_message(opcode, data)

    def _stays_deaf(self) -> bool:
        """Whether data is dropped: nothing may be answered after our own close frame."""
        self._deaf = self._deaf or self.server_terminated
        if self._deaf:
            self._message = bytearray()
        return self._deaf

    def _fail(self, violation: Violation) -> None:
        """Fail the connection (section 7.1.7): say why, and listen to nothing more."""
        self._failed = True
        self._message = bytearray()
        if not self._deaf:
            self.handler.on_violation(violation.code, violation.reason)
        self.close(violation.code, violation.reason)
        if not self.stream.closed():
            # Closed at once with something unread, it would take the close frame with it.
            self.stream.write(b"").add_done_callback(self._end_output)

    def _end_output(self, written: "Future[None]") -> None:
        # By now the client may have gone, and the socket with it.
        if not self.stream.closed() and type(self.stream) is IOStream:
            with contextlib.suppress(OSError):
                self.stream.socket.shutdown(socket.SHUT_WR)


def check_close(data: bytes) -> None:
    """Raise `Violation` for what no close frame may hold (sections 5.5.1, 7.4)."""
    if not data:
        return
    code = int.from_bytes(data[:2])
    if len(data) == 1 or not (code in _ON_THE_WIRE or 3000 <= code <= 4999):
        raise Violation(PROTOCOL_ERROR, "the close code is none")
    try:
        data[2:].decode()
    except UnicodeDecodeError:
        raise Violation(INVALID_DATA, "the reason of a close is UTF-8") from None

"""Bytes to one connection without waiting: straight to its socket when nothing is queued."""

import socket
from asyncio import Future
from collections.abc import Callable
from typing import Final

from tornado.iostream import IOStream, StreamClosedError

PATIENCE: Final = 2
"""After so many heartbeats that a client does not take or answer, or that its machine does not
acknowledge, it is gone."""


def chunk(payload: bytes) -> bytes:
    """One chunk of an HTTP/1.1 chunked response (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def limit_silence(stream: IOStream, seconds: float) -> None:
    """Let the kernel close a connection whose other machine has acknowledged nothing for so long.
    By itself it tries for a quarter of an hour."""
    if not hasattr(socket, "TCP_USER_TIMEOUT") or stream.closed():
        return
    if stream.socket.family != socket.AF_UNIX:
        stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


class Writer:
    """Writes to a Tornado stream and says when it can take more.

    The fast path is one system call. Only what the kernel does not take goes through the stream's
    own queue, which knows how to wait; `blocked` is then true until it has left, and writing on
    regardless would grow that queue.
    """

    __slots__ = ("_drained", "_send", "_stream", "blocked")

    def __init__(self, stream: IOStream, drained: Callable[[], None]) -> None:
        """`drained` is called when `blocked` has ended."""
        self._stream = stream
        self._drained = drained
        # Encrypted streams have work of their own to do on every write.
        plain = type(stream) is IOStream and not stream.closed()
        self._send = stream.socket.send if plain else None
        self.blocked = False

    def write(self, data: bytes) -> None:
        """Send `data`. Never raises: a dead connection is closed, which its reader notices."""
        stream = self._stream
        rest: bytes | memoryview = data
        if self._send is not None and not stream.writing():
            try:
                sent = self._send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                # Without the frames, which know the stream.
                stream.close(exc_info=error.with_traceback(None))
                return
            if sent == len(data):
                return
            rest = memoryview(data)[sent:]
        try:
            written = stream.write(rest)
        except StreamClosedError:
            return
        if stream.writing() and not self.blocked:
            self.blocked = True
            written.add_done_callback(self._on_written)

    def abort(self) -> None:
        """Close the connection at once, whatever is queued."""
        self._stream.close()

    def end(self) -> None:
        """The connection has ended: `drained` is not called any more, and whose method that is
        does not wait for the garbage collector."""
        self._drained = _ignore

    def _on_written(self, written: "Future[None]") -> None:
        if written.exception() is not None:
            return  # closed: the connection's reader deals with it
        if self._stream.writing():  # more was written meanwhile
            self._stream.write(b"").add_done_callback(self._on_written)
            return
        self.blocked = False
        self._drained()


def _ignore() -> None:
    """Who was to be told is gone."""

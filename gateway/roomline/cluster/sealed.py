"""A TCP stream between two nodes that have shown each other that they know the cluster's key.

::

    client ─▶ server   greeting, client's nonce
    client ◀─ server   server's nonce, proof of the server
    client ─▶ server   proof of the client
    afterwards, both   records: length (2 bytes), tag (16 bytes), bytes

A proof is a MAC with the cluster's key over both nonces and the role; a tag is one over the number
of the record, with a key that is of this connection and direction alone. So nothing can be forged,
repeated, left out or taken from another connection, without clocks and without remembering nonces,
and what runs over the stream need not know. It is not encrypted: nodes speak over a network that
others do not read, like the one between a load balancer and its servers.
"""

import asyncio
import errno
import hmac
import logging
import secrets
import socket
from typing import Any, Final

from tornado.iostream import IOStream, StreamClosedError

_GREETING: Final = b"roomline cluster 1\n"
_NONCE: Final = 32
_PROOF: Final = 32
_TAG: Final = 16
_LENGTH: Final = 2
_RECORD: Final = 16_384
"""The most bytes of a record: few enough to be checked at once, enough that tags weigh nothing."""
_CHUNK: Final = 65_536

log = logging.getLogger(__name__)


class NotProven(Exception):
    """The other end does not know the cluster's key, or is no node."""


class _Seal:
    """Makes the tags of one direction, in order."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._count = 0

    def tag(self, data: bytes) -> bytes:
        number = self._count.to_bytes(8, "big")
        self._count += 1
        return hmac.digest(self._key, number + data, "sha256")[:_TAG]


class SealedStream(IOStream):
    """Begins in the clear, for the handshake; `begin_as_client` or `begin_as_server` seals it."""

    def __init__(self, connected: socket.socket, **options: Any) -> None:
        self._out: _Seal | None = None
        self._in: _Seal | None = None
        self._received = bytearray()
        self._opened = bytearray()
        self._expected = 0  # bytes of the handshake that are still to come
        self._record: memoryview | None = None  # what is left of the one being written
        self._covered = 0  # bytes that it carries
        super().__init__(connected, **options)

    async def begin_as_client(self, key: bytes) -> None:
        """Raises `NotProven` and `StreamClosedError`."""
        mine = secrets.token_bytes(_NONCE)
        await self.write(_GREETING + mine)
        answer = await self._read(_NONCE + _PROOF)
        nonces = mine + answer[:_NONCE]
        if not hmac.compare_digest(answer[_NONCE:], _mac(key, b"server", nonces)):
            raise NotProven("what answers there does not know the cluster's key")
        self._out = _Seal(_mac(key, b"to server", nonces))
        self._in = _Seal(_mac(key, b"to client", nonces))
        # The proof is not a record yet; what is written after it is.
        self.socket.send(_mac(key, b"client", nonces))

    async def begin_as_server(self, key: bytes) -> None:
        """Raises `NotProven` and `StreamClosedError`."""
        hello = await self._read(len(_GREETING) + _NONCE)
        if not hello.startswith(_GREETING):
            raise NotProven("what came is not a node's greeting")
        mine = secrets.token_bytes(_NONCE)
        nonces = hello[len(_GREETING) :] + mine
        await self.write(mine + _mac(key, b"server", nonces))
        if not hmac.compare_digest(await self._read(_PROOF), _mac(key, b"client", nonces)):
            raise NotProven("who came does not know the cluster's key")
        self._out = _Seal(_mac(key, b"to client", nonces))
        self._in = _Seal(_mac(key, b"to server", nonces))

    async def _read(self, count: int) -> bytes:
        self._expected = count
        return await self.read_bytes(count)

    # What Tornado calls.

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Bytes that are proven to be the other node's; None if there are none yet, 0 at the
        end."""
        try:
            while True:
                self._open()
                if self._opened:
                    count = min(len(buf), len(self._opened))
                    buf[:count] = self._opened[:count]
                    del self._opened[:count]
                    return count
                if self._in is None and not self._expected:
                    return None
                chunk = bytearray(_CHUNK)
                received = super().read_from_fd(chunk)
                if not received:
                    return received
                self._received += chunk[:received]
        finally:
            del buf

    def _open(self) -> None:
        """Move what is complete from what was received to what may be read."""
        received = self._received
        if self._in is None:
            count = min(self._expected, len(received))
            self._expected -= count
            self._opened += received[:count]
            del received[:count]
            return
        while not self._opened and len(received) >= _LENGTH + _TAG:
            end = _LENGTH + _TAG + int.from_bytes(received[:_LENGTH], "big")
            if len(received) < end:
                return
            data = bytes(received[_LENGTH + _TAG : end])
            tag = bytes(received[_LENGTH : _LENGTH + _TAG])
            if not hmac.compare_digest(tag, self._in.tag(data)):
                log.error("what came over a connection between nodes is forged: it is closed")
                raise ConnectionResetError(errno.ECONNRESET, "a record is forged")
            del received[:end]
            self._opened += data

    def write_to_fd(self, data: memoryview) -> int:
        """How many of these bytes have left in a record; 0 if the socket took only a part of
        it, which the next call goes on with."""
        try:
            if self._out is None:
                return super().write_to_fd(data)
            if self._record is None:
                part = bytes(data[:_RECORD])
                length = len(part).to_bytes(_LENGTH, "big")
                self._record = memoryview(length + self._out.tag(part) + part)
                self._covered = len(part)
            sent = self.socket.send(self._record)
            if sent < len(self._record):
                self._record = self._record[sent:]
                return 0
            self._record = None
            return self._covered
        finally:
            del data


async def sealed(connected: socket.socket, key: bytes, **options: Any) -> SealedStream:
    """A connection that this node has made, proven on both sides. Raises `NotProven` and
    `OSError`; bound it in time."""
    stream = SealedStream(connected, **options)
    try:
        await stream.begin_as_client(key)
    except StreamClosedError as error:
        raise ConnectionResetError(f"the other node hung up: {error}") from None
    except (NotProven, OSError, asyncio.CancelledError):
        stream.close()
        raise
    return stream


def _mac(key: bytes, purpose: bytes, nonces: bytes) -> bytes:
    return hmac.digest(key, b"roomline cluster 1 " + purpose + b"\n" + nonces, "sha256")

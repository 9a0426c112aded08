"""A websocket on a bare socket, so that a test decides when, and whether, it is read."""

import base64
import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from roomline.client.frames import Closed, Frame, Messages, parse, session_url

from tests.support.websocket_frames import frame


class RawWebSocket:
    """One SockJS session over a websocket; blocking, with small kernel buffers."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""

    @classmethod
    @contextmanager
    def to(cls, endpoint: str, *, receive_buffer: int = 4096) -> Iterator["RawWebSocket"]:
        url = urlsplit(session_url(endpoint))
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.settimeout(10)
            connection.connect((url.hostname or "", url.port or 80))
            key = base64.b64encode(secrets.token_bytes(16)).decode()
            connection.sendall(
                f"GET {url.path}/websocket HTTP/1.1\r\nHost: {url.netloc}\r\n"
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
            )
            websocket = cls(connection)
            head = websocket._until(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 "), head
            yield websocket

    def send(self, *messages: dict[str, Any]) -> None:
        """Send messages in one frame."""
        payload = json.dumps([json.dumps(message) for message in messages]).encode()
        self.send_frame(payload)

    def send_frame(self, payload: bytes, opcode: int = 1) -> None:
        self._socket.sendall(frame(payload, opcode))

    def frames(self) -> Iterator[Frame]:
        """SockJS frames until the connection ends, however it ends."""
        try:
            while True:
                first, second = self._exactly(2)
                size = second & 0x7F
                if size >= 126:
                    size = int.from_bytes(self._exactly(2 if size == 126 else 8))
                payload = self._exactly(size)
                if first & 0x0F == 8:
                    return
                if first & 0x0F == 1:
                    yield parse(payload.decode())
        except (EOFError, ConnectionError):
            return

    def messages(self) -> Iterator[dict[str, Any]]:
        """Messages until the connection ends; the SockJS close frame is the last item, as
        ``{"type": "c", "code": ..., "reason": ...}``."""
        for each in self.frames():
            if isinstance(each, Messages):
                yield from map(json.loads, each.texts)
            elif isinstance(each, Closed):
                yield {"type": "c", "code": each.code, "reason": each.reason}

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(end)
        return head

    def _more(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise EOFError
        self._buffer += data

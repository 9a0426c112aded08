"""One SockJS session over one transport: messages in, messages out, and how it ended."""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import ClassVar, Final, Literal, get_args
from urllib.parse import urlsplit

from tornado.httpclient import HTTPError, HTTPRequest
from tornado.iostream import StreamClosedError
from tornado.simple_httpclient import HTTPTimeoutError
from tornado.websocket import (
    WebSocketClientConnection,
    WebSocketClosedError,
    WebSocketError,
    websocket_connect,
)

from roomline.client.errors import ConnectionClosed, ConnectionFailed
from roomline.client.frames import (
    Closed,
    Frame,
    FrameError,
    Messages,
    Opened,
    messages_text,
    parse,
    session_url,
)
from roomline.client.lane import Lane, LaneError

Transport = Literal["websocket", "xhr-streaming", "eventsource", "xhr-polling"]
TRANSPORTS: Final[tuple[Transport, ...]] = get_args(Transport)

ABNORMAL: Final = 1006
"""The code of a connection that ended without a close frame (RFC 6455, section 7.1.5)."""

_CLOSE_SECONDS = 1.0  # how long a peer may take over its part of a closing handshake


class Connection(ABC):
    """One SockJS session. Use `open_connection`."""

    transport: ClassVar[Transport]

    def __init__(self, url: str) -> None:
        self.url = url
        self.closed: ConnectionClosed | None = None
        """How the connection ended, once it has."""
        self._opened = False
        self._waiting: deque[str] = deque()
        self._reading: asyncio.Task[Frame] | None = None

    async def send_text(self, *texts: str) -> None:
        """Send messages, whatever is in them. Raises `ConnectionClosed`."""
        if self.closed is not None:
            raise self.closed.again()
        try:
            await self._send(messages_text(texts))
        except _Broken as broken:
            await self._last_words()
            raise self._ended(ABNORMAL, str(broken)) from None

    async def receive(self) -> str:
        """The next message. Raises `ConnectionClosed`, again and again once it is closed.

        Cancelling loses nothing. The server is read only while somebody waits here.
        """
        while not self._waiting:
            await self._read()
        return self._waiting.popleft()

    async def close(self) -> None:
        """Leave. Messages not yet received are dropped."""
        self._ended(1000, "closed by this client")
        self._waiting.clear()
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await self._close()

    async def _open(self) -> None:
        """Wait for the open frame."""
        while not self._opened:
            await self._read()

    async def _read(self) -> None:
        """Take in one frame. The reading goes on when the waiting is cancelled."""
        if self.closed is not None:
            raise self.closed.again()
        if self._reading is None:
            self._reading = asyncio.create_task(self._frame())
        reading = self._reading
        await asyncio.wait([reading])
        if self.closed is not None:
            raise self.closed.again()
        if self._reading is not reading:  # another waiter was faster
            return
        self._reading = None
        try:
            frame = reading.result()
        except (_Broken, ValueError) as broken:
            raise self._ended(ABNORMAL, str(broken)) from None
        match frame:
            case Opened() if self._opened:
                raise self._ended(ABNORMAL, "the server does not know the session any more")
            case Opened():
                self._opened = True
            case Messages(texts):
                self._waiting.extend(texts)
            case Closed(code, reason):
                raise self._ended(code, reason)

    async def _last_words(self) -> None:
        """Who closes a session stops taking messages for it. The close frame that says why may
        still be on its way to whoever receives: give it a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while self.closed is None and (reading := self._reading) is not None:
                    await asyncio.wait([reading])
                    await asyncio.sleep(0)  # its receiver takes the frame in
                    if reading is self._reading:
                        return

    def _ended(self, code: int, reason: str) -> ConnectionClosed:
        if self.closed is None:
            self.closed = ConnectionClosed(code, reason)
            if self._reading is not None:
                self._reading.cancel()
        return self.closed.again()

    @abstractmethod
    async def _frame(self) -> Frame:
        """The next frame from the server. Raises `_Broken`, and `ValueError` for what is none."""

    @abstractmethod
    async def _send(self, body: str) -> None:
        """Send one frame. Raises `_Broken`."""

    @abstractmethod
    async def _close(self) -> None:
        """Let go of what the transport holds."""


async def open_connection(
    endpoint: str,
    transport: Transport = "websocket",
    *,
    within: float = 10.0,
    headers: Mapping[str, str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> Connection:
    """Open a SockJS session below `endpoint` (``http://host:port/prefix``).

    `within` is in seconds; `headers` go with every request. Raises `ConnectionFailed`, or
    `ConnectionClosed` when the server turned the session away with a close frame.
    """
    if transport not in _CLASSES:
        raise ValueError(
            f"transport is {transport!r}, accepted are {', '.join(map(repr, TRANSPORTS))}"
        )
    connection: Connection | None = None
    try:
        deadline = asyncio.get_running_loop().time() + within
        connection = await _CLASSES[transport]._connect(
            session_url(endpoint), dict(headers or {}), ssl_context, within
        )
        async with asyncio.timeout_at(deadline):
            await connection._open()
            return connection
    except TimeoutError:
        reason = f"no answer within {within:g} seconds"
    except _Broken as broken:
        reason = str(broken)
    except ConnectionClosed as closed:
        if closed.code != ABNORMAL:
            raise
        reason = closed.reason
    finally:
        if connection is not None and not connection._opened:
            await connection.close()
    raise ConnectionFailed(f"{endpoint} over {transport}: {reason}")


class _Broken(Exception):
    """The network's part of the connection failed."""


class _WebSocket(Connection):
    transport = "websocket"

    def __init__(self, url: str, socket: WebSocketClientConnection) -> None:
        super().__init__(url)
        self._socket = socket

    @classmethod
    async def _connect(
        cls, url: str, headers: dict[str, str], ssl_context: ssl.SSLContext | None, within: float
    ) -> "_WebSocket":
        address = "ws" + url.removeprefix("http") + "/websocket"
        request = HTTPRequest(
            address,
            headers=headers,
            ssl_options=ssl_context,
            connect_timeout=within,
            request_timeout=within,
        )
        connecting = asyncio.ensure_future(websocket_connect(request))
        try:
            return cls(url, await asyncio.shield(connecting))
        except HTTPTimeoutError:
            raise TimeoutError from None
        except (HTTPError, WebSocketError, StreamClosedError, OSError) as error:
            raise _Broken(str(error)) from None
        except asyncio.CancelledError:
            connecting.add_done_callback(_leave)  # Tornado cannot be told to stop connecting
            raise

    async def _frame(self) -> Frame:
        message = await self._socket.read_message()
        if message is None:
            raise _Broken(f"the websocket was closed ({self._socket.close_code})")
        if isinstance(message, bytes):
            raise FrameError("a binary message is not a SockJS frame")
        return parse(message)

    async def _send(self, body: str) -> None:
        try:
            await self._socket.write_message(body)
        except (WebSocketClosedError, StreamClosedError):
            raise _Broken("the websocket is closed") from None

    async def _close(self) -> None:
        protocol = self._socket.protocol
        self._socket.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                while await self._socket.read_message() is not None:
                    pass
        except TimeoutError:
            if protocol is not None and protocol.stream is not None:
                protocol.stream.close()


def _leave(connecting: asyncio.Future[WebSocketClientConnection]) -> None:
    if connecting.exception() is None:
        connecting.result().close()


class _Http(Connection):
    """What the HTTP transports have in common: one lane to receive on, one to send on."""

    def __init__(
        self, url: str, headers: dict[str, str], ssl_context: ssl.SSLContext | None
    ) -> None:
        super().__init__(url)
        self._path = urlsplit(url).path
        self._receiving = Lane(url, headers, ssl_context)
        self._sending = Lane(url, headers, ssl_context)

    @classmethod
    async def _connect(
        cls, url: str, headers: dict[str, str], ssl_context: ssl.SSLContext | None, within: float
    ) -> "_Http":
        return cls(url, headers, ssl_context)

    async def _send(self, body: str) -> None:
        try:
            response = await self._sending.request("POST", f"{self._path}/xhr_send", body.encode())
        except LaneError as error:
            raise _Broken(str(error)) from None
        if response.status != 204:
            raise _Broken(f"xhr_send was answered {response.status}")

    async def _close(self) -> None:
        self._receiving.close()
        self._sending.close()


class _Polling(_Http):
    transport = "xhr-polling"

    async def _frame(self) -> Frame:
        try:
            response = await self._receiving.request("POST", f"{self._path}/xhr")
        except LaneError as error:
            raise _Broken(str(error)) from None
        if response.status != 200:
            raise _Broken(f"xhr was answered {response.status}")
        return parse(response.body.decode().removesuffix("\n"))


class _Streaming(_Http):
    transport: ClassVar[Transport] = "xhr-streaming"
    _method, _endpoint = "POST", "xhr_streaming"

    def __init__(
        self, url: str, headers: dict[str, str], ssl_context: ssl.SSLContext | None
    ) -> None:
        super().__init__(url, headers, ssl_context)
        self._lines: AsyncGenerator[str] | None = None

    async def _frame(self) -> Frame:
        """One line of the current response; servers end each at a size of their choice."""
        while True:
            if self._lines is None:
                self._lines = self._response()
            async for line in self._lines:
                frame = self._frame_of(line)
                if frame is not None:
                    return frame
            self._lines = None

    @staticmethod
    def _frame_of(line: str) -> Frame | None:
        return parse(line)

    async def _close(self) -> None:
        await super()._close()
        if self._lines is not None:
            await self._lines.aclose()

    async def _response(self) -> AsyncGenerator[str]:
        rest = b""
        try:
            async with (
                self._receiving.stream(self._method, f"{self._path}/{self._endpoint}") as response,
                aclosing(response.chunks()) as chunks,
            ):
                if response.status != 200:
                    raise _Broken(f"{self._endpoint} was answered {response.status}")
                async for chunk in chunks:
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield line.decode()
        except LaneError as error:
            raise _Broken(str(error)) from None


class _EventSource(_Streaming):
    transport = "eventsource"
    _method, _endpoint = "GET", "eventsource"

    @staticmethod
    def _frame_of(line: str) -> Frame | None:
        field, _, value = line.rstrip("\r").partition(":")
        return parse(value.removeprefix(" ")) if field == "data" else None


_CLASSES: dict[Transport, type[_WebSocket] | type[_Http]] = {
    "websocket": _WebSocket,
    "xhr-streaming": _Streaming,
    "eventsource": _EventSource,
    "xhr-polling": _Polling,
}

"""One request on its way to the upstream, and the response on its way back.

Neither side is read faster than the other one takes it: each part that comes is a future that is
done when the part has left.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from typing import Final, Protocol

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError, UnsatisfiableReadError

from roomline import holding
from roomline.holding import HOLD_HEADER, MAX_ANSWER_BYTES, Hold
from roomline.node import Node
from roomline.proxy.headers import Refusal, delimited, downward, has_body, refusal, upward
from roomline.proxy.held import Answer, Held
from roomline.proxy.keeper import Keeper
from roomline.proxy.settings import ProxySettings
from roomline.relay import UNBOUNDED, Client, parameters, target

log = logging.getLogger(__name__)

_DAY: Final = 86_400.0
_PARAMETERS: Final = parameters(keep_alive=False)


class Owner(Protocol):
    """What an exchange asks of its proxy."""

    node: Node
    settings: ProxySettings
    keeper: Keeper

    def admit(self, exchange: "Exchange", address: str) -> Refusal | None: ...
    def over(self, exchange: "Exchange", how: str) -> None: ...
    async def connect(self) -> IOStream: ...


class Exchange(HTTPMessageDelegate):
    """What Tornado's server tells of a request; `_Response` is what its client side tells."""

    def __init__(self, owner: Owner, request: HTTPServerRequest) -> None:
        self._owner = owner
        self._request = request
        self._client = Client(request)
        self._upstream: HTTP1Connection | None = None
        self._reading: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._received = False
        self._over = False
        self._held: Held | None = None

    # The request.

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        if self._client.stream.closed():
            self._over = True  # one of several requests that a client has sent before it went
            return None
        limit = self._owner.settings.body_bytes
        connection = self._client.connection
        connection.set_body_timeout(_DAY)  # as long as it moves on
        refused = refusal(self._request, limit) or self._owner.admit(
            self, self._request.remote_ip or ""
        )
        if refused is not None:
            self._over = True
            # What comes is dropped; Tornado need not answer it, too.
            connection.set_max_body_size(UNBOUNDED)
            self._client.page(*refused)
            return None
        connection.set_max_body_size(limit)
        connection.set_close_callback(self.on_connection_close)
        self.moved()
        self._watch()
        return asyncio.ensure_future(self._open())

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if self._over or self._upstream is None:
            return None
        self.moved()
        return self._passing(self._upstream.write(chunk))

    def finish(self) -> None:
        self._received = True
        if not self._over and self._upstream is not None:
            self.moved()
            self._upstream.finish()
            if self._reading is None:
                self._reading = asyncio.ensure_future(self._read(self._upstream))

    def on_connection_close(self) -> None:
        if self._held is not None:
            self._held.gone()
        self.abandon("gone")

    async def _open(self) -> None:
        try:
            stream = await self._owner.connect()
        except (OSError, TimeoutError, StreamClosedError) as error:
            reason = getattr(error, "real_error", None) or error
            log.warning("the upstream cannot be reached: %s", reason)
            self._fail(502, "The server behind this gateway cannot be reached.", "unreachable")
            return
        if self._over:
            stream.close()
            return
        request = self._request
        upstream = self._upstream = HTTP1Connection(stream, True, _PARAMETERS)
        line = RequestStartLine(request.method or "", target(request), "HTTP/1.1")
        upstream.write_headers(line, upward(request, self._owner.node.position))
        # Tornado closes a client's connection when the response ends before the request has; that
        # must be so only if there is more to come.
        if has_body(request.headers):
            self._reading = asyncio.ensure_future(self._read(upstream))

    async def _read(self, upstream: HTTP1Connection) -> None:
        try:
            await upstream.read_response(_Response(self))
        except (StreamClosedError, UnsatisfiableReadError):
            pass
        finally:
            # What came whole has ended the exchange by now.
            self._fail(502, "The server behind this gateway broke off.", "broken")
            upstream.close()

    # The response.

    def response_begins(self, status: int, reason: str, headers: HTTPHeaders) -> Awaitable[None]:
        """Its head has come."""
        return self._passing(self._client.begin(status, downward(headers, status), reason=reason))

    def response_continues(self, chunk: bytes) -> Awaitable[None]:
        """More of its body has come."""
        return self._passing(self._client.write(chunk))

    def response_ends(self) -> None:
        """It is complete."""
        upstream = self._upstream
        if upstream is not None and upstream.stream.error is not None:
            # Without a length, only the way in which a connection ends tells that it is whole.
            self._fail(502, "", "broken")
        elif self._end_as("answered"):
            self._client.finish()

    def hold(self, hold: Hold, answer: Answer) -> None:
        """The upstream has answered, and its client is to wait."""
        if self._end_as("held"):
            self._held = self._owner.keeper.hold(self._client, hold, answer)

    def refuse(self, what: str) -> None:
        """The upstream has answered with what no server should."""
        log.error("the upstream is not understood: %s", what)
        self._fail(502, "The server behind this gateway is not understood.", "broken")

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done."""
        return self._over

    @property
    def takes_body(self) -> bool:
        """Whether a response may be held: not that to a HEAD request."""
        return self._request.method != "HEAD"

    def moved(self) -> None:
        """Something has been transferred."""
        self._deadline = asyncio.get_running_loop().time() + self._owner.settings.timeout

    def abandon(self, how: str) -> None:
        """End it without a word, to both sides."""
        if self._end_as(how):
            self._client.abort()

    def _fail(self, status: int, text: str, how: str) -> None:
        if not self._end_as(how):
            return
        if self._client.began:
            self._client.abort()
        else:
            self._client.page(status, text)

    def _end_as(self, how: str) -> bool:
        """End it; False if that was so before. The client's side is the caller's."""
        if self._over:
            return False
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._upstream is not None:
            self._upstream.close()
        self._owner.over(self, how)
        return True

    async def _passing(self, written: "asyncio.Future[None]") -> None:
        with contextlib.suppress(StreamClosedError):
            await written
        self.moved()

    # Time.

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._deadline:
            self._timer = loop.call_at(self._deadline, self._watch)
        elif not self._received:
            self._fail(408, "The request has not come in time.", "stalled")
        elif self._client.began:
            self.abandon("stalled")
        else:
            self._fail(504, "The server behind this gateway does not answer.", "silent")


class _Response(HTTPMessageDelegate):
    """The upstream's response, as Tornado's client side tells it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._hold: Hold | None = None
        self._head = Answer(0, HTTPHeaders(), b"")
        self._body = bytearray()

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        assert isinstance(start_line, ResponseStartLine)
        status = start_line.code
        exchange = self._exchange
        if exchange.over or 100 <= status < 200:
            return None
        exchange.moved()
        if not delimited(headers):
            exchange.refuse("a response whose end is not well defined")
            return None
        if HOLD_HEADER in headers and exchange.takes_body:
            try:
                self._hold = holding.read(headers[HOLD_HEADER])
            except ValueError as error:
                exchange.refuse(str(error))
            self._head = Answer(status, downward(headers, status), b"")
            return None
        return exchange.response_begins(status, start_line.reason, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if self._exchange.over:
            return None
        self._exchange.moved()
        if self._hold is None:
            return self._exchange.response_continues(chunk)
        if self._hold.answer:
            self._body += chunk
            if len(self._body) > MAX_ANSWER_BYTES:
                self._exchange.refuse(f"an answer of more than {MAX_ANSWER_BYTES} bytes to hold")
        return None

    def finish(self) -> None:
        if self._exchange.over:
            return
        if self._hold is None:
            self._exchange.response_ends()
        else:
            self._exchange.hold(self._hold, self._head._replace(body=bytes(self._body)))

    def on_connection_close(self) -> None:
        """The exchange notices by itself."""

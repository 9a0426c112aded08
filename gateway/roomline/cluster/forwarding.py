"""Requests of HTTP transports on their way to the node that has their session.

A request that is handed on arrives at the other node's socket for nodes, and what arrives there is
served there: it is never handed on again. Its body goes whole; its response comes as it is made,
and is not read faster than the client takes it.
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
from tornado.iostream import IOStream, StreamClosedError
from tornado.routing import PathMatches, Router, Rule
from tornado.web import Application

from roomline.cluster.links import LinkError
from roomline.cluster.membership import Membership, Peer
from roomline.cluster.ring import Candidate
from roomline.relay import LENGTH, UNBOUNDED, Client, end_to_end, onward, parameters, target
from roomline.writer import limit_silence

IF_HELD_HEADER: Final = "Roomline-If-Held"
"""On a request that is handed on: the node is to answer it only if it has the session."""
FROM_HEADER: Final = "Roomline-From"
"""On the same: the id of the node that hands it on."""
NOT_HELD: Final = 421
"""The status by which a node says that it has not got the session (RFC 9110: misdirected
request)."""

_METHODS: Final = frozenset({"GET", "POST"})
_ROUNDS: Final = 3
"""How often the nodes to ask are looked up anew, when one of them turns out to be gone."""
_PARAMETERS: Final = parameters(keep_alive=True)

log = logging.getLogger(__name__)


class Owner(Protocol):
    """What a forwarded request asks of its cluster."""

    membership: Membership
    local: Application
    under_way: "set[Forward]"
    body_bytes: int
    silence_seconds: float

    def holds(self, session_id: str) -> bool: ...
    async def connect(self, peer: Peer) -> IOStream: ...
    def forwarded(self, outcome: str) -> None: ...


def forwarding_rule(owner: Owner, pattern: str) -> Rule:
    """The rule to put before those of the endpoint. `pattern` matches the paths of requests that
    belong to a session on HTTP, and names its id ``session_id``."""
    return Rule(PathMatches(pattern), Forwarder(owner))


class Forwarder(Router):
    """Finds a handler for requests whose session this node does not have; the others go on to
    the next rule."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def find_handler(
        self,
        request: HTTPServerRequest,
        *,
        path_kwargs: dict[str, bytes] | None = None,
        **kwargs: object,
    ) -> HTTPMessageDelegate | None:
        session_id = (path_kwargs or {})["session_id"].decode("latin-1")
        membership = self._owner.membership
        if (
            len(membership) == 1
            or request.method not in _METHODS
            or self._owner.holds(session_id)
            or membership.candidates(session_id) == [Candidate(membership.own.id, True)]
        ):
            return None
        return Forward(self._owner, request, session_id)


class Forward(HTTPMessageDelegate):
    """One request for a session that this node does not have."""

    def __init__(self, owner: Owner, request: HTTPServerRequest, session_id: str) -> None:
        self._owner = owner
        self._request = request
        self._session_id = session_id
        self._client = Client(request)
        self._body = bytearray()
        self._length: int | None = None
        """Of a body that is too long to be handed on, which the other node then refuses."""
        self._passing: asyncio.Task[None] | None = None
        self._stream: IOStream | None = None
        self._gone = False

    # What Tornado tells.

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        if self._client.stream.closed():
            self._gone = True  # one of several requests that a client has sent before it went
            return None
        # Where the session is, nobody sees whether the client's machine is still there.
        limit_silence(self._client.stream, self._owner.silence_seconds)
        self._client.connection.set_close_callback(self.on_connection_close)
        length = headers.get("Content-Length", "")
        if LENGTH.fullmatch(length) and int(length) > self._owner.body_bytes:
            self._too_long(int(length))
        return None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if self._length is None and not self._gone:
            if len(self._body) + len(chunk) > self._owner.body_bytes:
                self._too_long(self._owner.body_bytes + 1)
            else:
                self._body += chunk
        return None

    def finish(self) -> None:
        self._begin()

    def on_connection_close(self) -> None:
        self._gone = True
        if self._stream is not None:
            self._stream.close()

    # Inside.

    def _too_long(self, length: int) -> None:
        self._length = length
        self._body.clear()
        # What comes is dropped; Tornado need not answer it, too.
        self._client.connection.set_max_body_size(UNBOUNDED)
        self._begin()

    def _begin(self) -> None:
        if self._passing is None and not self._gone:
            self._passing = asyncio.ensure_future(self._pass())

    async def _pass(self) -> None:
        self._owner.under_way.add(self)
        try:
            for _ in range(_ROUNDS):
                if await self._ask_all():
                    return
            self._fail()
        except Exception:
            log.exception("a request could not be handed to another node")
            self._fail()
        finally:
            self._owner.under_way.discard(self)

    async def _ask_all(self) -> bool:
        """Whether the request has been answered, or nobody waits for it any more."""
        owner = self._owner
        for candidate in owner.membership.candidates(self._session_id):
            if candidate.id == owner.membership.own.id:
                if candidate.opens or owner.holds(self._session_id):
                    await self._serve_here()
                    return True
                continue
            peer = owner.membership.peer(candidate.id)
            if peer is not None and await self._ask(peer, candidate.opens):
                return True
        return self._gone

    async def _serve_here(self) -> None:
        """No other node has the session, and this one opens it."""
        delegate = self._owner.local.find_handler(self._request)
        line = RequestStartLine(self._request.method or "", target(self._request), "HTTP/1.1")
        received = delegate.headers_received(line, self._request.headers)
        if received is not None:
            await received
        if self._body and (received := delegate.data_received(bytes(self._body))) is not None:
            await received
        delegate.finish()

    async def _ask(self, peer: Peer, opens: bool) -> bool:
        owner = self._owner
        while True:
            stream = peer.reuse()
            reused = stream is not None
            if stream is None:
                try:
                    stream = await owner.connect(peer)
                except LinkError as error:
                    owner.membership.unreachable(peer, error)
                    owner.forwarded("unreachable")
                    return False
            if not peer.answered:  # removed meanwhile: nobody would end this connection
                stream.close()
                return False
            response = await self._exchange(peer, stream, opens)
            # A connection that has waited may have been closed by the other node meanwhile. What
            # carries messages is not sent twice all the same: they might arrive twice.
            if self._gone or self._body or response.began or not (reused and peer.answered):
                break
        if self._gone:
            owner.forwarded("gone")
        elif response.elsewhere:
            return False
        elif response.complete:
            owner.forwarded("answered")
        else:
            owner.forwarded("broken")
            self._fail()
        return True

    async def _exchange(self, peer: Peer, stream: IOStream, opens: bool) -> "_Response":
        """Hand the request on, and the response back, over a connection."""
        response = _Response(self._client)
        self._stream = stream
        peer.streams.add(stream)
        try:
            if not self._gone:
                await self._converse(stream, opens, response)
        finally:
            peer.streams.discard(stream)
            if response.complete and self._length is None and not self._gone:
                peer.keep(stream)
            else:
                stream.close()
        return response

    async def _converse(self, stream: IOStream, opens: bool, response: "_Response") -> None:
        link = HTTP1Connection(stream, True, _PARAMETERS)
        headers = onward(self._request)
        headers["Content-Length"] = str(len(self._body) if self._length is None else self._length)
        headers[FROM_HEADER] = self._owner.membership.own.id
        if not opens:
            headers[IF_HELD_HEADER] = "1"
        line = RequestStartLine(self._request.method or "", target(self._request), "HTTP/1.1")
        with contextlib.suppress(StreamClosedError):
            await link.write_headers(line, headers, bytes(self._body))
            if self._length is None:
                link.finish()
            await link.read_response(response)

    def _fail(self) -> None:
        """Nobody answers for the session: the client comes back, with another one."""
        if self._gone:
            return
        if self._client.began:
            self._client.abort()
        else:
            self._client.error(503, "unavailable", "The node with this session cannot be reached.")


class _Response(HTTPMessageDelegate):
    """The other node's response, as Tornado's client side tells it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.began = False
        self.elsewhere = False
        """Whether the node does not have the session."""
        self.complete = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        assert isinstance(start_line, ResponseStartLine)
        status = start_line.code
        if 100 <= status < 200:
            return None
        self.began = True
        if status == NOT_HELD:
            self.elsewhere = True
            return None
        passed = end_to_end(headers)
        return _written(self._client.begin(status, passed, reason=start_line.reason))

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return None if self.elsewhere else _written(self._client.write(chunk))

    def finish(self) -> None:
        self.complete = True
        if not self.elsewhere:
            self._client.finish()

    def on_connection_close(self) -> None:
        """Its request notices by itself."""


async def _written(part: "asyncio.Future[None]") -> None:
    with contextlib.suppress(StreamClosedError):
        await part

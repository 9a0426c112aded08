"""A room's own event stream, ``GET <prefix>/rooms/<room>/events``: for whatever speaks HTTP alone.

It is a held response that nobody but the room's rules has let in. Those are asked when it comes
into the room, and the node ends it when what it was let in by is revoked.
"""

import logging
import math
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote

from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.routing import PathMatches, Router, Rule

from roomline.core.codec import ProtocolError
from roomline.core.codes import ErrorCode, Unsubscribed
from roomline.core.policy import Policy
from roomline.core.policy import Rule as Rights
from roomline.holding import MAX_POSITION, Hold
from roomline.proxy.frames import ROOM_EVENTS
from roomline.proxy.held import Answer
from roomline.proxy.keeper import Keeper
from roomline.proxy.stream import HeldStream
from roomline.relay import Client
from roomline.wire import shorten

log = logging.getLogger(__name__)

ROOM_TOKEN_HEADER: Final = "Roomline-Room-Token"  # noqa: S105 - the name of a header
_METHODS: Final = "GET, HEAD, OPTIONS"
_REQUEST_HEADERS: Final = f"Authorization, Last-Event-ID, {ROOM_TOKEN_HEADER}"
_PREFLIGHT_SECONDS: Final = "600"
_BEARER = re.compile(r"Bearer +([^\s,]+) *", re.ASCII | re.IGNORECASE)
_NOBODY: Final = "0" * 32
"""Anonymous readers need not be told apart: they say nothing."""

STATUSES: Final = {
    ErrorCode.BAD_REQUEST: 400,
    ErrorCode.ROOM_INVALID: 400,
    ErrorCode.TOKEN_REQUIRED: 401,
    ErrorCode.TOKEN_INVALID: 401,
    ErrorCode.TOKEN_EXPIRED: 401,
    ErrorCode.TOKEN_REVOKED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.ROOM_TOKEN_REQUIRED: 403,
    ErrorCode.ROOM_UNKNOWN: 404,
    ErrorCode.RATE_LIMITED: 429,
}
"""Of what is refused for good, and of those who come too often. The rest is a 503, and a 429 if one
address has too many."""


class Origins(Protocol):
    """Which pages may read, and what their browsers are told about it."""

    def admits(self, origin: str | None, own: str) -> bool: ...
    def headers(self, origin: str | None, own: str) -> dict[str, str]: ...


class Reader(NamedTuple):
    """What a rule of the room has let in: for which user, and until when (seconds since the
    epoch)."""

    user: str | None
    until: float


class Tokens(NamedTuple):
    """What a request shows: a connection token, and one for the room alone."""

    connection: str | None
    room: str | None


class RoomEvents(Router):
    """All event streams of a gateway. `own_origin` is the origin of a scheme and a host; `let_come`
    counts an address from which somebody comes, and says whether that is not too often; `clock`
    gives seconds since the epoch."""

    def __init__(
        self,
        keeper: Keeper,
        policy: Policy,
        origins: Origins,
        own_origin: Callable[[str, str], str],
        let_come: Callable[[str], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keeper = keeper
        self.origins = origins
        self.own_origin = own_origin
        self.clock = clock
        self._policy = policy
        self._let_come = let_come

    def rule(self, prefix: str) -> Rule:
        """Where they are, below the endpoint's prefix. It comes before the endpoint's own."""
        return Rule(PathMatches(rf"{re.escape(prefix)}/rooms/([^/]*)/events"), self)

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate:
        room: bytes = kwargs["path_args"][0]
        return _Request(self, request, room.decode(errors="replace"))

    def arrive(self, address: str) -> None:
        """Somebody wants a stream. Raises `ProtocolError` if too many came lately."""
        if not self._let_come(address):
            raise ProtocolError(
                ErrorCode.RATE_LIMITED,
                "too many come from this address, or to this node: later, or elsewhere",
            )

    def check(self, room: str, tokens: Tokens) -> Reader:
        """Who reads with these tokens; raises `ProtocolError`."""
        policy, now = self._policy, self.clock()
        rights = policy.namespace(room).read
        if tokens.connection is None and rights in (Rights.AUTHENTICATED, Rights.TOKEN):
            raise ProtocolError(
                ErrorCode.TOKEN_REQUIRED,
                f"room {room!r} is read with a token, in the header Authorization: Bearer",
            )
        principal = policy.authenticate(tokens.connection, _NOBODY, now)
        access = policy.check_read(principal, room, tokens.room, now)
        ends = [end for end in (principal.expires, access.expires) if end is not None]
        return Reader(principal.user.id if principal.user else None, min(ends, default=math.inf))


class RoomStream(HeldStream):
    """One of them."""

    _timeout = ("token_expired", "the token has expired: come with a new one")

    def __init__(
        self, events: RoomEvents, client: Client, room: str, since: str | None, tokens: Tokens
    ) -> None:
        """Raises `ProtocolError` if the room's rules do not let it in."""
        reader = events.check(room, tokens)
        hold = Hold("sse", room, reader.until - events.clock(), since, user=reader.user)
        said = Answer(200, HTTPHeaders(), b"")
        super().__init__(events.keeper, client, hold, said, ROOM_EVENTS)
        self._events = events
        self._tokens = tokens

    def end(self, reason: Unsubscribed) -> None:
        if self._live:
            super().end(reason)
        # Else its tokens are asked again before it goes on, and say which status it gets.

    def _attach(self) -> None:
        try:
            self._events.check(self.room, self._tokens)
        except ProtocolError as error:
            if self._client.began:
                why = Unsubscribed.RIGHTS_CHANGED
                self._finish("ended", why.code, why.meaning)
            elif self._end_as("refused"):
                refuse(self._client, error)
            return
        super()._attach()


def refuse(client: Client, error: ProtocolError) -> None:
    """Answer with an error of the client protocol."""
    status = STATUSES[error.code]
    if status == 401:
        client.always["WWW-Authenticate"] = "Bearer"
    client.error(status, error.code.code, error.reason)


class _Request(HTTPMessageDelegate):
    """One request. A body is dropped: it has none to speak of."""

    def __init__(self, events: RoomEvents, request: HTTPServerRequest, room: str) -> None:
        self._events = events
        self._request = request
        self._room = room
        self._client = Client(request)

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        return None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return None

    def finish(self) -> None:
        client = self._client
        if client.stream.closed():
            return  # one of several requests that a client has sent before it went
        try:
            if self._comes_from_elsewhere():
                return
            self._answer()
        except ProtocolError as error:
            refuse(client, error)
        except Exception:
            log.exception("a request for a room's events could not be answered")
            client.abort()

    def on_connection_close(self) -> None:
        """It went before its request was complete."""

    def _comes_from_elsewhere(self) -> bool:
        """Whether it is a page's that may not read, which is answered then."""
        request, client, origins = self._request, self._client, self._events.origins
        origin = request.headers.get("Origin")
        own = self._events.own_origin(request.protocol, request.host)
        client.always |= {"Vary": "Origin", "X-Content-Type-Options": "nosniff"}
        if not origins.admits(origin, own):
            reason = f"pages of {shorten(origin)} may not read here: the setting is origins"
            client.error(403, ErrorCode.FORBIDDEN.code, reason)
            return True
        client.always |= origins.headers(origin, own)
        return False

    def _answer(self) -> None:
        client, method = self._client, self._request.method
        if method == "OPTIONS":
            client.always |= {
                "Allow": _METHODS,
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": _REQUEST_HEADERS,
                "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
            }
            client.whole(204, HTTPHeaders(), b"")
        elif method not in ("GET", "HEAD"):
            client.always["Allow"] = _METHODS
            reason = f"{method} is not for events; publish by the client protocol or the HTTP API"
            client.error(405, "method_not_allowed", reason)
        else:
            since = self._since()
            tokens = Tokens(self._bearer(), self._request.headers.get(ROOM_TOKEN_HEADER))

            def make() -> RoomStream:
                self._events.arrive(self._request.remote_ip or "")
                return RoomStream(self._events, client, self._room, since, tokens)

            if method == "HEAD":
                make()
                headers = {"Content-Type": ROOM_EVENTS.content_type, "Cache-Control": "no-store"}
                client.begin(200, HTTPHeaders(headers))
                client.finish()
            else:
                self._events.keeper.keep(client, make)

    def _since(self) -> str | None:
        """The position after which the stream begins: where a browser comes back, its header
        counts, and not the address that the page has made."""
        arguments = self._request.query_arguments
        if arguments.keys() - {"since"} or len(arguments.get("since", ())) > 1:
            found = ", ".join(shorten(quote(name)) for name in arguments)
            raise ProtocolError(
                ErrorCode.BAD_REQUEST,
                f"the address asks for {found}, accepted is one since. Tokens are never put into an"
                f" address, where they would be kept in logs: send Authorization: Bearer, and"
                f" {ROOM_TOKEN_HEADER} if the room needs one",
            )
        [since] = arguments.get("since", [b""])
        said = self._request.headers.get("Last-Event-ID") or since.decode(errors="replace")
        return said[: MAX_POSITION + 1] or None

    def _bearer(self) -> str | None:
        said = self._request.headers.get("Authorization")
        if said is None:
            return None
        bearer = _BEARER.fullmatch(said)
        if bearer is None:
            # What it says may be a password: it is not repeated.
            raise ProtocolError(
                ErrorCode.TOKEN_INVALID, "Authorization is not Bearer and a token behind it"
            )
        return bearer[1]

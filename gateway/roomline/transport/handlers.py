"""What every HTTP answer of an endpoint has in common: origins, headers, limits, empty errors."""

import re
from asyncio import Future
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, ClassVar

from tornado.web import RequestHandler, stream_request_body

from roomline.transport.origins import own_origin
from roomline.transport.upstream import PreflightHandler

if TYPE_CHECKING:
    from roomline.transport.endpoint import Endpoint

NOT_CACHED = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
YEAR = 31_536_000

_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,256}")
_COOKIE = re.compile(r"[A-Za-z0-9._-]{1,128}")


def origin_of(handler: RequestHandler) -> str | None:
    """The origin of the page that a request comes from; its name in early websocket versions
    was another."""
    headers = handler.request.headers
    return headers.get("Origin", headers.get("Sec-WebSocket-Origin"))


def own_origin_of(handler: RequestHandler) -> str:
    """The origin that the request was sent to."""
    return own_origin(handler.request.protocol, handler.request.host)


@stream_request_body
class Handler(PreflightHandler):
    """Answers one SockJS path. Bodies of requests are dropped unless a subclass keeps them."""

    server: "Endpoint"
    methods: ClassVar[tuple[str, ...]] = ("GET",)
    guarded: ClassVar[bool] = True
    """Whether origins are checked: on everything but public, constant pages."""
    varies: ClassVar[str] = "Origin"
    """The headers that say where the page is from."""

    def initialize(self, server: "Endpoint") -> None:
        self.server = server

    def set_default_headers(self) -> None:
        """Nobody needs to know what serves this, and it is what its type says."""
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")

    def _execute(self, transforms: Any, *args: Any, **kwargs: Any) -> Any:
        # Streaming responses are written past Tornado's transforms, so there must be none.
        return super()._execute([], *args, **kwargs)

    def prepare(self) -> None:
        """Turn away foreign pages and wrong methods."""
        connection: Any = self.request.connection
        connection.set_body_timeout(self.server.options.body_seconds)
        if self.guarded:
            origin, own = self.page(), own_origin_of(self)
            self.set_header("Vary", self.varies)
            if not self.server.origins.admits(origin, own):
                self.answer(403)
                return
            for name, value in self.server.origins.headers(origin, own).items():
                self.set_header(name, value)
        if self.request.method not in (*self.methods, "OPTIONS"):
            self.set_header("Allow", self._allowed())
            self.answer(405)

    def page(self) -> str | None:
        """The origin of the page that speaks; None: none, it is a program."""
        return origin_of(self)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """A part of the request's body."""
        return None

    def options(self, *args: str, **kwargs: str) -> None:
        """CORS preflight."""
        if not self.guarded:
            self.set_header("Allow", self._allowed())
            self.answer(405)
            return
        self.cache()
        self.set_header("Access-Control-Max-Age", YEAR)
        self.set_header("Access-Control-Allow-Methods", self._allowed())
        self.set_header("Allow", self._allowed())
        names = self.request.headers.get("Access-Control-Request-Headers", "")
        if _HEADER_NAMES.fullmatch(names):
            self.set_header("Access-Control-Allow-Headers", names)
        self.answer(204)

    def cache(self) -> None:
        """Let caches keep the answer for a year."""
        self.set_header("Cache-Control", f"public, max-age={YEAR}")
        expires = datetime.now(UTC) + timedelta(seconds=YEAR)
        self.set_header("Expires", format_datetime(expires, usegmt=True))

    def do_not_cache(self) -> None:
        """Keep caches and proxies from storing, changing or holding back the answer."""
        self.set_header("Cache-Control", NOT_CACHED)
        self.set_header("X-Accel-Buffering", "no")

    def stick(self) -> None:
        """Set the cookie by which some load balancers keep a client on one server."""
        if self.server.options.jsessionid:
            cookie = self.request.cookies.get("JSESSIONID")
            value = cookie.value if cookie is not None else ""
            if not _COOKIE.fullmatch(value):
                value = "dummy"
            same_site = "None; Secure" if self.request.protocol == "https" else "Lax"
            self.set_header(
                "Set-Cookie", f"JSESSIONID={value}; Path=/; HttpOnly; SameSite={same_site}"
            )

    def answer(self, status: int) -> None:
        """Answer with a status and no body."""
        self.set_status(status)
        self.clear_header("Content-Type")
        self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.clear_header("Content-Type")
        self.finish()

    def compute_etag(self) -> str | None:
        return None

    def finish(self, chunk: Any = None) -> "Future[None]":
        # Past sockjs-tornado's, which forgets to return the future.
        return RequestHandler.finish(self, chunk)

    def on_connection_close(self) -> None:
        # Past sockjs-tornado's, which counts connections, wrongly.
        RequestHandler.on_connection_close(self)
        # Handler and `ui` know each other. Tornado parts them when a response is finished, and
        # leaves them to the garbage collector where it never is.
        self.ui = None  # type: ignore[assignment]

    def check_xsrf_cookie(self) -> None:
        """Whatever the Tornado application around asks for, origins are checked here."""

    def check_trusted_origin(self, origin: str) -> bool:
        return True

    def _allowed(self) -> str:
        return ", ".join(("OPTIONS", *self.methods)) if self.guarded else ", ".join(self.methods)

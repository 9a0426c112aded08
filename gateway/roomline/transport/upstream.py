"""sockjs-tornado, typed as far as it is used here. The only file that imports it."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

if TYPE_CHECKING:
    from tornado.ioloop import PeriodicCallback

    class SockJSConnection:
        session: Any

        def __init__(self, session: Any) -> None: ...

    class Stats:
        _callback: PeriodicCallback

    class SockJSRouter:
        _sessions_cleanup: PeriodicCallback
        _transport_urls: list[Any]
        stats: Stats

        def __init__(
            self,
            connection: Callable[[Any], SockJSConnection],
            prefix: str = "",
            user_settings: dict[str, Any] = {},  # noqa: B006
            io_loop: Any = None,
            session_kls: type["BaseSession"] | None = None,
        ) -> None: ...

    class BaseSession:
        conn: Any
        handler: Any
        state: int
        close_reason: tuple[int, str] | None

        def __init__(self, conn: Any, server: Any) -> None: ...
        @property
        def is_closed(self) -> bool: ...

    class PreflightHandler(RequestHandler):
        server: Any

        def initialize(self, server: Any) -> None: ...

    class WebSocketTransport(WebSocketHandler):
        server: Any
        session: Any
        active: bool

        def initialize(self, server: Any) -> None: ...

    CONNECTING: int
    OPEN: int
    CLOSED: int
else:
    with warnings.catch_warnings():
        # It decorates its handlers with a deprecated helper of its own, which warns on import.
        warnings.simplefilter("ignore", DeprecationWarning)
        from sockjs.tornado.basehandler import PreflightHandler
        from sockjs.tornado.conn import SockJSConnection
        from sockjs.tornado.router import SockJSRouter
        from sockjs.tornado.session import CLOSED, CONNECTING, OPEN, BaseSession
        from sockjs.tornado.transports.websocket import WebSocketTransport

__all__ = [
    "CLOSED",
    "CONNECTING",
    "OPEN",
    "BaseSession",
    "PreflightHandler",
    "SockJSConnection",
    "SockJSRouter",
    "WebSocketTransport",
]

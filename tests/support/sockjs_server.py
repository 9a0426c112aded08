"""A stock sockjs-tornado server in the test's own event loop, for tests of clients."""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application

with warnings.catch_warnings():
    # The package decorates its own handlers with what it calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from sockjs.tornado import SockJSConnection, SockJSRouter


class Echo(SockJSConnection):
    """Answers every message with itself; ``"bye"`` with a close frame."""

    def on_message(self, message: str) -> None:
        if message == "bye":
            # Not at once: the stock package fails when closed while it takes a message in.
            IOLoop.current().call_later(0.02, self.session.close, 3500, "as you wish")
        else:
            self.send(message)


class Address(str):
    """The endpoint's address, with the server behind it."""

    server: HTTPServer


@asynccontextmanager
async def serving(connection: type[SockJSConnection], **settings: Any) -> AsyncIterator[Address]:
    """The address of a SockJS endpoint at which `connection` serves."""
    router = SockJSRouter(connection, "/realtime", {"response_limit": 4096, **settings})
    server = HTTPServer(Application(router.urls))
    [socket] = bind_sockets(0, "127.0.0.1")
    server.add_sockets([socket])
    address = Address(f"http://127.0.0.1:{socket.getsockname()[1]}/realtime")
    address.server = server
    try:
        yield address
    finally:
        server.stop()
        await server.close_all_connections()
        router._sessions_cleanup.stop()

"""One SockJS endpoint: its routes, its sessions, and what they share."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from tornado.routing import URLSpec

from roomline.core.link import Application
from roomline.transport.framing import Joined, websocket_frame
from roomline.transport.origins import Origins
from roomline.transport.pages import (
    CLIENT_PATH,
    ClientScript,
    GreetingPage,
    IframePage,
    Info,
    NotFound,
)
from roomline.transport.polling import XhrPolling, XhrSend
from roomline.transport.registry import Registry
from roomline.transport.session import PeerConnection, Session
from roomline.transport.settings import TransportSettings
from roomline.transport.streaming import EventSource, Piece, Wrapping, XhrStreaming
from roomline.transport.upstream import SockJSRouter
from roomline.transport.websocket import RawWebSocket, WebSocket
from roomline.transport.wheel import Wheel

_HANDLERS: dict[str, tuple[str, type]] = {
    "websocket": ("websocket", WebSocket),
    "xhr-polling": ("xhr", XhrPolling),
    "xhr-streaming": ("xhr_streaming", XhrStreaming),
    "eventsource": ("eventsource", EventSource),
}
"""The last part of each transport's path, and who answers."""


class Endpoint(SockJSRouter):
    """A SockJS endpoint for `application`. Make it while the event loop runs; mount `urls`."""

    def __init__(self, application: Application, options: TransportSettings) -> None:
        self.connect: Callable[[Any], PeerConnection] = partial(PeerConnection, application)
        super().__init__(self.connect, options.prefix, session_kls=Session)
        # Its clocks: the wheel does what the first one does, nobody reads what the second counts.
        self._sessions_cleanup.stop()
        self.stats._callback.stop()
        self.options = options
        self.origins = Origins(options.allowed_origins)
        self.registry = Registry(options.sessions, options.sessions_per_address)
        shortest = min(
            options.heartbeat_seconds,
            options.disconnect_delay,
            options.close_seconds,
            options.tombstone_seconds,
        )
        self.wheel = Wheel(min(1.0, shortest / 10))
        self.joined_frames = Joined(websocket_frame)
        self._joined_pieces: dict[Wrapping, Joined[Piece]] = {}
        self.sockjs_url = options.sockjs_url or options.prefix + CLIENT_PATH
        self._transport_urls = list(self._routes())

    @property
    def urls(self) -> list[URLSpec]:
        """Routes for a Tornado application, for everything under the prefix."""
        return self._transport_urls

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self.registry)

    def close(self) -> None:
        """Stop the endpoint's timer, after its sessions have been closed."""
        self.wheel.close()

    # What handlers and sessions call.

    def joined_pieces(self, wrap: Wrapping) -> Joined[Piece]:
        """What all responses share that wrap frames like this."""
        if wrap not in self._joined_pieces:
            self._joined_pieces[wrap] = Joined(wrap)
        return self._joined_pieces[wrap]

    def open_session(self, session_id: str, address: str, *, lasting: bool) -> Session:
        """A new session; raises `TooManySessions`."""
        session = Session(self, session_id, address, lasting=lasting)
        self.registry.admit(session)
        if lasting:
            self.registry.put(session)
        return session

    def ended(self, session: Session, *, lasting: bool) -> None:
        """A session has ended."""
        self.registry.release(session)
        if lasting:
            given_way = self.registry.bury(session)
            if given_way is not None:
                self.wheel.forget(given_way)

    def _routes(self) -> list[URLSpec]:
        options, this = self.options, {"server": self}
        prefix = re.escape(options.prefix)
        path = f"{prefix}/{options.session_id}/(?P<session_id>{options.session_id})"
        routes = [
            URLSpec(rf"{path}/{name}", handler, this)
            for transport, (name, handler) in _HANDLERS.items()
            if transport in options.transports
        ]
        if options.transports - {"websocket"}:
            routes.append(URLSpec(rf"{path}/xhr_send", XhrSend, this))
        if options.raw_websocket:
            routes.append(URLSpec(rf"{prefix}/websocket", RawWebSocket, this))
        return [
            *routes,
            URLSpec(rf"{prefix}/info", Info, this),
            URLSpec(rf"{prefix}/iframe[0-9-.a-z_]*\.html", IframePage, this),
            URLSpec(prefix + re.escape(CLIENT_PATH), ClientScript, this),
            URLSpec(rf"{prefix}/?", GreetingPage, this),
            URLSpec(rf"{prefix}/.*", NotFound, this),
        ]

"""One SockJS endpoint: its routes, its sessions, and what they share."""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import URLSpec

from roomline.core.link import Application
from roomline.joined import Joined
from roomline.transport.framing import messages_frame, websocket_frame
from roomline.transport.htmlfile import HtmlFile
from roomline.transport.jsonp import Jsonp, JsonpSend
from roomline.transport.origins import Origins
from roomline.transport.pages import (
    CLIENTS,
    FRAME_PATH,
    FRAME_SCRIPT,
    GreetingPage,
    IframePage,
    Info,
    NotFound,
    Script,
    client_path,
)
from roomline.transport.polling import XhrPolling, XhrSend
from roomline.transport.receiver import HttpReceiver
from roomline.transport.registry import Registry
from roomline.transport.session import PeerConnection, Session
from roomline.transport.settings import TransportSettings
from roomline.transport.streaming import EventSource, Piece, Wrapping, XhrStreaming
from roomline.transport.upstream import SockJSRouter
from roomline.transport.websocket import RawWebSocket, WebSocket
from roomline.wheel import Wheel

_HANDLERS: dict[str, tuple[str, type]] = {
    "websocket": ("websocket", WebSocket),
    "xhr-polling": ("xhr", XhrPolling),
    "xhr-streaming": ("xhr_streaming", XhrStreaming),
    "eventsource": ("eventsource", EventSource),
    "htmlfile": ("htmlfile", HtmlFile),
    "jsonp-polling": ("jsonp", Jsonp),
}
"""The last part of each transport's path, and who answers."""


class Endpoint(SockJSRouter):
    """A SockJS endpoint for `application`. Make it while the event loop runs; mount `urls`."""

    raw_handler = RawWebSocket

    def __init__(self, application: Application, options: TransportSettings) -> None:
        self.connect: Callable[[Any], PeerConnection] = partial(PeerConnection, application)
        super().__init__(self.connect, options.prefix, session_kls=Session)
        # Its clocks: the wheel does what the first one does, nobody reads what the second counts.
        self._sessions_cleanup.stop()
        self.stats._callback.stop()
        self.options = options
        self.origins = Origins(options.allowed_origins)
        self.registry = Registry(options, asyncio.get_running_loop().time)
        shortest = min(
            options.heartbeat_seconds,
            options.disconnect_delay,
            options.close_seconds,
            options.tombstone_seconds,
        )
        self.wheel = Wheel(min(1.0, shortest / 10))
        self.joined_frames = Joined(lambda messages: websocket_frame(messages_frame(messages)))
        self._joined_pieces: dict[Wrapping, Joined[Piece]] = {}
        self._transport_urls = list(self._routes())

    @property
    def urls(self) -> list[URLSpec]:
        """Routes for a Tornado application, for everything under the prefix."""
        return [
            *self.own_urls,
            URLSpec(rf"{re.escape(self.options.prefix)}/.*", NotFound, {"server": self}),
        ]

    @property
    def own_urls(self) -> list[URLSpec]:
        """Those of them that SockJS has: somebody else may have other paths under the prefix."""
        return self._transport_urls

    @property
    def lasting_paths(self) -> str:
        """Regular expression of the paths of requests that belong to a session which outlives
        them, as those of all HTTP transports do; the group ``session_id`` is its id. No others:
        what is not the endpoint's may be somebody else's."""
        names = "|".join(name for name in self._session_handlers() if name != "websocket")
        return rf"{self._session_path}/(?:{names or '(?!)'})"

    def holds(self, session_id: str) -> bool:
        """Whether there is such a session, or its tombstone."""
        return self.registry.find(session_id) is not None

    def let_go(self, concerned: Callable[[HTTPServerRequest], bool]) -> None:
        """End the responses to these requests; their sessions go on with the next ones."""
        for session in self.registry.living():
            receiver = session.handler
            if isinstance(receiver, HttpReceiver) and concerned(receiver.request):
                receiver.let_go()

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
            self._joined_pieces[wrap] = Joined(lambda messages: wrap(messages_frame(messages)))
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

    @property
    def _session_path(self) -> str:
        options = self.options
        prefix = re.escape(options.prefix)
        return f"{prefix}/{options.session_id}/(?P<session_id>{options.session_id})"

    def _session_handlers(self) -> dict[str, type]:
        """Who answers below a session, by the last part of the path."""
        transports = self.options.transports
        found = {name: kind for each, (name, kind) in _HANDLERS.items() if each in transports}
        if transports - {"websocket", "iframe"}:
            found["xhr_send"] = XhrSend
        if "jsonp-polling" in transports:
            found["jsonp_send"] = JsonpSend
        return found

    def _routes(self) -> list[URLSpec]:
        options, this = self.options, dict[str, Any](server=self)
        prefix = re.escape(options.prefix)
        routes = [
            URLSpec(rf"{self._session_path}/{name}", handler, this)
            for name, handler in self._session_handlers().items()
        ]
        if "iframe" in options.transports:
            routes += [
                URLSpec(rf"{prefix}/iframe[0-9-.a-z_]*\.html", IframePage, this),
                URLSpec(prefix + re.escape(FRAME_PATH), Script, this | {"script": FRAME_SCRIPT}),
            ]
        if options.raw_websocket:
            routes.append(URLSpec(rf"{prefix}/websocket", self.raw_handler, this))
        return [
            *routes,
            URLSpec(rf"{prefix}/info", Info, this),
            *[
                URLSpec(prefix + re.escape(client_path(name)), Script, this | {"script": client})
                for name, client in CLIENTS.items()
            ],
            URLSpec(rf"{prefix}/?", GreetingPage, this),
        ]

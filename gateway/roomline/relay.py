"""What handing a request on takes, wherever it goes: its client's side, where the response is
written, and which headers go on."""

import re
from asyncio import Future
from http.client import responses
from typing import Any, Final

import msgspec
from tornado.http1connection import HTTP1ConnectionParameters
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.iostream import IOStream

from roomline.holding import OWN_PREFIX

UNBOUNDED: Final = 1 << 62
"""The length of a body of which nothing is kept."""
LENGTH: Final = re.compile(r"\d{1,18}", re.ASCII)
"""What a ``Content-Length`` is."""

_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "expect",  # the gateway's own server has answered it
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_SAID_OF_CLIENTS: Final = ("x-forwarded-", "forwarded", "x-real-ip")
"""Beginnings of the names by which servers are told who a client is: the gateway says it."""

_BEYOND_ASCII = re.compile(r"[\x80-\xff]")

_WITHOUT_BODY = (204, 304)
_TEMPORARY = (429, 503)


def parameters(*, keep_alive: bool) -> HTTP1ConnectionParameters:
    """For the connection over which a request is handed on: responses of any length pass."""
    return HTTP1ConnectionParameters(
        no_keep_alive=not keep_alive,
        chunk_size=65_536,
        max_header_size=65_536,
        max_body_size=UNBOUNDED,
        decompress=False,
    )


def target(request: HTTPServerRequest) -> str:
    """What a request asks for. Bytes that have no place in a target are written as browsers do."""
    return _BEYOND_ASCII.sub(lambda found: f"%{ord(found[0]):02X}", request.uri or "")


def end_to_end(headers: HTTPHeaders) -> HTTPHeaders:
    """Those of a message's headers that are not for one connection only, nor the gateway's own."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    dropped = _HOP_BY_HOP | (named - {"content-length", "host"})
    passed = HTTPHeaders()
    for name, value in headers.get_all():
        key = name.lower()
        if key not in dropped and not key.startswith(OWN_PREFIX):
            passed.add(name, value)
    return passed


def onward(request: HTTPServerRequest) -> HTTPHeaders:
    """The headers that go on with a request. They tell of the client that the gateway believes
    in, and nothing that others say of it."""
    headers = HTTPHeaders()
    for name, value in end_to_end(request.headers).get_all():
        if not name.lower().startswith(_SAID_OF_CLIENTS):
            headers.add(name, value)
    headers["Host"] = request.host
    headers["X-Forwarded-For"] = request.remote_ip or ""
    headers["X-Forwarded-Proto"] = request.protocol
    return headers


class Client:
    """One request's client. Nothing here raises when it has gone."""

    def __init__(self, request: HTTPServerRequest) -> None:
        self.request = request
        self.always: dict[str, str] = {}
        """Headers of whatever response this client gets."""
        self.connection: Any = request.connection
        """Tornado's ``HTTP1Connection``."""
        self.began = False
        """Whether a response has begun."""
        self._ends_by_closing = False

    @property
    def stream(self) -> IOStream:
        stream: IOStream = self.connection.stream
        return stream

    @property
    def chunked(self) -> bool:
        """Whether a body without a length goes in chunks."""
        return self.request.version == "HTTP/1.1"

    def begin(
        self, status: int, headers: HTTPHeaders, body: bytes | None = None, *, reason: str = ""
    ) -> "Future[None]":
        """Send a response's head, and the beginning of its body; done when it has left."""
        self.began = True
        headers.update(self.always)
        unmarked = not self.chunked and "Content-Length" not in headers
        if unmarked and status not in _WITHOUT_BODY and self.request.method != "HEAD":
            # Nothing but its end tells HTTP/1.0 clients where the response ends.
            self.request.headers.pop("Connection", None)
            self._ends_by_closing = True
        line = ResponseStartLine("HTTP/1.1", status, reason or responses.get(status, "Unknown"))
        written: Future[None] = self.connection.write_headers(line, headers, body)
        return written

    def write(self, chunk: bytes) -> "Future[None]":
        """Send more of the body; done when it has left."""
        written: Future[None] = self.connection.write(chunk)
        return written

    def finish(self) -> None:
        """The response is complete."""
        self.connection.finish()
        if self._ends_by_closing:
            stream = self.stream
            if not stream.closed():
                stream.write(b"").add_done_callback(lambda _: stream.close())

    def abort(self) -> None:
        """Close the connection, so that nobody takes what was sent for the whole."""
        self.connection.close()

    def whole(self, status: int, headers: HTTPHeaders, body: bytes) -> "Future[None]":
        """Send a whole response; done when it has left. A HEAD request gets its head."""
        if status not in _WITHOUT_BODY:
            headers["Content-Length"] = str(len(body))
        without = status in _WITHOUT_BODY or self.request.method == "HEAD"
        written = self.begin(status, headers, None if without else body)
        self.finish()
        return written

    def page(self, status: int, text: str) -> None:
        """Answer with a sentence for people."""
        self._answer(status, "text/plain; charset=utf-8", f"{text}\n".encode())

    def error(self, status: int, code: str, reason: str) -> None:
        """Answer with an error for programs, in the words of the client protocol."""
        temporary = status in _TEMPORARY
        body = {"code": code, "reason": reason, "temporary": temporary}
        self._answer(status, "application/json", msgspec.json.encode(body))

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        headers = HTTPHeaders(
            {
                "Content-Type": content_type,
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }
        )
        if status in _TEMPORARY:
            headers["Retry-After"] = "1"
        self.whole(status, headers, body)

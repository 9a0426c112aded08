"""Which headers go up to the upstream, which come down, and which requests do not go at all."""

import re
from typing import Final, NamedTuple

from tornado.httputil import HTTPHeaders, HTTPServerRequest

from roomline.holding import POSITION_HEADER
from roomline.relay import LENGTH, end_to_end, onward

_TARGET = re.compile(r"/[!-~\x80-\xff]*")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose body may come in chunks."""
_NOT_FORWARDED: Final = frozenset({"CONNECT", "TRACE"})


class Refusal(NamedTuple):
    """Why a request is not handed to the upstream, as an HTTP status and a sentence."""

    status: int
    text: str


def refusal(request: HTTPServerRequest, body_bytes: int) -> Refusal | None:
    """What is wrong with a request that is not to go up, or None."""
    headers, method = request.headers, request.method or ""
    if method in _NOT_FORWARDED:
        return Refusal(501, f"{method} is not served here.")
    if not _TARGET.fullmatch(request.uri or ""):
        return Refusal(400, "The target of a request is a path here.")
    if headers.get("Upgrade", "").lower() == "websocket":
        return Refusal(400, "There is no websocket at this path.")
    if not delimited(headers):
        return Refusal(400, "The length of the request's body is not well formed.")
    if "Transfer-Encoding" in headers and method not in _WITH_BODY:
        return Refusal(411, f"A {method} request needs a Content-Length for its body.")
    length = int(headers.get("Content-Length", "0"))
    if length > body_bytes:
        return Refusal(413, f"The request's body has {length} bytes, at most {body_bytes} go.")
    return None


def delimited(headers: HTTPHeaders) -> bool:
    """Whether it is plain how long a body is: two servers must never disagree about its end."""
    if "Transfer-Encoding" in headers:
        return headers["Transfer-Encoding"].lower() == "chunked" and "Content-Length" not in headers
    return LENGTH.fullmatch(headers.get("Content-Length", "0")) is not None


def has_body(headers: HTTPHeaders) -> bool:
    """Whether a request with these headers, which are well formed, has a body."""
    return "Transfer-Encoding" in headers or int(headers.get("Content-Length", "0")) > 0


def upward(request: HTTPServerRequest, position: str | None) -> HTTPHeaders:
    """The headers that the upstream gets with a request.

    It is told the client that the gateway believes in, and nothing that others say of it.
    ``X-Forwarded-Host`` is here only if a trusted proxy sent it (`roomline.httpserver`).
    """
    asked = request.headers
    headers = HTTPHeaders()
    for name, value in onward(request).get_all():
        if "_" not in name:  # for WSGI an underscore is the same as a dash
            headers.add(name, value)
    headers["Connection"] = "close"
    headers["X-Forwarded-Host"] = asked.get("X-Forwarded-Host", request.host)
    headers[POSITION_HEADER] = position or ""
    if "Transfer-Encoding" not in asked:
        if "Content-Length" in asked:
            headers["Content-Length"] = asked["Content-Length"]
        elif request.method in _WITH_BODY:
            headers["Content-Length"] = "0"
    return headers


def downward(answered: HTTPHeaders, status: int) -> HTTPHeaders:
    """The headers that the client gets with a response. What has no length comes as it is made,
    and proxies that would collect it are asked not to."""
    headers = end_to_end(answered)
    if status == 204:
        headers.pop("Content-Length", None)
    elif "Content-Length" not in headers and status != 304:
        headers["X-Accel-Buffering"] = "no"
    return headers

"""Where a node serves other nodes: their probes, and the requests that they hand on."""

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from typing import Any, Final

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.iostream import IOStream, StreamClosedError
from tornado.routing import PathMatches, Router, Rule, URLSpec
from tornado.web import Application, RequestHandler, stream_request_body

from roomline.cluster.forwarding import IF_HELD_HEADER, NOT_HELD
from roomline.cluster.membership import NODE_HEADER, PROBE_PATH, STANDING_HEADER
from roomline.cluster.sealed import NotProven, SealedStream
from roomline.core.standing import Standing, write
from roomline.httpserver import GatewayServer
from roomline.logs import no_access

_HANDSHAKE_SECONDS: Final = 5.0
_HANDSHAKES: Final = 100
"""Connections that may be proving themselves at a time."""

_NO_ADDRESS: Final = ("0.0.0.0", 0)  # noqa: S104 - which is what Tornado says of them

log = logging.getLogger(__name__)


class _Handler(RequestHandler):
    """Answers without a body."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.clear_header("Content-Type")

    def compute_etag(self) -> None:
        """None: nobody compares."""


class Probe(_Handler):
    """``/probe``: this node lives, is this one, and stands like this towards new clients."""

    def initialize(self, id: str, standing: Callable[[], Standing]) -> None:
        self._id = id
        self._standing = standing

    def get(self) -> None:
        self.set_header(NODE_HEADER, self._id)
        self.set_header(STANDING_HEADER, write(self._standing()))
        self.set_status(204)


@stream_request_body
class NotHeld(_Handler):
    """The answer to a request that is only for the node that has its session. It comes after the
    body, so that the connection may be used again; but what is too long never comes."""

    def initialize(self, body_bytes: int) -> None:
        self._body_bytes = body_bytes

    def prepare(self) -> None:
        if int(self.request.headers.get("Content-Length", "0")) > self._body_bytes:
            self.post()

    def data_received(self, chunk: bytes) -> None:
        """It is for another node."""

    def post(self) -> None:
        self.set_status(NOT_HELD)
        self.finish()

    get = post


class _IfHeld(Router):
    """Finds the handler of requests that are for another node."""

    def __init__(self, holds: Callable[[str], bool], body_bytes: int) -> None:
        self._holds = holds
        self._elsewhere = Application(
            [(r".*", NotHeld, {"body_bytes": body_bytes})], log_function=no_access
        )

    def find_handler(
        self,
        request: HTTPServerRequest,
        *,
        path_kwargs: dict[str, bytes] | None = None,
        **kwargs: object,
    ) -> HTTPMessageDelegate | None:
        session_id = (path_kwargs or {})["session_id"].decode("latin-1")
        if IF_HELD_HEADER not in request.headers or self._holds(session_id):
            return None
        return self._elsewhere.find_handler(request)


def node_application(
    id: str,
    standing: Callable[[], Standing],
    pattern: str,
    holds: Callable[[str], bool],
    urls: list[URLSpec],
    body_bytes: int,
) -> Application:
    """What a node serves to other nodes: `urls`, for what they hand on, and probes."""
    probe = (PROBE_PATH, Probe, {"id": id, "standing": standing})
    if_held = Rule(PathMatches(pattern), _IfHeld(holds, body_bytes))
    return Application([probe, if_held, *urls], log_function=no_access)


class NodeServer(GatewayServer):
    """Serves nodes. They are believed about whom a request is from."""

    trusted_proxies = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        # Whoever comes over a Unix socket has no address.
        super().handle_stream(stream, address or _NO_ADDRESS)


class SealedServer(NodeServer):
    """The same over TCP, for whoever proves to know the cluster's key."""

    key: bytes
    _proving = 0

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        # The socket moves over to another sort of stream, before anything has been read.
        connected = stream.socket
        stream.io_loop.remove_handler(connected)
        stream.socket = None  # type: ignore[assignment]
        if self._proving >= _HANDSHAKES:
            connected.close()
            return
        options = {
            "max_buffer_size": self.max_buffer_size,
            "read_chunk_size": self.read_chunk_size,
        }
        sealed = SealedStream(connected, **options)
        self._proving += 1
        asyncio.ensure_future(self._prove(sealed, address))  # noqa: RUF006 - its stream holds it

    async def _prove(self, stream: SealedStream, address: tuple[Any, ...]) -> None:
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                await stream.begin_as_server(self.key)
        except (NotProven, TimeoutError, StreamClosedError, OSError) as error:
            log.warning("a connection from %s to the port for nodes is refused: %s", address, error)
            stream.close()
            return
        finally:
            self._proving -= 1
        super().handle_stream(stream, address)

"""Tornado's HTTP server, fit for strangers: open files are bounded, and forwarded addresses are
believed only from the proxies that are listed."""

import ipaddress
import logging
import re
import resource
from collections import Counter
from collections.abc import Awaitable, Collection
from typing import Any, Final, NamedTuple

from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream

from roomline.core.address import network_of

SPARE_FILES: Final = 64
"""Descriptors kept for the broker, the log and the internal port when clients take all others."""

_WITH_PORT = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d{1,5})?", re.ASCII)
_log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Client(NamedTuple):
    """Whom a request is from, and how it reached the outermost proxy that is believed."""

    address: str
    scheme: str


def forwarded(peer: Client, headers: HTTPHeaders, trusted: Collection[Network]) -> Client:
    """The client of a request that `peer` handed over.

    A listed proxy is believed about the hop before it, and so on along ``X-Forwarded-For`` from
    its end; nobody else is believed. ``X-Forwarded-Proto`` counts as the nearest proxy wrote it.
    """
    if not _listed(peer.address, trusted):
        return peer
    address, scheme = peer
    for hop in reversed(headers.get("X-Forwarded-For", "").split(",")):
        hop = _without_port(hop.strip())
        if _parse(hop) is None:
            break
        address = hop
        if not _listed(hop, trusted):
            break
    said = headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
    return Client(address, said if said in ("http", "https") else scheme)


def _without_port(hop: str) -> str:
    """Some proxies write the port behind the address, and that of IPv6 then in brackets."""
    found = _WITH_PORT.fullmatch(hop)
    return (found[1] or found[2]) if found else hop


def _listed(address: str, networks: Collection[Network]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    # As an IPv4 client of a socket for both families shows.
    return getattr(parsed, "ipv4_mapped", None) or parsed


class GatewayServer(HTTPServer):
    """An HTTP server. Tornado's ``xheaders``, which believe everybody, stay off."""

    trusted_proxies: Collection[Network] = ()
    per_address: int | None = None
    """How many connections one address may have that carry no websocket; proxies that are trusted
    may have more."""
    refused: Counter[str]
    """Connections that were closed at once, by why: ``connections``, or ``files``."""
    max_files: int | None = None
    """A connection whose descriptor is not below this is closed at once. The system hands out
    the lowest that is free, so this bounds them all, without counting."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """See `HTTPServer`; Tornado calls it when one is made."""
        super().initialize(*args, **kwargs)
        self.refused = Counter()
        self._of_addresses: Counter[str] = Counter()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if self.max_files is not None and stream.socket.fileno() >= self.max_files:
            self.refused["files"] += 1
            stream.close()
            return
        peer = str(address[0])
        network = network_of(peer)
        if (
            self.per_address is not None
            and self._of_addresses[network] >= self.per_address
            and not _listed(peer, self.trusted_proxies)
        ):
            self.refused["connections"] += 1
            stream.close()
            return
        stream.set_nodelay(True)
        self._of_addresses[network] += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: Any) -> None:
        """A connection has ended, or is a websocket now."""
        network = network_of(str(server_conn.context.address[0]))
        self._of_addresses[network] -= 1
        if not self._of_addresses[network]:
            del self._of_addresses[network]
        super().on_close(server_conn)

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        delegate = super().start_request(server_conn, request_conn)
        return _Forwarded(delegate, request_conn, self.trusted_proxies)


class _Forwarded(HTTPMessageDelegate):
    """Sets a request's client before the application sees the request."""

    def __init__(
        self, delegate: HTTPMessageDelegate, connection: Any, trusted: Collection[Network]
    ) -> None:
        self._delegate = delegate
        self._context = connection.context
        self._trusted = trusted

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        context = self._context
        peer = Client(context.remote_ip, context.protocol)
        if not _listed(peer.address, self._trusted):
            # What a stranger says of forwarding is believed by nobody further in, either.
            headers.pop("X-Forwarded-Host", None)
        # The request copies them while it is made; the connection's next one starts afresh.
        context.remote_ip, context.protocol = forwarded(peer, headers, self._trusted)
        try:
            return self._delegate.headers_received(start_line, headers)
        finally:
            context.remote_ip, context.protocol = peer

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()


def raise_file_limit(wanted: int, outgoing: int) -> int:
    """Let this process open as many files as it may, and return below which descriptor clients
    are accepted, so that `outgoing` connections can still be made. Warns if `wanted` files, those
    included, do not fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return 1 << 30
    if hard - SPARE_FILES < wanted:
        _log.warning(
            "this process may open %d files, too few for the %d that clients may want: raise the"
            " limit (ulimit -n, LimitNOFILE=) or lower the setting sessions",
            hard,
            wanted,
        )
    return max(hard - SPARE_FILES - outgoing, SPARE_FILES)

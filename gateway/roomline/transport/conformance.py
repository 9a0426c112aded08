"""A server for the public SockJS protocol suite: ``python -m roomline.transport.conformance``.

It serves the endpoints that the suite expects, by the product's own classes, with applications
that echo or close.
"""

import argparse
import asyncio
from contextlib import suppress
from dataclasses import replace

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application as Routes

from roomline.core.codes import Disconnect
from roomline.core.link import Application, Link
from roomline.core.outbox import Encoded, Outbox
from roomline.transport.endpoint import Endpoint
from roomline.transport.settings import TRANSPORTS, TransportSettings, server_limits

_OUTBOX_CHARACTERS = 1_048_576

SETTINGS = TransportSettings(
    # The suite pretends to be pages from these, and wants a star for requests without an origin.
    allowed_origins=frozenset({"*", "test", "null", "http://asd"}),
    # It uses ids with percent-encoded characters.
    session_id=r"[^/.]{1,64}",
    raw_websocket=True,
    response_limit=4096,
)


class EchoPeer:
    """Sends every message back."""

    def __init__(self, link: Link) -> None:
        self.outbox = Outbox(_OUTBOX_CHARACTERS)
        self._link = link

    def receive(self, text: str) -> None:
        if self.outbox.put(Encoded(text)):
            self._link.flush()
        else:
            self.outbox.take()
            self._link.close(Disconnect.SLOW.code, Disconnect.SLOW.reason)

    def refuse(self, code: int, reason: str) -> None:
        """Nothing to count."""

    def gone(self) -> None:
        """Nothing to clean up."""


class Echo:
    """An application that sends every message back."""

    def open(self, link: Link) -> EchoPeer:
        return EchoPeer(link)


class Close:
    """An application that closes every session at once."""

    def open(self, link: Link) -> EchoPeer:
        link.close(3000, "Go away!")
        return EchoPeer(link)


def endpoints() -> list[Endpoint]:
    """The endpoints of the public suite."""
    without_websocket = replace(SETTINGS, transports=TRANSPORTS - {"websocket"})
    applications: list[tuple[Application, TransportSettings]] = [
        (Echo(), replace(SETTINGS, prefix="/echo")),
        (Echo(), replace(without_websocket, prefix="/disabled_websocket_echo")),
        (Echo(), replace(SETTINGS, prefix="/cookie_needed_echo", jsessionid=True)),
        (Close(), replace(SETTINGS, prefix="/close")),
    ]
    return [Endpoint(application, settings) for application, settings in applications]


async def serve(host: str, port: int) -> None:
    """Serve until cancelled."""
    served = endpoints()
    routes = Routes([route for endpoint in served for route in endpoint.urls])
    server = HTTPServer(routes, **server_limits(SETTINGS))
    sockets = bind_sockets(port, host)
    server.add_sockets(sockets)
    print(f"conformance server on http://{host}:{sockets[0].getsockname()[1]}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        server.stop()
        for endpoint in served:
            endpoint.close()


def main() -> None:
    """Read the command line and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m roomline.transport.conformance")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9001)
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.host, arguments.port))


if __name__ == "__main__":
    main()

"""A server for suites that test SockJS: ``python -m roomline.transport.conformance``.

It serves the endpoints that the public protocol suite and sockjs-client's own browser tests expect,
by the product's own classes, and, if told, the files of a folder: the pages of such tests.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application as Routes
from tornado.web import HTTPError, StaticFileHandler

from roomline.core.link import Application
from roomline.transport.echoes import Amplify, Broadcast, Close, Echo, Ticker
from roomline.transport.endpoint import Endpoint
from roomline.transport.raw_echo import EchoEndpoint
from roomline.transport.settings import TRANSPORTS, TransportSettings, server_limits

SETTINGS = TransportSettings(
    transports=TRANSPORTS,
    # The suite pretends to be pages from these, and wants a star for requests without an origin.
    allowed_origins=frozenset({"*", "test", "null", "http://asd"}),
    # It uses ids with percent-encoded characters.
    session_id=r"[^/.]{1,64}",
    raw_websocket=True,
    response_limit=4096,
)


class Files(StaticFileHandler):
    """Files of one folder; Tornado keeps to it, whatever path or link leads out."""

    def set_default_headers(self) -> None:
        """Pages are read again each time: whoever tests changes them."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-cache")

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        if "\0" in absolute_path:
            raise HTTPError(404)  # no file has it in its name, and asking for one fails
        return super().validate_absolute_path(root, absolute_path)


def endpoints() -> list[Endpoint]:
    """The endpoints of the suites."""
    without_websocket = replace(SETTINGS, transports=TRANSPORTS - {"websocket"})
    applications: list[tuple[Application, TransportSettings]] = [
        (Echo(), replace(SETTINGS, prefix="/echo")),
        (Echo(), replace(without_websocket, prefix="/disabled_websocket_echo")),
        (Echo(), replace(SETTINGS, prefix="/cookie_needed_echo", jsessionid=True)),
        (Close(), replace(SETTINGS, prefix="/close")),
        (Amplify(), replace(SETTINGS, prefix="/amplify")),
        (Broadcast(), replace(SETTINGS, prefix="/broadcast")),
        (Ticker(), replace(SETTINGS, prefix="/ticker")),
    ]
    return [EchoEndpoint(application, settings) for application, settings in applications]


class Running(NamedTuple):
    """A running server."""

    port: int
    endpoints: list[Endpoint]


@asynccontextmanager
async def serving(host: str, port: int, static: Path | None = None) -> AsyncIterator[Running]:
    """Serve for a while. `static`: a folder; its files are where no endpoint is."""
    served = endpoints()
    routes: list[Any] = [route for endpoint in served for route in endpoint.urls]
    if static is not None:
        files = {"path": str(static), "default_filename": "index.html"}
        routes.append((r"/(.*)", Files, files))
    server = HTTPServer(Routes(routes), **server_limits(SETTINGS))
    sockets = bind_sockets(port, host)
    server.add_sockets(sockets)
    try:
        yield Running(sockets[0].getsockname()[1], served)
    finally:
        server.stop()
        await server.close_all_connections()
        for endpoint in served:
            endpoint.close()


async def serve(host: str, port: int, static: Path | None = None) -> None:
    """Serve until cancelled."""
    async with serving(host, port, static) as running:
        print(f"conformance server on http://{host}:{running.port}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m roomline.transport.conformance")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--static", type=Path, metavar="DIR", help="also serve the files in DIR")
    arguments = parser.parse_args()
    static = arguments.static
    if static is not None and not static.is_dir():
        parser.error(f"--static takes a folder that is there, and {static} is none")
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.host, arguments.port, static))


if __name__ == "__main__":
    main()

"""The server of the tests' page: the page, what it loads, what it reports, and SockJS to talk to.

It listens on two ports. The page is of ``http://localhost`` on the one; endpoints of the same
origin are there, and those of another at ``http://127.0.0.1`` on the other.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from roomline.transport import TRANSPORTS, Endpoint, TransportSettings, server_limits
from roomline.transport.pages import client_path
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.browsers.matrix import CLIENTS
from tests.client.js_pages import DIST
from tests.transport.servers import Behaviour, Client, OurApplication

PREFIX = "/talk"
SCRIPTS = {
    "roomline.js": DIST / "roomline.umd.js",
    "harness.js": Path(__file__).with_name("harness.js"),
}
REASON = 'as "you" wish </script> \u2028 é'
CLOSING = (3500, REASON)

PAGE = """<!DOCTYPE html>
<html>
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1>{title}</h1>
<p id="agent"></p>
<ol id="reports"></ol>
<script>
// Engines that still have it compare it, and the page of htmlfile sets it.
document.domain = document.domain;
document.getElementById("agent").appendChild(document.createTextNode(navigator.userAgent));
var setup = {setup};
var clients = {{}};
</script>
{scripts}
<script src="/scripts/roomline.js"></script>
<script src="/scripts/harness.js"></script>
<script>{begin}();</script>
</body>
</html>
"""


class Talking(Behaviour):
    """Echoes; the first message of a session is its name, and ``close`` asks for the end."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: dict[str, list[str]] = {}
        """What each named session sent after its name."""
        self.names: dict[Client, str] = {}

    def message(self, client: Client, text: str) -> None:
        if client not in self.names:
            self.names[client] = text
            self.heard[text] = []
        else:
            self.heard[self.names[client]].append(text)
        client.send(text)
        if text == "close":
            client.close(*CLOSING)

    def has_left(self, name: str) -> bool:
        """Whether the session of this name is over."""
        return any(self.names.get(client) == name for client in self.left)


class Site:
    """`serving` makes it."""

    def __init__(self, port: int, other_port: int) -> None:
        self.port = port
        self.behaviour = Talking()
        self.reports: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        """What the page says, each with its name."""
        self.origins = {
            "same": f"http://localhost:{port}",
            "cross": f"http://127.0.0.1:{other_port}",
        }
        self.setup: dict[str, Any] = {}
        self.begin = ""

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"{self.origins['same']}/page"

    def page(self) -> str:
        clients = [
            f'<script src="{PREFIX}{client_path(version)}"></script>\n'
            f'<script>clients["{version}"] = SockJS;</script>'
            for version in CLIENTS
        ]
        return PAGE.format(
            title=self.begin,
            # In ASCII, and nothing in it ends the script.
            setup=json.dumps(self.setup).replace("<", "\\u003c"),
            scripts="\n".join(clients),
            begin=self.begin,
        )


class PageHandler(RequestHandler):
    def initialize(self, site: Site) -> None:
        self.site = site

    def prepare(self) -> None:
        # What comes next over this connection may be for somebody else: see `Front`.
        self.set_header("Connection", "close")

    def get(self) -> None:
        self.write(self.site.page())


class ScriptHandler(PageHandler):
    def get(self, name: str) -> None:
        self.set_header("Content-Type", "application/javascript; charset=utf-8")
        self.write(SCRIPTS[name].read_bytes())


class ReportHandler(PageHandler):
    def prepare(self) -> None:
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Allow-Headers", "*, Content-Type, Origin, Accept")

    def options(self) -> None:
        """Old engines ask."""
        self.set_status(204)

    def post(self) -> None:
        name, value = json.loads(self.request.body)
        self.site.reports.put_nowait((name, value))


@asynccontextmanager
async def serving() -> AsyncIterator[Site]:
    """A running site."""
    listening = [*bind_sockets(0, "127.0.0.1"), *bind_sockets(0, "127.0.0.1")]
    site = Site(*[socket.getsockname()[1] for socket in listening])
    settings = TransportSettings(
        prefix=PREFIX,
        allowed_origins=frozenset({site.origins["same"]}),
        transports=TRANSPORTS,
        response_limit=4096,
        disconnect_delay=2.0,
    )
    endpoint = Endpoint(OurApplication(site.behaviour, 1 << 20), settings)
    this = {"site": site}
    routes = Application(
        [
            (r"/page", PageHandler, this),
            (r"/scripts/(.+)", ScriptHandler, this),
            (r"/report", ReportHandler, this),
            *endpoint.urls,
        ],
        log_function=lambda handler: None,
    )
    server = HTTPServer(routes, **server_limits(settings))
    server.add_sockets(listening)
    try:
        yield site
    finally:
        server.stop()
        await server.close_all_connections()
        endpoint.close()

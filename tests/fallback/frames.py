"""Tabs in browsers that no program steers: one page of theirs opens a frame for each."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.client.js_pages import DIST, SOCKJS
from tests.fallback.tab import SCRIPT, Tab
from tests.fallback.ways import Way

_SCRIPTS = {"sockjs.js": SOCKJS, "roomline.js": DIST / "roomline.umd.js", "page.js": SCRIPT}

_PAGE = """<!DOCTYPE html>
<title>Frames</title>
<script>
(function next() {
  var request = new XMLHttpRequest();
  request.open("GET", "/next?" + Math.random());
  request.onload = function () {
    var frame = document.createElement("iframe");
    frame.src = request.responseText;
    document.documentElement.appendChild(frame);
    next();
  };
  request.send();
})();
</script>
"""

_FRAME = """<!DOCTYPE html>
<title>Frame %(number)d</title>
<script>
var waiting = [];
function send() {
  var request = new XMLHttpRequest();
  request.open("POST", "/reports/%(number)d");
  request.setRequestHeader("Content-Type", "application/json");
  // The next one afterwards, so that they stay in order.
  request.onload = function () {
    waiting.shift();
    if (waiting.length > 0) send();
  };
  request.send(waiting[0]);
}
function report(value) {
  waiting.push(JSON.stringify(value));
  if (waiting.length === 1) send();
}
window.onerror = function (message) { report(["failure", message]); };
%(without)s
</script>
<script src="/scripts/sockjs.js"></script>
<script src="/scripts/roomline.js"></script>
<script src="/scripts/page.js"></script>
<script>(function (url) { %(expression)s })(%(url)s);</script>
"""


class Frames:
    """`serving` makes it."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://localhost:{port}"
        """Of all frames: endpoints must admit it."""
        self.wanted: asyncio.Queue[str] = asyncio.Queue()
        self.pages: list[str] = []
        self.tabs: list[Tab] = []

    def open(self, way: Way, address: str, expression: str) -> Tab:
        """A frame that evaluates an expression, which may use `url` and `report`."""
        number = len(self.tabs)
        tab = Tab(address)
        self.tabs.append(tab)
        without = " ".join(f"window.{name} = undefined;" for name in way.without)
        words = {"number": number, "without": without, "url": json.dumps(address)}
        self.pages.append(_FRAME % (words | {"expression": expression}))
        self.wanted.put_nowait(f"/frames/{number}")
        return tab


class _Handler(RequestHandler):
    def initialize(self, frames: Frames) -> None:
        self.frames = frames
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> None:
        return None


class _Page(_Handler):
    def get(self) -> None:
        self.write(_PAGE)


class _Next(_Handler):
    async def get(self) -> None:
        self.write(await self.frames.wanted.get())


class _Frame(_Handler):
    def get(self, number: str) -> None:
        self.write(self.frames.pages[int(number)])


class _Script(_Handler):
    def get(self, name: str) -> None:
        self.set_header("Content-Type", "application/javascript; charset=utf-8")
        self.write(_SCRIPTS[name].read_bytes())


class _Report(_Handler):
    def post(self, number: str) -> None:
        tab = self.frames.tabs[int(number)]
        report = json.loads(self.request.body)
        if report[0] == "failure":
            tab.failures.append(str(report[1]))
        else:
            tab.hear(report)


@asynccontextmanager
async def serving() -> AsyncIterator[Frames]:
    """A server of frames; a browser is to open `origin`."""
    [listening] = bind_sockets(0, "127.0.0.1")
    frames = Frames(listening.getsockname()[1])
    paths = {
        r"/": _Page,
        r"/next": _Next,
        r"/frames/(\d+)": _Frame,
        r"/scripts/(.+)": _Script,
        r"/reports/(\d+)": _Report,
    }
    routes = [(path, handler, {"frames": frames}) for path, handler in paths.items()]
    server = HTTPServer(Application(routes, log_function=lambda handler: None))
    server.add_sockets([listening])
    try:
        yield frames
    finally:
        server.stop()
        await server.close_all_connections()

"""docs/transports.rst: its reasons and times are the client's, and its listener hears a report."""

import json
import re
import subprocess
from pathlib import Path

from roomline.core.fallbacks import REASONS, SOCKJS_TRANSPORTS

from tests.docs.pages import ROOT, snippet, table

PAGE = "docs/transports.rst"
CLIENT = ROOT / "js-client"

SCRIPT = """
const { Roomline } = require(%(client)s);
let socket;
function SockJS(url, protocols, options) {
  socket = this;
  void options.transportOptions["websocket"];
  void options.transportOptions["xhr-streaming"];
  this.transport = "xhr-streaming";
  this.close = () => undefined;
  this.send = (text) => {
    const { id } = JSON.parse(text);
    const welcome = { id, type: "connected", limits: {}, expires_in: null, rooms: [] };
    socket.onmessage({ data: JSON.stringify(welcome) });
    client.disconnect();
  };
  setTimeout(() => socket.onopen({}), 0);
}
const client = new Roomline("http://a", { SockJS });
const showTransport = (...told) => console.log(JSON.stringify(told));
%(snippet)s
client.connect();
"""


def test_the_reasons() -> None:
    assert {reason for reason, *_ in table(PAGE, "reasons")} == REASONS


def test_the_transports() -> None:
    named = set(re.findall(r"``([\w-]+)``", (ROOT / PAGE).read_text()))
    assert named >= SOCKJS_TRANSPORTS


def test_the_times() -> None:
    settings = (CLIENT / "src/settings.ts").read_text()
    assert re.findall(r"\w+: \d+", settings[settings.index("const FALLBACK") :])[:3] == re.findall(
        r"\w+: \d+",
        " ".join(re.search(r"\{ deliver.*?\}", (ROOT / PAGE).read_text(), re.S)[0].split()),
    )


def test_the_listener(tmp_path: Path) -> None:
    """With the bundle in Node.js and a SockJS that falls back from websocket."""
    script = tmp_path / "page.cjs"
    client = json.dumps(str(CLIENT / "dist/roomline.umd.js"))
    script.write_text(
        SCRIPT % {"client": client, "snippet": snippet(PAGE, "transport-report").text}
    )
    done = subprocess.run(["node", script], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ('["xhr-streaming",true]\n', "")

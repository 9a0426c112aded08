"""How each HTTP transport carries frames to a client, and messages from it: the protocol's text
as a table."""

import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.transport.clients import Connection, Response, ask, connected

ECHO = "/echo"
CLOSE = "/close"
COOKIES = "/cookie_needed_echo"

PAGE = {"Origin": "test"}
"""A page whose origin the conformance server lists."""
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

OPEN = "o"
GO_AWAY = 'c[3000,"Go away!"]'
SECOND = 'c[2010,"Another connection still open"]'
INTERRUPTED = 'c[1002,"Connection interrupted"]'

HTMLFILE = """<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.callback;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>
"""

_ids = itertools.count()


def session(prefix: str = ECHO) -> str:
    """The path of a session that nobody has used."""
    return f"{prefix}/000/session{next(_ids)}"


@dataclass(frozen=True)
class Carrier:
    """One receiving request."""

    name: str
    """The last part of its path."""
    transport: str
    """What SockJS calls it."""
    method: str
    content_type: str
    before: bytes
    after: bytes
    prelude: bytes = b""
    """What a stream begins with, but for blanks at its end. Nothing: it is no stream."""
    scripted: bool = False
    """Whether frames are strings of a script, and the path names a function."""
    percent: str = "%"
    """What stands for a percent sign: sockjs-client decodes the data of events."""
    sends_by: str = "xhr_send"

    @property
    def streams(self) -> bool:
        return bool(self.prelude)

    def path(self, session: str) -> str:
        return f"{session}/{self.name}" + ("?c=%63allback" if self.scripted else "")

    def wrap(self, frame: str) -> bytes:
        """The bytes that carry a frame, which must not contain what ends a script."""
        text = json.dumps(frame, ensure_ascii=False) if self.scripted else frame
        text = text.replace("%", self.percent)
        return self.before + text.encode() + self.after

    def unwrap(self, data: bytes) -> str:
        """The frame that these bytes carry, and nothing else."""
        assert data.startswith(self.before), data
        assert data.endswith(self.after), data
        text = data[len(self.before) : -len(self.after)].decode()
        assert text.count("%") == text.count(self.percent)
        text = text.replace(self.percent, "%")
        if not self.scripted:
            return text
        assert not re.search("[<\r\n\u2028\u2029]", text), "it could end the script"
        frame: str = json.loads(text)
        return frame

    def __str__(self) -> str:
        return self.name


XHR = Carrier("xhr", "xhr-polling", "POST", "application/javascript; charset=UTF-8", b"", b"\n")
XHR_STREAMING = Carrier(
    "xhr_streaming",
    "xhr-streaming",
    "POST",
    "application/javascript; charset=UTF-8",
    *(b"", b"\n"),
    prelude=b"h" * 2048 + b"\n",
)
EVENTSOURCE = Carrier(
    *("eventsource", "eventsource", "GET", "text/event-stream"),
    *(b"data: ", b"\r\n\r\n"),
    prelude=b"\r\n",
    percent="%25",
)
JSONP = Carrier(
    *("jsonp", "jsonp-polling", "GET", "application/javascript; charset=UTF-8"),
    *(b"/**/callback(", b");\r\n"),
    scripted=True,
    sends_by="jsonp_send",
)
HTML = Carrier(
    *("htmlfile", "htmlfile", "GET", "text/html; charset=UTF-8"),
    *(b"<script>\np(", b");\n</script>\r\n"),
    prelude=HTMLFILE.encode(),
    scripted=True,
)

CARRIERS = [XHR, XHR_STREAMING, EVENTSOURCE, JSONP, HTML]
carriers = pytest.mark.parametrize("carrier", CARRIERS, ids=str)
streams = pytest.mark.parametrize("carrier", [each for each in CARRIERS if each.streams], ids=str)
polls = pytest.mark.parametrize("carrier", [each for each in CARRIERS if not each.streams], ids=str)


class Frames:
    """The frames of one session, by as many requests as its transport needs."""

    def __init__(self, port: int, session: str, carrier: Carrier, connection: Connection) -> None:
        self.connection = connection
        self.response: Response
        self._port = port
        self._session = session
        self._carrier = carrier

    async def ask(self, headers: dict[str, str] | None = None) -> None:
        """Send the request that receives."""
        self.response = await self.connection.request(
            self._carrier.method, self._carrier.path(self._session), headers=headers
        )
        assert self.response.status == 200, self.response
        if self._carrier.streams:
            prelude = await self.connection.chunk()
            assert prelude.rstrip() == self._carrier.prelude.rstrip()

    async def next(self) -> str:
        """The next frame."""
        if self._carrier.streams:
            return self._carrier.unwrap(await self.connection.chunk())
        await self.ask()
        return self._carrier.unwrap(await self.connection.body(self.response))

    async def messages(self, count: int) -> list[str]:
        """The next messages, however many there are in a frame."""
        found: list[str] = []
        while len(found) < count:
            frame = await self.next()
            assert frame[0] == "a", frame
            found += json.loads(frame[1:])
        return found

    async def ended(self) -> bool:
        """Whether the response ends here, as every answer to a poll does."""
        return not self._carrier.streams or await self.connection.chunk() == b""


@asynccontextmanager
async def receiving(
    port: int, session: str, carrier: Carrier, headers: dict[str, str] | None = None
) -> AsyncIterator[Frames]:
    """A session's frames; a stream is open, and its prelude has been read."""
    async with connected(port) as connection:
        frames = Frames(port, session, carrier, connection)
        if carrier.streams:
            await frames.ask(headers)
        yield frames


async def send(
    port: int, session: str, *messages: Any, by: str = "xhr_send", **options: Any
) -> Response:
    """Send messages as the transport does."""
    return await send_text(port, session, json.dumps(messages), by=by, **options)


async def send_text(
    port: int,
    session: str,
    text: str,
    *,
    by: str = "xhr_send",
    headers: dict[str, str] | None = None,
) -> Response:
    """Send a text that may be no array of messages."""
    headers = headers or {}
    if by == "jsonp_send":
        headers = FORM | headers
        if headers["Content-Type"] == FORM["Content-Type"]:
            text = urlencode({"d": text})
    return await ask(port, "POST", f"{session}/{by}", text, headers)

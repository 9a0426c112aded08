"""jsonp-polling and htmlfile: answers that browsers run as scripts."""

import json
import re
from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import pytest
from roomline.transport import TRANSPORTS
from roomline.transport.pages import CLIENTS

from tests.transport.clients import Response, ask, connected
from tests.transport.servers import PREFIX, Behaviour, Client, Kind, Server, serving, until

pytestmark = pytest.mark.timeout(20)

PAGE = "https://page.example"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TRICKY = [
    "plain",
    "\U0001f600 \u00e9",
    "</script><script>steal()</script>",
    "<!--<script>",
    "line\u2028and\u2029end",
    "nul\x00and\x1f\"'\\",
    "x" * 60_000,
]


class EchoOrClose(Behaviour):
    """An echo; but closes after answering ``close``."""

    def message(self, client: Client, text: str) -> None:
        client.send(text)
        if text == "close":
            client.close(3456, 'be"gone</script>')


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(
        "ours", EchoOrClose(), transports=TRANSPORTS, allowed_origins=frozenset({PAGE})
    ) as server:
        yield server


def own(server: Server, path: str = "/a/page?with=query") -> dict[str, str]:
    return {"Referer": f"http://127.0.0.1:{server.port}{path}"}


async def jsonp(server: Server, session: str, callback: str = "_jp.a1b2") -> str:
    """The frame that a poll brings."""
    response = await ask(
        server.port, "GET", f"{session}/jsonp?c={quote(callback)}", headers=own(server)
    )
    assert response.status == 200, response
    return frame_of(response, callback)


def frame_of(response: Response, callback: str) -> str:
    match = re.fullmatch(
        rb"/\*\*/" + re.escape(callback.encode()) + rb'\(("[^\r\n]*")\);\r\n', response.body
    )
    assert match, response.body
    # Neither a tag, nor what ends a line in a script, nor anything that is not UTF-8.
    assert "<" not in match[1].decode()
    assert not re.search("[\u2028\u2029\ud800-\udfff]", match[1].decode())
    frame: str = json.loads(match[1])
    return frame


async def jsonp_send(server: Server, session: str, *messages: str) -> Response:
    body = urlencode({"d": json.dumps(messages)})
    return await ask(server.port, "POST", f"{session}/jsonp_send", body, own(server) | FORM)


async def test_jsonp_there_and_back(server: Server) -> None:
    session = server.session()
    response = await ask(server.port, "GET", f"{session}/jsonp?c=x", headers=own(server))
    assert response.body == b'/**/x("o");\r\n'
    assert response["Content-Type"] == "application/javascript; charset=UTF-8"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in (response["Cache-Control"] or "")
    assert response["Vary"] == "Origin, Referer"
    for text in TRICKY:
        sent = await jsonp_send(server, session, text)
        assert (sent.status, sent.body) == (200, b"ok")
        assert sent["Content-Type"] == "text/plain; charset=UTF-8"
        assert sent["X-Content-Type-Options"] == "nosniff"
        assert json.loads((await jsonp(server, session))[1:]) == [text]


async def test_half_a_surrogate_pair_by_jsonp(server: Server) -> None:
    session = server.session()
    assert await jsonp(server, session) == "o"
    body = urlencode({"d": '["\\ud800"]'})
    await ask(server.port, "POST", f"{session}/jsonp_send", body, own(server) | FORM)
    assert await jsonp(server, session) == 'a["\\ud800"]'


async def test_messages_in_a_body_that_is_no_form(server: Server) -> None:
    session = server.session()
    assert await jsonp(server, session) == "o"
    headers = own(server) | {"Content-Type": "text/plain"}
    sent = await ask(server.port, "POST", f"{session}/jsonp_send", '["a","b"]', headers)
    assert sent.body == b"ok"
    assert await jsonp(server, session) == 'a["a","b"]'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", b"Payload expected."),
        ("d=", b"Payload expected."),
        ("x=1", b"Payload expected."),
        ("d=%22text%22", b"Payload expected."),
        ("d=%5B", b"Broken JSON encoding."),
        ("d=%ff", b"Broken JSON encoding."),
        ("&".join(["d=1"] * 20), b"Broken JSON encoding."),
        ("d=é", b"Broken JSON encoding."),
    ],
)
async def test_forms_that_say_nothing(server: Server, body: str, said: bytes) -> None:
    session = server.session()
    assert await jsonp(server, session) == "o"
    sent = await ask(server.port, "POST", f"{session}/jsonp_send", body, own(server) | FORM)
    assert (sent.status, sent.body) == (500, said)
    await jsonp_send(server, session, "still there")
    assert await jsonp(server, session) == 'a["still there"]'


async def test_a_form_for_a_session_that_is_not_there(server: Server) -> None:
    assert (await jsonp_send(server, server.session(), "x")).status == 404


async def test_a_form_that_is_too_long(server: Server) -> None:
    session = server.session()
    assert await jsonp(server, session) == "o"
    body = urlencode({"d": json.dumps(["x" * 600_000])})
    sent = await ask(server.port, "POST", f"{session}/jsonp_send", body, own(server) | FORM)
    assert sent.status == 413
    assert (await jsonp(server, session)).startswith("c[3")


async def test_what_is_said_before_the_close_arrives(server: Server) -> None:
    session = server.session()
    assert await jsonp(server, session) == "o"
    await jsonp_send(server, session, "close")
    assert await jsonp(server, session) == 'a["close"]'
    for _ in range(2):
        assert await jsonp(server, session) == 'c[3456,"be\\"gone</script>"]'


async def test_a_second_poll(server: Server) -> None:
    session = server.session()
    assert await jsonp(server, session) == "o"
    async with connected(server.port) as first:
        first.writer.write(
            f"GET {session}/jsonp?c=x HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Referer: http://127.0.0.1:{server.port}/\r\n\r\n".encode()
        )
        [client] = server.behaviour.clients
        await until(lambda: client.link.handler is not None)  # type: ignore[attr-defined]
        assert await jsonp(server, session) == 'c[2010,"Another connection still open"]'


# What names a function, and who may ask.


@pytest.mark.parametrize("name", ["jsonp", "htmlfile"])
@pytest.mark.parametrize("query", ["", "?c=", "?x=1", "?c=%20", "?callback="])
async def test_without_a_function(server: Server, name: str, query: str) -> None:
    response = await ask(
        server.port, "GET", f"{server.session()}/{name}{query}", headers=own(server)
    )
    assert response.status == 500
    assert response.body in (b'"callback" parameter required', b'invalid "callback" parameter')
    assert response["Content-Type"] == "text/plain; charset=UTF-8"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert not server.behaviour.clients


@pytest.mark.parametrize("name", ["jsonp", "htmlfile"])
@pytest.mark.parametrize(
    "callback",
    [
        *("alert(1)//", "a;b", "a b", "a\nb", "a\u2028", "<script>", "</script>", "a'", 'a"', "a["),
        *("a%20", "é", "a\x00", "x" * 129, "a=b", "(", "a,b", "`", "{"),
    ],
)
async def test_what_is_no_functions_name(server: Server, name: str, callback: str) -> None:
    path = f"{server.session()}/{name}?c={quote(callback)}"
    response = await ask(server.port, "GET", path, headers=own(server))
    assert (response.status, response.body) == (500, b'invalid "callback" parameter')
    assert not server.behaviour.clients


@pytest.mark.parametrize("name", ["jsonp", "htmlfile"])
@pytest.mark.parametrize("callback", ["%ff", "*", "abc(", "$", "%2e%00", "f&c=%0a"])
async def test_what_is_no_text_or_nearly_a_name(server: Server, name: str, callback: str) -> None:
    path = f"{server.session()}/{name}?c={callback}"
    response = await ask(server.port, "GET", path, headers=own(server))
    assert (response.status, response.body) == (500, b'invalid "callback" parameter')


async def test_the_other_name_of_the_parameter(server: Server) -> None:
    response = await ask(
        server.port, "GET", f"{server.session()}/jsonp?callback=f", headers=own(server)
    )
    assert frame_of(response, "f") == "o"


def pages(server: Server) -> dict[str, tuple[dict[str, str], bool]]:
    """Where a request says that it is from, and whether it is let in."""
    port = server.port
    return {
        "own": ({"Referer": f"http://127.0.0.1:{port}/x"}, True),
        "listed": ({"Referer": f"{PAGE}/deep/page"}, True),
        "listed, with its port": ({"Referer": f"{PAGE}:443/"}, True),
        "an origin of a form": ({"Origin": PAGE}, True),
        "nothing": ({}, False),
        "empty": ({"Referer": ""}, False),
        "foreign": ({"Referer": "https://evil.example/"}, False),
        "foreign origin, own referer": (
            {"Origin": "https://evil.example", "Referer": f"http://127.0.0.1:{port}/"},
            False,
        ),
        "null origin": ({"Origin": "null"}, False),
        "other port": ({"Referer": f"http://127.0.0.1:{port + 1}/"}, False),
        "other scheme": ({"Referer": f"https://127.0.0.1:{port}/"}, False),
        "as a prefix": ({"Referer": f"{PAGE}.evil.example/"}, False),
        "as a user": ({"Referer": f"{PAGE}@evil.example/"}, False),
        "as a path": ({"Referer": f"https://evil.example/{PAGE}"}, False),
        "a file": ({"Referer": "file:///page.html"}, False),
        "no address": ({"Referer": "https://[::1/"}, False),
    }


@pytest.mark.parametrize("name", ["jsonp", "htmlfile", "jsonp_send"])
async def test_pages_that_are_foreign_or_do_not_say(server: Server, name: str) -> None:
    for case, (headers, admitted) in pages(server).items():
        session = server.session()
        if name == "jsonp_send":
            assert await jsonp(server, session) == "o"
            response = await ask(server.port, "POST", f"{session}/jsonp_send", '["x"]', headers)
        else:
            async with connected(server.port) as connection:
                response = await connection.request("GET", f"{session}/{name}?c=f", headers=headers)
        assert response.status == (200 if admitted else 403), case
    # What was refused has opened nothing and said nothing.
    admitted_pages = sum(admitted for _, admitted in pages(server).values())
    if name == "jsonp_send":
        assert server.behaviour.received == ["x"] * admitted_pages
    else:
        assert len(server.behaviour.clients) == admitted_pages


# htmlfile.


class HtmlFile:
    """A page that does not end, read script by script."""

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def frames(self) -> list[str]:
        found = re.findall(r"<script>\np\((\".*\")\);\n</script>\r\n", self.text)
        return [json.loads(each) for each in found]


async def test_htmlfile(server: Server) -> None:
    session = server.session()
    async with connected(server.port) as connection:
        response = await connection.request(
            "GET", f"{session}/htmlfile?c=parent.f", headers=own(server)
        )
        assert response.status == 200
        assert response["Content-Type"] == "text/html; charset=UTF-8"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'unsafe-inline'"
        )
        page = (await connection.chunk()).decode()
        assert len(page) >= 1024, "less is not shown"
        assert page.startswith("<!doctype html>\n")
        assert "    var c = parent.parent.f;\n    c.start();\n" in page
        assert await connection.chunk() == b'<script>\np("o");\n</script>\r\n'
        for text in TRICKY:
            headers = {"Origin": PAGE}
            sent = await ask(
                server.port, "POST", f"{session}/xhr_send", json.dumps([text]), headers
            )
            assert sent.status == 204
            chunk = (await connection.chunk()).decode()
            assert chunk.count("<") == 2, "its own tags alone"
            [frame] = HtmlFile(chunk).frames
            assert json.loads(frame[1:]) == [text]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_htmlfile_ends(version: str) -> None:
    """At its limit, and, where nothing else tells, with the connection."""
    async with serving("ours", EchoOrClose(), transports=TRANSPORTS, response_limit=4096) as server:
        session = server.session()
        async with connected(server.port) as connection:
            await connection.request(
                "GET", f"{session}/htmlfile?c=f", headers=own(server), version=version
            )
            await until(lambda: server.behaviour.clients)
            [client] = server.behaviour.clients
            for _ in range(3):
                client.send("x" * 2000)
            if version == "1.0":
                assert await connection.closed()
            else:
                text = b""
                while chunk := await connection.chunk():
                    text += chunk
                assert text.count(b"xxx" * 600) == 2, "the third waits for the next response"


@pytest.mark.parametrize("kind", ["ours", "unmodified"])
async def test_a_message_that_ends_the_script(kind: Kind) -> None:
    """The defect is shown on the unmodified package."""
    async with serving(kind, EchoOrClose(), transports=TRANSPORTS) as server:
        session = server.session()
        async with connected(server.port) as connection:
            await connection.request("GET", f"{session}/htmlfile?c=f", headers=own(server))
            await until(lambda: server.behaviour.clients)
            server.behaviour.clients[0].send("</script><script>steal()</script>")
            text = b""
            while b"steal" not in text:
                text += await connection.chunk()
            assert (b"<script>steal()</script>" in text) == (kind == "unmodified")


# Behind the setting.


@pytest.mark.parametrize(
    ("left_out", "method", "path"),
    [
        ("jsonp-polling", "GET", "jsonp?c=f"),
        ("jsonp-polling", "POST", "jsonp_send"),
        ("htmlfile", "GET", "htmlfile?c=f"),
        ("eventsource", "GET", "eventsource"),
        ("iframe", "GET", "../../iframe.html"),
        ("iframe", "GET", "../../sockjs-frame.js"),
    ],
)
async def test_a_transport_that_is_not_on_offer(left_out: str, method: str, path: str) -> None:
    async with serving("ours", transports=TRANSPORTS - {left_out}) as server:
        where = f"{PREFIX}{path[5:]}" if path.startswith("..") else f"{server.session()}/{path}"
        assert (await ask(server.port, method, where, headers=own(server))).status == 404


async def test_scripts_are_not_on_offer_by_default() -> None:
    async with serving("ours") as server:
        for name in ("jsonp", "htmlfile"):
            path = f"{server.session()}/{name}?c=f"
            assert (await ask(server.port, "GET", path, headers=own(server))).status == 404
        assert (await ask(server.port, "GET", f"{PREFIX}/iframe.html")).status == 200


# The iframe page.


async def test_the_frame_runs_every_version(server: Server) -> None:
    """All ask for the same page, and it must run exactly that of the page around it."""
    response = await ask(server.port, "GET", f"{PREFIX}/iframe.html")
    [address] = re.findall(r'src="([^"]*)"', response.body.decode())
    script = await ask(server.port, "GET", address)
    assert script.status == 200
    for version, client in CLIENTS.items():
        assert client in script.body
        alone = await ask(server.port, "GET", f"{PREFIX}/sockjs-{version}.min.js")
        assert alone.body == client


async def test_the_frame_may_run_another_client() -> None:
    async with serving("ours", sockjs_url="https://static.example/sockjs.js") as server:
        response = await ask(server.port, "GET", f"{PREFIX}/iframe.html")
        assert b'<script src="https://static.example/sockjs.js"></script>' in response.body


async def test_the_frame_is_for_the_pages_that_may_connect(server: Server) -> None:
    response = await ask(server.port, "GET", f"{PREFIX}/iframe.html")
    assert response["Content-Security-Policy"] == f"frame-ancestors 'self' {PAGE}"
    assert response["X-Frame-Options"] is None, "it knows no list"
    async with serving("ours") as closed:
        response = await ask(closed.port, "GET", f"{PREFIX}/iframe.html")
        assert response["Content-Security-Policy"] == "frame-ancestors 'self'"
        assert response["X-Frame-Options"] == "SAMEORIGIN"

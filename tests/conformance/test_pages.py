"""What an endpoint serves beside sessions: the greeting, information, and the iframe page."""

import json
import re
from email.utils import parsedate_to_datetime

import pytest

from tests.conformance.carriers import ECHO, PAGE
from tests.transport.clients import ask, connected

pytestmark = pytest.mark.timeout(20)

NOT_CACHED = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
YEAR = "public, max-age=31536000"

IFRAME = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="/echo/sockjs-frame.js"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>
"""


@pytest.mark.parametrize("path", ["", "/"])
async def test_the_greeting(port: int, path: str) -> None:
    response = await ask(port, "GET", ECHO + path)
    assert response.status == 200
    assert response["Content-Type"] == "text/plain; charset=UTF-8"
    assert response.body == b"Welcome to SockJS!\n"
    assert response["Set-Cookie"] is None
    assert response["Server"] is None


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_page_has_a_length_and_its_connection_is_kept(port: int, version: str) -> None:
    async with connected(port) as connection:
        for _ in range(2):
            response = await connection.request(
                "GET", ECHO, headers={"Connection": "Keep-Alive"}, version=version
            )
            assert response["Transfer-Encoding"] is None
            assert response["Content-Length"] == "19"
            assert await connection.body(response) == b"Welcome to SockJS!\n"


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        *("/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/", "/websocket/", "/info/"),
        *("//xhr", "/a./a/xhr", "/a/a./xhr", "/./../xhr", "/./xhr", "///xhr", "/a.b/c/xhr"),
        *("/a/b/c/xhr", "/000//xhr", "/000/abc/xhr/", "/000/abc/nothing", "/000/abc/XHR"),
        *("/iframe", "/iframe.htm", "/IFRAME", "/IFRAME.HTML", "/iframe.HTML", "/iframe.xml"),
        *("/iframe-/.html", "/iframeXhtml", "/sockjs-1x6x1.min.js", "/chunking_test"),
        *("/a.b/c/jsonp", "/a/b.c/htmlfile", "/a.b/c/websocket", "/a/b.c/xhr_send"),
    ],
)
async def test_nothing_else_is_found(port: int, method: str, path: str) -> None:
    response = await ask(port, method, ECHO + path)
    assert response.status == 404
    assert response.body == b""
    assert response["Content-Type"] is None


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("", "GET, HEAD"),
        ("/info", "OPTIONS, GET"),
        ("/iframe.html", "GET, HEAD"),
        ("/000/abc/xhr", "OPTIONS, POST"),
        ("/000/abc/xhr_send", "OPTIONS, POST"),
        ("/000/abc/xhr_streaming", "OPTIONS, POST"),
        ("/000/abc/eventsource", "OPTIONS, GET"),
        ("/000/abc/htmlfile?c=x", "OPTIONS, GET"),
        ("/000/abc/jsonp?c=x", "OPTIONS, GET"),
        ("/000/abc/jsonp_send", "OPTIONS, POST"),
        ("/000/abc/websocket", "GET"),
        ("/websocket", "GET"),
    ],
)
async def test_other_methods_are_refused(port: int, path: str, allowed: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        if method not in allowed:
            response = await ask(port, method, ECHO + path)
            assert response.status == 405, method
            assert response.body == b""
            assert response["Content-Type"] is None
            assert response["Allow"] == allowed


@pytest.mark.parametrize(
    "name",
    [
        *("", "-a", "-", "-0.1.2", "-0.1.2abc-dirty.2144", "-0.1.2?t=1234", "?t=qwe"),
        "-0.1.2abc-dirty.2144?t=qweqweq123",
    ],
)
async def test_the_iframe_page(port: int, name: str) -> None:
    name, _, query = name.partition("?")
    path = f"{ECHO}/iframe{name}.html"
    response = await ask(port, "GET", f"{path}?{query}" if query else path)
    assert response.status == 200
    assert response["Content-Type"] == "text/html; charset=UTF-8"
    assert response["Cache-Control"] == YEAR
    assert parsedate_to_datetime(response["Expires"] or "")
    assert response["Last-Modified"] is response["Set-Cookie"] is None
    assert response.body.decode() == IFRAME
    etag = response["ETag"] or ""
    assert re.fullmatch(r'"[0-9a-f]{40,}"', etag)
    again = await ask(port, "GET", path, headers={"If-None-Match": etag})
    assert (again.status, again.body, again["Content-Type"]) == (304, b"", None)
    changed = await ask(port, "GET", path, headers={"If-None-Match": '"another"'})
    assert (changed.status, changed["ETag"]) == (200, etag)


@pytest.mark.parametrize("name", ["sockjs-frame.js", "sockjs-1.6.1.min.js", "sockjs-0.3.4.min.js"])
async def test_scripts(port: int, name: str) -> None:
    response = await ask(port, "GET", f"{ECHO}/{name}")
    assert response.status == 200
    assert response["Content-Type"] == "application/javascript; charset=UTF-8"
    assert response["Cache-Control"] == YEAR
    assert response["X-Content-Type-Options"] == "nosniff"
    assert re.fullmatch(r'"[0-9a-f]{40,}"', response["ETag"] or "")


@pytest.mark.parametrize("name", ["echo", "disabled_websocket_echo", "cookie_needed_echo"])
async def test_info(port: int, name: str) -> None:
    response = await ask(port, "GET", f"/{name}/info", headers=PAGE)
    assert response.status == 200
    assert response["Content-Type"] == "application/json; charset=UTF-8"
    assert response["Cache-Control"] == NOT_CACHED
    assert response["Expires"] is response["Last-Modified"] is response["Set-Cookie"] is None
    assert response["Access-Control-Allow-Origin"] == "test"
    assert response["Access-Control-Allow-Credentials"] == "true"
    info = json.loads(response.body)
    entropy = info.pop("entropy")
    assert type(entropy) is int
    assert 0 <= entropy < 2**32
    assert info == {
        "websocket": name != "disabled_websocket_echo",
        "cookie_needed": name == "cookie_needed_echo",
        "origins": ["*:*"],
    }
    anybody = await ask(port, "GET", f"/{name}/info")
    assert json.loads(anybody.body)["entropy"] != entropy
    assert anybody["Access-Control-Allow-Origin"] == "*"
    assert anybody["Access-Control-Allow-Credentials"] is None


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/info", "OPTIONS, GET"),
        ("/000/abc/xhr", "OPTIONS, POST"),
        ("/000/abc/xhr_send", "OPTIONS, POST"),
        ("/000/abc/xhr_streaming", "OPTIONS, POST"),
        ("/000/abc/eventsource", "OPTIONS, GET"),
        ("/000/abc/htmlfile", "OPTIONS, GET"),
        ("/000/abc/jsonp", "OPTIONS, GET"),
        ("/000/abc/jsonp_send", "OPTIONS, POST"),
    ],
)
async def test_preflight(port: int, path: str, methods: str) -> None:
    for origin in ("test", "null"):
        asked = {"Origin": origin, "Access-Control-Request-Headers": "a, b, c"}
        response = await ask(port, "OPTIONS", ECHO + path, headers=asked)
        assert response.status == 204
        assert response.body == b""
        assert response["Access-Control-Allow-Origin"] == origin
        assert response["Access-Control-Allow-Credentials"] == "true"
        assert response["Access-Control-Allow-Methods"] == methods
        assert response["Access-Control-Allow-Headers"] == "a, b, c"
        assert int(response["Access-Control-Max-Age"] or "") > 1_000_000
        assert response["Cache-Control"] == YEAR
        assert parsedate_to_datetime(response["Expires"] or "")
        assert (response["Vary"] or "").startswith("Origin")
        assert response["Set-Cookie"] is None
    for headers in ({}, {"Access-Control-Request-Headers": ""}):
        response = await ask(port, "OPTIONS", ECHO + path, headers=PAGE | headers)
        assert response["Access-Control-Allow-Origin"] == "test"
        assert response["Access-Control-Allow-Headers"] is None

"""roomline.cli.doctor.address: a gateway behind an nginx that passes everything on, and others."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from roomline.config import Settings
from roomline.config.values import BUILT_IN_NAMESPACES

from tests.doctor.examined import Examined, examine
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.rabbitmq import free_port
from tests.support.tokens import API_TOKEN, KEYS

PASSED_ON = """
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $sent_upgrade;
            proxy_buffering off;
            proxy_bind 127.0.0.9;
            set $sent_upgrade '';
            if ($http_upgrade) { set $sent_upgrade upgrade; }
"""
"""What a proxy should do; it is another machine than the visitor's, as far as addresses tell."""
PROXY = "127.0.0.9"

Look = Callable[..., Examined]


@pytest.fixture
def look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Look]:
    """Look at a gateway through an nginx with these directives."""
    began: list[Any] = []

    def look(
        directives: str, *, trusted: str = PROXY, path: str = "/roomline", **changes: Any
    ) -> Examined:
        gateway = Gateway(
            f"embedded:{tmp_path}/log.sqlite3",
            TRUSTED_PROXIES=trusted,
            SESSIONS="1000",
        )
        began.append(gateway)
        gateway.start()
        port = int(gateway.url.removesuffix("/roomline").rpartition(":")[2])
        nginx = Nginx(tmp_path / "nginx", port, directives)
        began.append(nginx)
        settings = {
            "broker": gateway.broker,
            "namespaces": BUILT_IN_NAMESPACES,
            "internal_port": int(gateway.internal.rpartition(":")[2]),
            "api_tokens": (API_TOKEN,),
            "keys": KEYS,
            "sessions": 1000,
        }
        url = f"http://127.0.0.1:{nginx.port}{path}"
        return examine(Settings(**(settings | changes)), capsys, url=url)

    yield look
    for started in reversed(began):
        started.close()


@pytest.mark.slow
def test_a_proxy_that_does_what_it_should(look: Look):
    found = look(PASSED_ON)
    assert found.problems == []
    assert not [text for text in found.warnings if not text.startswith("file: ")]
    for transport in ("websocket", "xhr-streaming", "eventsource", "xhr-polling"):
        found.assert_one("fine", f"{transport} works: the first frame after 0.")
    found.assert_one("fine", "pages of http://127.0.0.1:", "may connect")
    found.assert_one("fine", "the gateway knows clients by their own address (here 127.0.0.1)")
    found.assert_one("fine", "agrees with that of the public address")


@pytest.mark.slow
def test_a_proxy_that_buffers_and_passes_no_upgrade(look: Look):
    """And another Host than the browser's. nginx buffers what it asked for by HTTP/1.0, unless it
    listens to the gateway, which asks it not to."""
    found = look("proxy_ignore_headers X-Accel-Buffering;")
    found.assert_one("problems", "websocket does not work")
    found.assert_one("problems", "xhr-streaming does not work", "something holds it back")
    found.assert_one("problems", "eventsource does not work", "something holds it back")
    found.assert_one("problems", "may not connect to its own server")
    found.assert_one("fine", "xhr-polling works")
    assert found.status == 1


@pytest.mark.slow
def test_a_proxy_that_nobody_trusts(look: Look):
    found = look(PASSED_ON, trusted="")
    assert found.problems == []
    found.assert_one("warnings", "takes this client, whose address is 127.0.0.1, for 127.0.0.9")


@pytest.mark.slow
def test_requests_of_one_session_that_reach_another_node(look: Look):
    found = look(PASSED_ON + "\nlocation ~ xhr_send { return 404; }\n", keys=None)
    found.assert_one("problems", "over xhr-streaming a session opens, and then breaks")
    found.assert_one("fine", "websocket works")
    found.assert_one("fine", "knows clients by their own address")


@pytest.mark.slow
def test_something_that_caches(look: Look):
    cached = json.dumps({"entropy": 1, "websocket": True})
    found = look(PASSED_ON + f"\nlocation = /roomline/info {{ return 200 '{cached}'; }}\n")
    found.assert_one("problems", "answers twice with the same number")


@pytest.mark.slow
def test_another_address(look: Look):
    found = look(PASSED_ON, path="/elsewhere")
    found.assert_one("problems", "/elsewhere/info does not answer as a gateway does", "404")


def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    url = f"http://127.0.0.1:{free_port()}/roomline"
    found = examine(Settings(broker=f"embedded:{tmp_path}/log"), capsys, url=url)
    found.assert_one("problems", "/info does not answer as a gateway does")
    found.assert_one("warnings", "clock is right cannot be told")

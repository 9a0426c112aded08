"""Stock sockjs-client in Chromium: which transport it falls back to, and how long that takes."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from roomline.transport.conformance import SETTINGS, Echo
from roomline.transport.endpoint import Endpoint
from roomline.transport.settings import server_limits
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from tests.fallback import ways
from tests.fallback.conftest import Open
from tests.fallback.ways import Way
from tests.support.until import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

SECONDS = 30.0
"""Within which even a machine that has much else to do falls back."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def echo() -> AsyncIterator[str]:
    """The address of an endpoint that sends everything back."""
    endpoint = Endpoint(Echo(), SETTINGS)
    server = HTTPServer(Application(endpoint.urls), **server_limits(SETTINGS))
    [socket] = bind_sockets(0, "127.0.0.1")
    server.add_sockets([socket])
    yield f"http://127.0.0.1:{socket.getsockname()[1]}{SETTINGS.prefix}"
    server.stop()
    endpoint.close()


def shown(way: Way, transport: str, milliseconds: float) -> None:
    print(f"\nsockjs-client | {way.name} | {transport} | {milliseconds / 1000:.2f} s")


@pytest.mark.parametrize(
    ("way", "transports"),
    [
        (ways.OPEN, {"websocket"}),
        (ways.NO_WEBSOCKET, {"xhr-streaming"}),
        (ways.REFUSED, {"xhr-streaming"}),
        (ways.HANGING, {"xhr-streaming"}),
        (ways.CUT_AT_ONCE, {"xhr-streaming"}),
        (ways.SWALLOWED, {"xhr-streaming"}),
        (ways.LUMPS, {"xhr-streaming"}),
        (ways.BUFFERED, {"xhr-polling"}),
        (ways.REFUSED_AND_BUFFERED, {"xhr-polling"}),
        (ways.HANGING_AND_BUFFERED, {"xhr-polling"}),
        (ways.NGINX_AS_IT_COMES, {"xhr-streaming"}),
    ],
    ids=lambda value: value.name if isinstance(value, Way) else None,
)
async def test_it_falls_back(echo: str, visit: Open, way: Way, transports: set[str]) -> None:
    tab = await visit(way, echo, "talk(url, report)")
    await until(lambda: tab.of("echoed"), within=SECONDS)
    [[transport, milliseconds]] = tab.of("opened")
    shown(way, transport, milliseconds)
    assert transport in transports
    assert [text for text, _ in tab.of("echoed")] == ["héllo"]
    assert tab.failures == []


async def test_it_does_not_notice_what_opens_and_then_swallows(echo: str, visit: Open) -> None:
    """Why the Roomline client watches on: the echo would come in milliseconds, and never does."""
    tab = await visit(
        ways.GREETED, echo, "talk(url, report); setTimeout(() => report(['later']), 3000)"
    )
    await until(lambda: tab.of("later"), within=SECONDS)
    assert [kind for kind, *_ in tab.reports] == ["opened", "later"]
    assert tab.of("opened")[0][0] == "websocket"


async def test_what_is_cut_later_is_closed_for_good(echo: str, visit: Open) -> None:
    tab = await visit(ways.CUT_AFTER_2, echo, "talk(url, report)")
    await until(lambda: tab.of("closed"), within=SECONDS)
    assert tab.of("opened")[0][0] == "websocket"
    assert tab.of("closed")[0][0] == 1006

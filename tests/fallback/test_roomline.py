"""The Roomline client in browsers: it gets through every way, and nothing is lost or repeated."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.browsers.engines import ENGINES
from tests.fallback import ways
from tests.fallback.conftest import Open
from tests.fallback.frames import serving
from tests.fallback.tab import Tab
from tests.fallback.ways import Way
from tests.support.gateway import Gateway
from tests.support.tokens import API_TOKEN
from tests.support.until import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

SECONDS = 60.0
"""Within which even a machine that has much else to do falls back."""

STREAMING = {"xhr-streaming", "eventsource"}
POLLING = {"xhr-polling", "jsonp-polling"}
Visit = Callable[[Way, str, str], Awaitable[Tab]]
"""Opens a page behind a way to an endpoint's URL, and evaluates an expression in it."""
STAGES = ("transport", "subscribed")
"""What a page reports of each connection, in order."""
OPTIONS = {"backoff": {"base": 100, "cap": 1000}}


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Gateway]:
    gateway = Gateway(f"embedded:{folder}/log.sqlite3", **settings)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as gateway:
        yield gateway


class Room:
    """A room, and what is published in it past the page, in order."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self._gateway = gateway
        self.name = name
        self.said: list[str] = []
        self.enough = asyncio.Event()

    async def say(self, text: str = "") -> None:
        """Publish a text, by default one of its own."""
        text = text or f"text {len(self.said)}"
        path = f"/api/rooms/{self.name}/publications"
        body = {"data": text}
        answer = await asyncio.to_thread(self._gateway.get, path, token=API_TOKEN, body=body)
        assert answer.status == 201, answer
        self.said.append(text)

    async def keep_talking(self) -> None:
        """Say something four times a second, until `enough` is set; then the last texts."""
        while not self.enough.is_set():
            await self.say()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.enough.wait(), 0.25)
        await self.say("last")
        await self.say("stop")


def follow(room: Room, **options: Any) -> str:
    """What a page evaluates to follow a room."""
    return f"follow(url, {json.dumps(room.name)}, {json.dumps(OPTIONS | options)}, report)"


async def connected(tab: Tab, transports: set[str], times: int = 1) -> dict[str, Any]:
    """The report of the connection by one of these, once the page has published and is subscribed
    by it, after as many times; and as ``since``, the milliseconds since the page began."""

    def found() -> dict[str, Any] | None:
        reports = [report | {"since": since} for report, since in tab.of("transport")]
        [*_, last] = [None] + [kind for kind, *_ in tab.reports if kind in STAGES]
        if last != "subscribed" or len(tab.of("subscribed")) < times or not tab.of("published"):
            return None
        return next((report for report in reports if report["transport"] in transports), None)

    report = await until(found, within=SECONDS)
    assert report is not None
    return report


async def told(tab: Tab) -> list[str]:
    """All that the page was told, once it has heard the last."""
    await until(lambda: tab.of("done"), within=SECONDS)
    assert tab.of("lost") == []
    assert tab.failures == []
    [[texts]] = tab.of("done")
    return list(texts)


def shown(way: Way, report: dict[str, Any]) -> None:
    """The figures that docs/transports.rst gives."""
    tried = ", ".join(
        f"{trial['transport']} {trial['reason']} {trial['ms'] / 1000:.2f} s"
        for trial in report["tried"]
    )
    took = report["since"] / 1000
    print(f"\nroomline | {way.name} | {report['transport']} | {took:.2f} s | {tried}", end="")


async def gets_through(
    gateway: Gateway,
    visit: Visit,
    way: Way,
    transports: set[str],
    reasons: dict[str, str],
    **options: Any,
) -> int:
    """A page falls back to one of these transports, and is told everything once; gives how many
    others it says that it does not use. `reasons`: why not; there may be more on a busy machine,
    where a good transport opens too late, too."""
    room = Room(gateway, f"chat.{way.slug}")
    tab = await visit(way, gateway.url, follow(room, **options))
    talking = asyncio.create_task(room.keep_talking())
    report = await connected(tab, transports)
    room.enough.set()
    await talking
    shown(way, report)
    tried = {trial["transport"]: trial["reason"] for trial in report["tried"]}
    assert reasons.items() <= tried.items(), report
    texts = await told(tab)
    assert [text for text in texts if text != "from the page"] == room.said
    assert texts.count("from the page") == 1
    return len(tried)


Expected = tuple[Way, set[str], dict[str, str]]
_OPENS_NOT = {"websocket": "unopened"}
_STREAMS_OPEN_NOT = {"xhr-streaming": "unopened", "eventsource": "unopened"}
OPENED_OR_NOT: list[Expected] = [
    (ways.OPEN, {"websocket"}, {}),
    (ways.NO_WEBSOCKET, STREAMING, {}),
    (ways.REFUSED, STREAMING, _OPENS_NOT),
    (ways.CUT_AT_ONCE, STREAMING, _OPENS_NOT),
    (ways.CUT_AFTER_2, STREAMING, {"websocket": "cut"}),
    (ways.SWALLOWED, STREAMING, _OPENS_NOT),
    (ways.GREETED, STREAMING, {"websocket": "unanswered"}),
    (ways.ONLY_POLLING, POLLING, {"websocket": "unanswered"}),
    (ways.NGINX_AS_IT_COMES, STREAMING, _OPENS_NOT),
    (ways.BUFFERED, POLLING, _STREAMS_OPEN_NOT),
    (ways.REFUSED_AND_BUFFERED, POLLING, _OPENS_NOT | _STREAMS_OPEN_NOT),
]
"""Ways on which the handshake of a websocket comes to an end soon, if there is one."""
HANGING: list[Expected] = [
    (ways.HANGING, STREAMING, _OPENS_NOT),
    (ways.LUMPS, STREAMING, _OPENS_NOT),
    (ways.HANGING_AND_BUFFERED, POLLING, _OPENS_NOT | _STREAMS_OPEN_NOT),
]


async def all_get_through(gateway: Gateway, visit: Visit, expected: list[Expected]) -> None:
    """At the same time, since falling back is mostly waiting."""
    before = gateway.metric("roomline_transport_failures_total")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(gets_through(gateway, visit, *each)) for each in expected]
    counted = gateway.metric("roomline_transport_failures_total")
    assert counted - before >= sum(task.result() for task in tasks)


async def test_it_gets_through(gateway: Gateway, visit: Open) -> None:
    await all_get_through(gateway, visit, OPENED_OR_NOT + HANGING)


@pytest.mark.parametrize("engine", ["firefox", "qtwebkit"])
async def test_it_gets_through_in_other_engines(engine: str, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    async with AsyncExitStack() as stack:
        frames = await stack.enter_async_context(serving())
        gateway = stack.enter_context(running(tmp_path, ORIGINS=frames.origin))
        await stack.enter_async_context(ENGINES[engine](frames.origin, profile))

        async def visit(way: Way, url: str, expression: str) -> Tab:
            port = int(url.rpartition(":")[2].partition("/")[0])
            front = await stack.enter_async_context(way.to(port, tmp_path))
            return frames.open(way, front.address(url), expression)

        await all_get_through(gateway, visit, OPENED_OR_NOT + HANGING)


@pytest.mark.parametrize(
    ("way", "reason", "options"),
    [
        (ways.FALLS_SILENT, "silent", {"timeouts": {"ping": 1000, "pong": 1500}}),
        (ways.GATHERS_LATER, "late", {"timeouts": {"ping": 500}, "fallback": {"deliver": 1000}}),
    ],
    ids=["silent", "late"],
)
async def test_what_delivers_at_first_and_not_later(
    gateway: Gateway, visit: Open, way: Way, reason: str, options: dict[str, Any]
) -> None:
    """Found by pings, here sent more often than every 25 s."""
    reasons = {"websocket": reason, "xhr-streaming": reason}
    await gets_through(gateway, visit, way, POLLING, reasons, **options)
    for transport in reasons:
        labels = {"transport": transport, "reason": reason}
        assert gateway.metric("roomline_transport_failures_total", **labels) >= 1


async def test_the_next_page_begins_with_what_got_through(gateway: Gateway, visit: Open) -> None:
    room = Room(gateway, "chat.lobby")
    tab = await visit(ways.GREETED, gateway.url, follow(room))
    await connected(tab, STREAMING)
    again = await tab.again(follow(room))
    report = await connected(again, STREAMING)
    assert report["tried"] == [{"transport": "websocket", "reason": "remembered", "ms": 0}]
    print(
        f"\nroomline | the next page | {report['transport']} | {report['since'] / 1000:.2f} s",
        end="",
    )


async def test_without_storage_the_page_itself_remembers(gateway: Gateway, visit: Open) -> None:
    """It raises even when it is only named, as in some privacy settings."""
    room = Room(gateway, "chat.lobby")
    forbid = """Object.defineProperty(window, "localStorage", {
        get() { throw new DOMException("no", "SecurityError"); }
    });"""
    tab = await visit(ways.GREETED, gateway.url, forbid + follow(room))
    await connected(tab, STREAMING)
    other = Room(gateway, "chat.other")
    await tab.page.evaluate(f"url => {{ {follow(other)} }}", tab.address)
    report = await until(lambda: tab.of("transport")[1:], within=SECONDS)
    assert [trial["reason"] for trial in report[0][0]["tried"]] == ["remembered"]
    assert tab.failures == []


async def test_a_gateway_that_is_killed_is_not_held_against_websocket(
    gateway: Gateway, visit: Open
) -> None:
    room = Room(gateway, "chat.lobby")
    tab = await visit(ways.OPEN, gateway.url, follow(room))
    for times in (1, 2):
        await connected(tab, {"websocket"}, times)
        gateway.kill()
        await asyncio.to_thread(gateway.start)
    await connected(tab, {"websocket"}, 3)
    reports = [report for report, _ in tab.of("transport")]
    assert [report["tried"] for report in reports] == [[]] * 3
    assert {report["transport"] for report in reports} == {"websocket"}
    assert await tab.page.evaluate("localStorage.length") == 0

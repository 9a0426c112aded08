"""The JavaScript client in a room, on every transport, in every engine: cut off, and back."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from roomline.transport import TRANSPORTS as OFFERED

from tests.browsers.engines import ENGINES
from tests.browsers.front import Front
from tests.browsers.matrix import Talk, talks
from tests.browsers.site import Site, serving
from tests.client.js_pages import publish
from tests.support.gateway import Gateway
from tests.support.rabbitmq import free_port
from tests.support.until import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

REPORT_SECONDS = 40.0
PAYLOAD = "😀 </script> \u2028 \0 é"
HOSTS = {"same": "localhost", "cross": "127.0.0.1"}
CRASHING = {("phantomjs", "xhr-polling"), ("phantomjs", "iframe-xhr-polling")}
"""Where the engine itself crashes when the connection of a poll is reset, so it is not."""


def stays(engine: str) -> list[Talk]:
    """Each transport from another origin, or from the same if that is all that it can."""
    able = [talk for talk in talks() if talk.client == "1.6.1" and not talk.unable(engine)]
    return list({talk.transport: talk for talk in able}.values())  # the same origin comes first


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_transport_recovers(engine: str, tmp_path: Path) -> None:
    port = free_port()
    gateway = Gateway(
        f"embedded:{tmp_path}/log.sqlite3",
        ORIGINS=f"http://localhost:{port}",
        TRANSPORTS=",".join(sorted(OFFERED)),
        NAMESPACES="chat:read=public,write=public",
    )
    await asyncio.to_thread(gateway.start)
    try:
        async with serving() as site, Front.to(gateway.url, port) as front:
            front.site = site
            site.begin = "stayInAll"
            chosen = stays(engine)
            site.setup = {
                "report": f"{site.origins['same']}/report",
                "payload": PAYLOAD,
                "stays": [
                    {
                        "client": talk.client,
                        "transport": talk.transport,
                        "room": room_of(talk),
                        "url": f"http://{HOSTS[talk.origin]}:{port}/roomline",
                    }
                    for talk in chosen
                ],
            }
            folder = tmp_path / "engine"
            folder.mkdir()
            async with ENGINES[engine](f"http://localhost:{port}/page", folder):
                for talk in chosen:
                    await _stay(engine, talk, site, front, gateway)
    finally:
        gateway.close()


def room_of(talk: Talk) -> str:
    return f"chat.{talk.transport}"


async def _stay(engine: str, talk: Talk, site: Site, front: Front, gateway: Gateway) -> None:
    room = room_of(talk)

    async def reported(expected: str) -> Any:
        name, value = await asyncio.wait_for(site.reports.get(), REPORT_SECONDS)
        print(name, ascii(value))
        assert name == expected, value
        return value

    assert await reported("told") == room
    await asyncio.to_thread(publish, gateway, "before", room=room)
    assert await reported("told") == room
    cut = (engine, talk.transport) not in CRASHING
    if cut:
        tried = front.accepted
        front.refusing = True
        front.cut()
        await asyncio.to_thread(publish, gateway, *range(5), room=room)
        await until(lambda: front.accepted > tried)
        front.refusing = False
        assert await reported("back") == room
    else:
        await asyncio.to_thread(publish, gateway, *range(5), room=room)
    await asyncio.to_thread(publish, gateway, "after", "stop", room=room)
    assert await reported("stopped") == {
        "room": room,
        "intact": True,
        "told": ["before", *range(5), "after", "stop"],
        "subscribed": [False, True] if cut else [False],
        "transports": [talk.transport] * (2 if cut else 1),
    }

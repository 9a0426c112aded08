"""Stock sockjs-client on every transport, in every engine: talked to, closed, and left."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.browsers.engines import ENGINES
from tests.browsers.matrix import Talk, talks
from tests.browsers.site import CLOSING, PREFIX, Site, serving
from tests.support.until import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

REPORT_SECONDS = 60.0
PATIENCE_SECONDS = 20.0
PAYLOADS = [
    "😀 \U0001d4b3",
    '</script><script>document.title = "taken"</script>',
    "lines \u2028 and \u2029 paragraphs",
    "a \0 in it",
    "half \ud83d a pair, and \ude00 the other",
    "é" * 30_000,
]


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_transport(engine: str, tmp_path: Path) -> None:
    """All combinations in one page: what the engine can do works, what it cannot is not done."""
    async with serving() as site:
        site.begin = "talkAll"
        site.setup = {
            "report": f"{site.origins['same']}/report",
            "patience": PATIENCE_SECONDS * 1000,
            "payloads": PAYLOADS,
            "talks": [
                {
                    "name": talk.name,
                    "client": talk.client,
                    "transport": talk.transport,
                    "url": f"{site.origins[talk.origin]}{PREFIX}",
                }
                for talk in talks()
            ],
        }
        async with ENGINES[engine](site.url, tmp_path):
            seen = await _all_talks(site)
        wrong = {}
        for talk in talks():
            problem = await _problem(talk, engine, seen.get(talk.name), site)
            if problem:
                wrong[talk.name] = problem
        assert wrong == {}


async def _all_talks(site: Site) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    while len(seen) < len(site.setup["talks"]):
        name, value = await asyncio.wait_for(site.reports.get(), REPORT_SECONDS)
        print(name, ascii(value)[:400])
        assert name == "talk", value
        seen[value["name"]] = value
    return seen


async def _problem(talk: Talk, engine: str, seen: Any, site: Site) -> str | None:
    """What is not as it should be."""
    if seen is None:
        return "the page did not come to it"
    if talk.unable(engine):
        if seen["used"] is not None:
            return "it is said to be unable, but works"
        return None if seen["closed"] else "the client did not say that it cannot"
    if seen["used"] != talk.transport:
        return f"it used {seen['used']}, and closed with {seen['closed']}"
    if not seen["intact"]:
        return f"the page received {ascii(seen['received'])[:500]}"
    if site.behaviour.heard[talk.name] != [*PAYLOADS, "close"]:
        return f"the server received {ascii(site.behaviour.heard[talk.name])[:500]}"
    if seen["closed"] != list(CLOSING):
        return f"the page was told {seen['closed']}"
    if seen["left"] != [3456, "enough"]:
        return f"leaving, the page was told {seen['left']}"
    try:
        await until(lambda: site.behaviour.has_left(f"{talk.name} leaves"), within=10)
    except TimeoutError:
        return "the server did not notice that the page had left"
    return None

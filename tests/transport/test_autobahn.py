"""Autobahn's fuzzing client against the echo of the conformance server, where it can be had."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from roomline.transport import server_limits
from roomline.transport.conformance import SETTINGS, endpoints
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from tests.docs.pages import table
from tests.support import autobahn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COVERS = {"autobahn-run"}
PAGE = "docs/websocket-conformance.rst"

INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}
"""Cases in which the suite accepts whatever happens."""


async def test_the_fuzzing_client_finds_nothing(tmp_path: Path) -> None:
    try:
        await asyncio.to_thread(autobahn.install)
    except autobahn.Missing as missing:
        pytest.skip(str(missing))
    served = endpoints()
    routes = [route for endpoint in served for route in endpoint.urls]
    server = HTTPServer(Application(routes), **server_limits(SETTINGS))
    [listening] = bind_sockets(0, "127.0.0.1")
    server.add_sockets([listening])
    url = f"ws://127.0.0.1:{listening.getsockname()[1]}/echo/websocket"
    try:
        results = await asyncio.to_thread(autobahn.run, url, tmp_path)
    finally:
        server.stop()
        await server.close_all_connections()
        for endpoint in served:
            endpoint.close()
    outcomes = {name: (case["behavior"], case["behaviorClose"]) for name, case in results.items()}
    others = {name: said for name, said in outcomes.items() if name not in INFORMATIONAL}
    assert {name: said for name, said in others.items() if said != ("OK", "OK")} == {}
    assert {outcomes[name] for name in INFORMATIONAL} == {("INFORMATIONAL", "INFORMATIONAL")}
    # The page shows what was found.
    groups = Counter(name.partition(".")[0] for name in outcomes)
    good = Counter(name.partition(".")[0] for name in others)
    *shown, total = table(PAGE, "autobahn")
    assert {row[0].split()[0]: row[1:3] for row in shown} == {
        group: [str(count), str(good[group])] for group, count in groups.items()
    }
    assert total[1:3] == [str(len(outcomes)), str(len(others))]

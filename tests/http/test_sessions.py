"""roomline.http.sessions: what a node takes a client for."""

import json

from tests.http.conftest import Api, error_of
from tests.http.test_metrics import Link


async def test_the_address_of_a_session(api: Api) -> None:
    link = Link()
    link.open(api.node)
    [live] = api.node.sessions
    answer = await api.request("GET", f"/api/sessions/{live.session.id}")
    assert answer.code == 200
    assert json.loads(answer.body) == {
        "session": live.session.id,
        "transport": "xhr-streaming",
        "address": "127.0.0.1",
    }


async def test_a_session_that_another_node_has(api: Api) -> None:
    assert error_of(await api.request("GET", "/api/sessions/x")) == (404, "not_found", False)


async def test_nobody_asks_without_a_token(api: Api) -> None:
    assert error_of(await api.request("GET", "/api/sessions/x", token=None))[0] == 401

"""The cookie that some load balancers stick to, where it is asked for: on every answer of a
session, and on no other."""

import pytest

from tests.conformance.carriers import COOKIES, PAGE, Carrier, carriers, session
from tests.transport.clients import ask, connected

pytestmark = pytest.mark.timeout(20)

SENT = [(None, "dummy"), ("abcdef", "abcdef"), ("<script>", "dummy"), ("a" * 200, "dummy")]


@carriers
@pytest.mark.parametrize(("sent", "value"), SENT)
async def test_on_what_receives_and_sends(
    port: int, carrier: Carrier, sent: str | None, value: str
) -> None:
    path = session(COOKIES)
    headers = {} if sent is None else {"Cookie": f"other=1; JSESSIONID={sent}"}
    expected = f"JSESSIONID={value}; Path=/; HttpOnly; SameSite=Lax"
    async with connected(port) as connection:
        response = await connection.request(carrier.method, carrier.path(path), headers=headers)
        assert response.status == 200
        assert response["Set-Cookie"] == expected
        plain = {"Content-Type": "text/plain"}
        answer = await ask(
            port, "POST", f"{path}/{carrier.sends_by}", '["x"]', headers=headers | plain
        )
        assert answer.status in (200, 204)
        assert answer["Set-Cookie"] == expected


@pytest.mark.parametrize("path", ["", "/info", "/iframe.html", "/nothing"])
async def test_on_nothing_else(port: int, path: str) -> None:
    assert (await ask(port, "GET", COOKIES + path))["Set-Cookie"] is None
    preflight = await ask(port, "OPTIONS", f"{session(COOKIES)}/xhr", headers=PAGE)
    assert preflight["Set-Cookie"] is None

"""roomline.http.health and what all answers of the internal port have in common."""

import json

import pytest

from tests.http.conftest import Api, Serve, error_of


async def test_health_while_the_process_serves(serve: Serve) -> None:
    api = serve()
    answer = await api.request("GET", "/healthz", token=None)
    assert (answer.code, json.loads(answer.body)) == (200, {"status": "ok"})


async def test_not_ready_before_the_log_has_been_read(serve: Serve) -> None:
    api = serve()
    answer = await api.request("GET", "/readyz", token=None)
    assert answer.code == 503
    status = json.loads(answer.body)
    assert status == {"ready": False, "status": "catching up with the log", "node": "node-1"}


async def test_ready_when_the_log_has_been_read(api: Api) -> None:
    answer = await api.request("GET", "/readyz", token=None)
    assert answer.code == 200
    assert json.loads(answer.body) == {"ready": True, "status": "ready", "node": "node-1"}


async def test_not_ready_when_the_log_cannot_be_read(api: Api) -> None:
    api.node.cut_off("the disk is gone")
    answer = await api.request("GET", "/readyz", token=None)
    assert (answer.code, json.loads(answer.body)["status"]) == (503, "the log cannot be read")
    assert (await api.request("GET", "/healthz", token=None)).code == 200


async def test_not_ready_while_draining(api: Api) -> None:
    await api.node.drain(0)
    answer = await api.request("GET", "/readyz", token=None)
    assert (answer.code, json.loads(answer.body)["status"]) == (503, "draining")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_head(api: Api, path: str) -> None:
    answer = await api.request("HEAD", path, token=None)
    assert (answer.code, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/nothing", "/api/rooms/chat.a/publications"]
)
async def test_headers_of_every_answer(api: Api, path: str) -> None:
    headers = (await api.request("GET", path, headers={"Origin": "https://evil.example"})).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in headers
    assert "Etag" not in headers
    assert not [name for name in headers if name.startswith("Access-Control-")]


@pytest.mark.parametrize("path", ["/", "/roomline/info", "/api/rooms", "/healthz/", "/%ff"])
async def test_nothing_at_other_paths(api: Api, path: str) -> None:
    assert error_of(await api.request("GET", path)) == (404, "not_found", False)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_other_methods(api: Api, path: str) -> None:
    for method in ("POST", "DELETE", "OPTIONS"):
        answer = await api.request(method, path, b"" if method == "POST" else None)
        assert error_of(answer) == (405, "method_not_allowed", False)

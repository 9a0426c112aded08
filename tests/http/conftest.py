"""A node on an embedded log, with its internal application on a free port."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from roomline.brokers.embedded import EmbeddedBroker, control_log
from roomline.core.limits import NodeLimits
from roomline.core.policy import Namespace, Policy, Rule
from roomline.http import INTERNAL_LIMITS, internal_application
from roomline.httpserver import GatewayServer
from roomline.node import Node
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.netutil import bind_sockets

TOKEN = "an-api-token-of-thirty-two-characters"
NAMESPACES = {
    "chat": Namespace(Rule.TOKEN, Rule.TOKEN, 20, 3600),
    "system": Namespace(Rule.PUBLIC, Rule.NONE, 20, 3600),
}


class Api:
    """The internal port, as a program sees it."""

    def __init__(self, url: str, node: Node, broker: EmbeddedBroker) -> None:
        self.url = url
        self.node = node
        self.broker = broker
        self._client = AsyncHTTPClient(force_instance=True)

    async def request(
        self, method: str, path: str, body: Any = None, *, token: str | None = TOKEN, **options: Any
    ) -> HTTPResponse:
        """`body` is bytes, or a value that is sent as JSON."""
        headers = options.pop("headers", {})
        if token is not None:
            headers = {"Authorization": f"Bearer {token}"} | headers
        if method == "POST" and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return await self._client.fetch(
            self.url + path,
            method=method,
            body=body,
            headers=headers,
            raise_error=False,
            allow_nonstandard_methods=True,
            **options,
        )

    async def publish(self, room: str, body: Any, **options: Any) -> HTTPResponse:
        return await self.request("POST", f"/api/rooms/{room}/publications", body, **options)

    async def history(self, room: str, query: str = "", **options: Any) -> HTTPResponse:
        return await self.request("GET", f"/api/rooms/{room}/publications{query}", **options)

    def close(self) -> None:
        self._client.close()


def error_of(response: HTTPResponse) -> tuple[int, str, bool]:
    """Status, code, temporary of an error answer; its form is checked on the way."""
    fields = json.loads(response.body)
    assert set(fields) == {"code", "reason", "temporary"}
    assert fields["reason"]
    assert response.headers["Content-Type"] == "application/json"
    return response.code, fields["code"], fields["temporary"]


Serve = Callable[..., Api]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Serve a node, which the test may have to start, on an embedded log."""
    served: list[tuple[Api, GatewayServer]] = []

    def serve(
        *, tokens: tuple[str, ...] = (TOKEN,), broker_class: type[EmbeddedBroker] = EmbeddedBroker
    ) -> Api:
        policy = Policy(NAMESPACES, None, anonymous=True)
        path = tmp_path / "log.sqlite3"
        broker = broker_class(path, NAMESPACES)
        node = Node(broker, policy, NodeLimits(), control=control_log(path), name="node-1")
        server = GatewayServer(internal_application(node, policy, tokens), **INTERNAL_LIMITS)
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        api = Api(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", node, broker)
        served.append((api, server))
        return api

    yield serve
    for api, server in served:
        api.close()
        await api.node.close()
        server.stop()
        await server.close_all_connections()


@pytest.fixture
async def api(serve: Serve) -> Api:
    """A node that is ready."""
    api = serve()
    await api.node.start()
    for _ in range(500):
        if api.node.ready:
            return api
        await asyncio.sleep(0.01)
    raise AssertionError(f"the node is not ready: {api.node.status}")

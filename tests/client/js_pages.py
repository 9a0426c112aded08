"""What the browser tests of the JavaScript client share: its files, and a hand that publishes."""

from pathlib import Path
from typing import Any

from tests.support.gateway import Gateway
from tests.support.tokens import API_TOKEN

HERE = Path(__file__).parent
JS_CLIENT = HERE.parents[1] / "js-client"
DIST = JS_CLIENT / "dist"
SOCKJS = JS_CLIENT / "node_modules/sockjs-client/dist/sockjs.min.js"
SCENARIO = HERE / "js_scenario.js"
PHANTOM = HERE / "js_phantom.js"


def publish(gateway: Gateway, *publications: Any, room: str = "chat.lobby") -> None:
    """Publish past the page, through the HTTP API, in this order."""
    for data in publications:
        path = f"/api/rooms/{room}/publications"
        answer = gateway.get(path, token=API_TOKEN, body={"data": data})
        assert answer.status == 201, answer

"""One real node for all attacks that need no settings of their own, and what it must never say."""

from collections.abc import Iterator

import pytest

from tests.support.gateway import Gateway

LISTED = "https://page.example"
"""An origin that the node lets in beside its own."""

SETTINGS = {
    "TRANSPORTS": "websocket,xhr-streaming,eventsource,xhr-polling,htmlfile,jsonp-polling,iframe",
    "ORIGINS": LISTED,
    "NAMESPACES": "chat:read=public,write=public,history=100;club:read=token,write=token",
    "LOG_LEVEL": "debug",
    "NEW_SESSIONS_PER_SECOND": "100000",
    "NEW_SESSIONS_BURST": "100000",
    "SESSIONS_PER_ADDRESS": "10000",
    "SESSIONS_WORTH_PER_ADDRESS": "10000",
    "DISCONNECT_DELAY": "1",
}


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """It offers all transports, and logs all that it ever logs."""
    path = tmp_path_factory.mktemp("security") / "rooms.sqlite3"
    gateway = Gateway(f"embedded:{path}", **SETTINGS)
    gateway.start()
    yield gateway
    gateway.close()


@pytest.fixture(autouse=True)
def unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test has done to the node: it is alive, and has met no defect of its own."""
    yield
    if "node" in request.fixturenames:
        gateway: Gateway = request.getfixturevalue("node")
        assert gateway.get("/healthz").status == 200
        assert " ERROR " not in gateway.log, gateway.log[-4000:]
        assert "Traceback" not in gateway.log, gateway.log[-4000:]


@pytest.fixture
def port(node: Gateway) -> int:
    """The public port."""
    return int(node.url.rpartition("/")[0].rpartition(":")[2])


@pytest.fixture
def internal(node: Gateway) -> int:
    """The internal port."""
    return int(node.internal.rpartition(":")[2])

"""Gateways for the end-to-end tests, each test's own, on either log."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]

Gateways = Callable[..., Gateway]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here takes seconds and starts processes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def embedded(tmp_path: Path) -> str:
    """The address of a new embedded log."""
    return f"embedded:{tmp_path}/log.sqlite3"


@pytest.fixture
def amqp(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> str:
    """The address of an empty virtual host on the tests' RabbitMQ."""
    return rabbitmq.url(vhost=rabbitmq_vhost)


@pytest.fixture(params=["embedded", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> str:
    """The address of an empty log of either sort."""
    name = "amqp" if request.param == "rabbitmq" else "embedded"
    address: str = request.getfixturevalue(name)
    return address


@pytest.fixture
def gateways() -> Iterator[Gateways]:
    """Starts gateways: call it with the log's address and settings. They end with the test."""
    started: list[Gateway] = []

    def start(broker: str, *, ready: bool = True, **settings: str) -> Gateway:
        gateway = Gateway(broker, **settings)
        started.append(gateway)
        gateway.start(ready=ready)
        return gateway

    yield start
    for gateway in started:
        gateway.close()


def pair(gateways: Gateways, broker: str, **settings: str) -> tuple[Gateway, Gateway]:
    """Two gateways on one log, started together."""
    first, second = (gateways(broker, ready=False, **settings) for _ in range(2))
    first.wait_until_ready()
    second.wait_until_ready()
    return first, second

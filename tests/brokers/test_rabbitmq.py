"""The RabbitMQ broker on a real RabbitMQ: the contract, and what is its own."""

import asyncio
import secrets
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.brokers.contract")

from roomline.broker import Broker  # noqa: E402
from roomline.brokers.rabbitmq import RabbitMQBroker  # noqa: E402
from roomline.brokers.rabbitmq_settings import RabbitMQSettings  # noqa: E402
from roomline.wire import ROOMS_STREAM, Envelope  # noqa: E402
from tests.brokers.contract import NAMESPACES, BrokerContract, publish_all  # noqa: E402
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost  # noqa: E402, F401


class VhostWorld:
    """A log in a virtual host of its own."""

    patience = 10.0
    time_resolution = 1.1

    def __init__(self, node: RabbitMQNode, vhost: str, **settings: object) -> None:
        self.node = node
        self.vhost = vhost
        self._settings = {
            "url": node.url(vhost=vhost),
            "namespaces": NAMESPACES,
            "silence": 0.5,
            "max_backoff": 0.5,
        } | settings

    def broker(self, **settings: object) -> RabbitMQBroker:
        return RabbitMQBroker(RabbitMQSettings(**(self._settings | settings)))

    async def recreate(self) -> None:
        await asyncio.to_thread(self.delete_stream)
        # Brokers that run declare it anew.

    def delete_stream(self) -> None:
        self.node.evaluate(
            f'{{ok, Q}} = rabbit_amqqueue:lookup({{resource, <<"{self.vhost}">>, queue,'
            f' <<"{ROOMS_STREAM}">>}}), rabbit_amqqueue:delete(Q, false, false, <<"tests">>)'
        )

    async def trim(self) -> None:
        raise NotImplementedError


@pytest.fixture
def world(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> VhostWorld:  # noqa: F811
    return VhostWorld(rabbitmq, rabbitmq_vhost)


class TestRabbitMQBroker(BrokerContract):
    pass

"""What several test folders share: which tests are slow."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starting RabbitMQ takes seconds, and then it shares the machine with whoever talks to it."""
    for item in items:
        if {"rabbitmq", "tls_node"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)

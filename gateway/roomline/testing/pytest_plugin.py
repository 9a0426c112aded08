"""The pytest fixture `live_gateway`: name this module in ``pytest_plugins`` of your conftest.py."""

from collections.abc import Iterator

import pytest

from roomline.testing import LiveGateway


@pytest.fixture
def live_gateway_settings() -> dict[str, str]:
    """Settings of `live_gateway`: override this fixture to change them."""
    return {}


@pytest.fixture
def live_gateway(live_gateway_settings: dict[str, str]) -> Iterator[LiveGateway]:
    """A gateway of the test's own, which serves until the test ends."""
    with LiveGateway(**live_gateway_settings) as gateway:
        yield gateway

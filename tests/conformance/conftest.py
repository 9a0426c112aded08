"""The conformance server in the test's own event loop."""

from collections.abc import AsyncIterator

import pytest
from roomline.transport.conformance import Running, serving


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with serving("127.0.0.1", 0) as running:
        yield running


@pytest.fixture
def port(running: Running) -> int:
    return running.port

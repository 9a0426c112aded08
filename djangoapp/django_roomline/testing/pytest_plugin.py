"""The pytest fixture `published`: name this module in ``pytest_plugins`` of your conftest.py."""

from collections.abc import Iterator

import pytest

from django_roomline.testing import Recording, recording


@pytest.fixture
def published() -> Iterator[Recording]:
    """What the test publishes, in order; none of it reaches a broker."""
    with recording() as recorded:
        yield recorded

"""For the tests of projects: what was published, without a broker, or with a real gateway.

* `PublishAssertions`, for `unittest` and Django's test cases: ``assertPublished`` and its kin.
* `recording`, the same as a context manager, and the fixture ``published`` in
  ``django_roomline.testing.pytest_plugin`` for pytest.
* `LiveGatewayMixin`, for ``LiveServerTestCase``: a real gateway beside the real server. It needs
  ``roomline[server]``.
"""

from django_roomline.testing.live import LiveGatewayMixin, VisitorClient
from django_roomline.testing.recording import (
    PublishAssertions,
    Published,
    Recording,
    recording,
    relay_outbox,
)

__all__ = [
    "LiveGatewayMixin",
    "PublishAssertions",
    "Published",
    "Recording",
    "VisitorClient",
    "recording",
    "relay_outbox",
]

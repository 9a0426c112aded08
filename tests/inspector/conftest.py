"""Gateways for the tests of the page."""

from tests.end_to_end.conftest import embedded, gateways

__all__ = ["embedded", "gateways"]

"""One page of a test, as the test sees it."""

from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("page.js")


class Tab:
    """A page behind a way, and the values that it reports."""

    def __init__(self, address: str) -> None:
        self.address = address
        """The endpoint, as the page knows it."""
        self.reports: list[list[Any]] = []
        self.failures: list[str] = []

    def hear(self, report: list[Any]) -> None:
        """Take a report."""
        self.reports.append(report)

    def of(self, name: str) -> list[list[Any]]:
        """What reports of this name say, in order."""
        return [values for kind, *values in self.reports if kind == name]

"""Pauses between attempts of programs that wait for a broker or a database."""

import random
from typing import Final

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 10.0
"""Bounds of a pause, in seconds; it is half of its bound at least."""


class Pauses:
    """Each bound is twice the one before, until something succeeds; no two pauses are the same, so
    that programs which have failed together do not try again together."""

    def __init__(self) -> None:
        self._bound = FIRST_PAUSE

    def next(self) -> float:
        """How long to wait now (seconds)."""
        bound = self._bound
        self._bound = min(LONGEST_PAUSE, 2 * bound)
        return random.uniform(bound / 2, bound)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """Something has succeeded."""
        self._bound = FIRST_PAUSE

"""How long to wait before trying again: exponential with full jitter, reset by stability.

Full jitter (a uniform choice between nothing and the exponential bound) spreads a crowd that
lost its node at one moment best: M. Brooker, "Exponential Backoff And Jitter", 2015.
"""

import random
from typing import Final

FREE_MOVES: Final = 3
"""How often a client goes elsewhere at a node's request without a delay before it counts as
trouble: nodes that send it to and fro must not keep it busy."""


class Backoff:
    """Delays in seconds for one thing that is tried again and again."""

    def __init__(self, first: float = 0.5, longest: float = 20.0) -> None:
        """`first` bounds the first delay, and no delay is longer than `longest`."""
        self.first = first
        self.longest = longest
        self._failures = 0
        self._moves = 0

    def next_move(self) -> float:
        """The delay before connecting elsewhere, as a node has asked for."""
        self._moves += 1
        return 0.0 if self._moves <= FREE_MOVES else self.next()

    def next(self) -> float:
        """The delay before the next attempt."""
        bound = min(self.longest, self.first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return random.uniform(0.0, bound)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """It has worked for long enough to count as working."""
        self._failures = 0
        self._moves = 0

"""What many recipients are sent in one turn of the event loop, built once."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from roomline.core.outbox import Encoded

_KEPT_AT_MOST = 128

T = TypeVar("T")


class Joined(Generic[T]):
    """What `build` makes of the same messages, built once however many send them in one turn.

    It is kept until the turn of the event loop is over, and so many at most.
    """

    def __init__(self, build: Callable[[Sequence[Encoded]], T]) -> None:
        self._build = build
        self._built: dict[tuple[Encoded, ...], T] = {}

    def __call__(self, messages: Sequence[Encoded]) -> T:
        """What `build` makes of these messages."""
        key = tuple(messages)  # messages compare by identity, and the key keeps them alive
        built = self._built.get(key)
        if built is None:
            built = self._build(messages)
            if not self._built:
                asyncio.get_running_loop().call_soon(self._built.clear)
            if len(self._built) < _KEPT_AT_MOST:
                self._built[key] = built
        return built

    def __len__(self) -> int:
        return len(self._built)

"""De-duplication: which log entries are repeats of an earlier one.

Shared by all who tell publications from the log, the gateway and the archive, so that they tell the
same ones. Standard library only, no I/O.
"""

from collections import deque


class Repeats:
    """The message ids within the preceding `window` offsets of the log.

    An entry is a repeat if and only if one with the same room and message id stands within the
    window before it. The window is counted in offsets and never shrunk for memory, so that all
    nodes drop the same entries.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self.clear()

    def clear(self) -> None:
        """Forget everything: another log begins."""
        self._offsets: dict[tuple[str, str], int] = {}
        self._order: deque[tuple[int, tuple[str, str]]] = deque()

    def seen(self, offset: int, room: str, message_id: str | None) -> bool:
        """Whether the entry at `offset` is a repeat; to be asked once for each entry, in order."""
        while self._order and self._order[0][0] < offset - self._window:
            old, key = self._order.popleft()
            if self._offsets[key] == old:
                del self._offsets[key]
        if message_id is None:
            return False
        key = (room, message_id)
        repeated = key in self._offsets
        self._offsets[key] = offset
        self._order.append((offset, key))
        return repeated

"""Positions: where a client stands in the log, as opaque text that can be checked."""

import re
from typing import Final, NamedTuple

_TEXT = re.compile(r"(\d{1,3})\.(-1|\d{1,19})\.([0-9a-f]{12})")


class Position(NamedTuple):
    """An entry of the log, of whatever room, up to which a client has been told everything.

    The fingerprint (`roomline.wire.fingerprint_of`) makes a log that was trimmed, re-created or
    cut short detectable: the entry at that offset is then another one, or none.
    """

    partition: int
    offset: int
    fingerprint: int

    def __str__(self) -> str:
        return f"{self.partition}.{self.offset}.{self.fingerprint:012x}"

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """The position in `text`, or None if no gateway wrote it."""
        match = _TEXT.fullmatch(text)
        return cls(int(match[1]), int(match[2]), int(match[3], 16)) if match else None


BEGINNING: Final = Position(0, -1, 0)
"""Before the first entry: where a client stands while the log has never had one."""

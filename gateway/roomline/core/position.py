"""Positions: where a client stands in the log, as opaque text that can be checked."""

from typing import Final, NamedTuple

from roomline.wire import parse_position, position_text


class Position(NamedTuple):
    """An entry of the log, of whatever room, up to which a client has been told everything.

    The fingerprint (`roomline.wire.fingerprint_of`) makes a log that was trimmed, re-created or
    cut short detectable: the entry at that offset is then another one, or none.
    """

    partition: int
    offset: int
    fingerprint: int

    def __str__(self) -> str:
        return position_text(*self)

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """The position in `text`, or None if no gateway wrote it."""
        parts = parse_position(text)
        return None if parts is None else cls(*parts)


BEGINNING: Final = Position(0, -1, 0)
"""Before the first entry: where a client stands while the log has never had one."""

"""What went wrong of late: codes, rooms and sessions, and never a text of anybody's."""

from collections import deque
from typing import Final, NamedTuple

KEPT: Final = 200


class Incident(NamedTuple):
    """One refusal, failure or disconnect. `time` is in seconds since the epoch; `code` is that of
    an error, of a disconnect with its reason, or the outcome of a publish."""

    time: float
    code: str
    room: str | None
    session: str | None


class Incidents:
    """The latest of them, oldest first."""

    def __init__(self) -> None:
        self._kept: deque[Incident] = deque(maxlen=KEPT)

    def add(
        self, time: float, code: str, *, room: str | None = None, session: str | None = None
    ) -> None:
        """Something has gone wrong."""
        # A refused name of a room may be any text, and as long as a message.
        self._kept.append(Incident(time, code, room and room[:200], session))

    def latest(self, count: int) -> list[Incident]:
        """The newest `count`, newest first."""
        return list(self._kept)[-count:][::-1] if count > 0 else []

"""How far a log is being read: not yet, caught up, or cut off, and for how long."""

from collections.abc import Callable


class Reading:
    """What a `roomline.broker.Listener` was told of one log. `timer` is in seconds, of a clock
    that nobody sets; after `timeout` seconds a log that cannot be read was so for long."""

    def __init__(self, timer: Callable[[], float], timeout: float) -> None:
        self.caught_up = False
        """Whether all that stood in the log has been read."""
        self._timer = timer
        self._timeout = timeout
        self._lost_at: float | None = None
        self._behind_since: float | None = timer()

    def reached(self) -> None:
        """All that stood in the log has been read."""
        self.caught_up = True
        self._lost_at = self._behind_since = None

    def lost(self) -> bool:
        """The log cannot be read for now; False: that was so before."""
        if self._lost_at is not None:
            return False
        self._lost_at = self._timer()
        self._fall_behind()
        return True

    def begun_anew(self) -> None:
        """The log is read again from its beginning."""
        self.caught_up = False
        self._fall_behind()

    def _fall_behind(self) -> None:
        if self._behind_since is None:
            self._behind_since = self._timer()

    @property
    def behind(self) -> float:
        """Seconds for which it was not known that the log has been read to its end; 0 when it is,
        because what is appended then is read at once."""
        return 0.0 if self._behind_since is None else self._timer() - self._behind_since

    @property
    def cut_off(self) -> bool:
        """Whether the log cannot be read now."""
        return self._lost_at is not None

    @property
    def cut_off_long(self) -> bool:
        """Whether it cannot be relied upon any more that nothing was missed."""
        return self._lost_at is not None and self._timer() - self._lost_at > self._timeout

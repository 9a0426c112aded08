"""What a node counts. Plain numbers: whoever exposes them gives them names and a format."""

from collections import Counter


class Counters:
    """Totals since the node started. A `Counter` is keyed by what its comment says."""

    def __init__(self) -> None:
        self.sessions_opened: Counter[str] = Counter()
        """By transport."""
        self.disconnects: Counter[int] = Counter()
        """By code: closes that the gateway decided."""
        self.commands: Counter[str] = Counter()
        """By type."""
        self.errors: Counter[str] = Counter()
        """Error replies by code."""
        self.recoveries: Counter[str] = Counter()
        """Subscribes with a position, by outcome: ``recovered`` or the reason why not."""
        self.publishes: Counter[str] = Counter()
        """What clients and the HTTP API published, by outcome: ``confirmed``, ``rejected``,
        ``unavailable`` or ``unconfirmed``."""
        self.entries = 0
        """Log entries read."""
        self.repeats = 0
        """Log entries dropped: repeats, or of a namespace that is not configured."""
        self.pushes = 0
        """Publications queued to sessions."""
        self.cut_offs = 0
        """How often the log could not be read any more."""
        self.log_resets = 0
        """How often the log turned out to be another one."""

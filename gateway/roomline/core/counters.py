"""What a node counts. Plain numbers: whoever exposes them gives them names and a format."""

from bisect import bisect_left
from collections import Counter, defaultdict
from itertools import accumulate
from typing import Final

from roomline.core import fallbacks
from roomline.core.messages import TransportReport

LAG_BOUNDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 60.0, 600.0),
)
"""Seconds: from what a broker on the same machine takes to what a node catches up after a fault."""


class Histogram:
    """How many values were at most how large. `bounds` increase; above the last there is one more
    bucket, without a bound."""

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.sum = 0.0
        """Of all values."""
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """One more value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def cumulative(self) -> list[int]:
        """For each bound how many values were not above it, and in the end how many there were."""
        return list(accumulate(self._counts))


class Counters:
    """Totals since the node started. A `Counter` is keyed by what its comment says."""

    def __init__(self) -> None:
        self.sessions_opened: Counter[str] = Counter()
        """By transport."""
        self.transport_failures: Counter[tuple[str, str]] = Counter()
        """By transport and reason: what clients do not use, as they report it."""
        self.transport_failure_seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
        """By transport and reason: how long it took them to fail."""
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
        self.requests: Counter[str] = Counter()
        """What became of requests, moderated publications included: ``answered``, or the code
        of the error."""
        self.held: Counter[str] = Counter()
        """Held responses that have ended, by how."""
        self.upstream: Counter[str] = Counter()
        """Requests that were handed to the upstream, by what became of them."""
        self.refused: Counter[str] = Counter()
        """What was turned away before it was a session, by what there was too much of."""
        self.forwarded: Counter[str] = Counter()
        """Requests handed to the nodes that have their sessions, by what became of them."""
        self.nodes = 1
        """How many nodes there are now as this one knows, itself included."""
        self.restarts = 0
        """How often this process was started again after another one in its place had ended."""
        self.entries = 0
        """Log entries read."""
        self.repeats = 0
        """Log entries dropped: repeats, or of a namespace that is not configured."""
        self.pushes = 0
        """Publications queued to sessions."""
        self.delivery_lag = Histogram(LAG_BOUNDS)
        """Seconds from the time that a publication states until it was queued to its room's
        sessions. Those that state none do not count, nor those read before the first catch-up."""
        self.cut_offs = 0
        """How often the log could not be read any more."""
        self.sent_elsewhere = 0
        """How often clients were sent elsewhere because this node could not read."""
        self.log_resets = 0
        """How often the log turned out to be another one."""

    def count_transports(self, report: TransportReport) -> None:
        """Count what a client says that it does not use."""
        for trial in report.tried:
            labels = fallbacks.labels(trial)
            self.transport_failures[labels] += 1
            self.transport_failure_seconds[labels] += fallbacks.seconds(trial)

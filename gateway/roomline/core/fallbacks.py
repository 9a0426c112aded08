"""What clients report of transports that failed them, as labels of a metric.

What a client says is never a label by itself: whatever is not in these sets counts as ``other``.
"""

from typing import Final

from roomline.core.messages import TransportTrial

SOCKJS_TRANSPORTS: Final = frozenset(
    {
        "websocket",
        "xhr-streaming",
        "xdr-streaming",
        "eventsource",
        "iframe-eventsource",
        "htmlfile",
        "iframe-htmlfile",
        "xhr-polling",
        "xdr-polling",
        "iframe-xhr-polling",
        "jsonp-polling",
    }
)
"""All that sockjs-client may try, by its names."""

REASONS: Final = frozenset({"unopened", "unanswered", "late", "silent", "cut", "remembered"})
"""Why a client does not use a transport (docs/protocol.rst)."""

OTHER: Final = "other"
_MAX_SECONDS: Final = 3600.0


def labels(trial: TransportTrial) -> tuple[str, str]:
    """Transport and reason, each one of a fixed set."""
    return (
        trial.transport if trial.transport in SOCKJS_TRANSPORTS else OTHER,
        trial.reason if trial.reason in REASONS else OTHER,
    )


def seconds(trial: TransportTrial) -> float:
    """How long it took to fail, an hour at most: nobody waits for longer."""
    return min(trial.ms / 1000, _MAX_SECONDS)

"""A node at one moment, as plain values: computed when somebody asks, and bounded."""

import time
from collections import Counter
from heapq import nlargest
from typing import Any, Final

from roomline import __version__
from roomline.core import fallbacks
from roomline.core.room import Room
from roomline.inspector.subject import Subject
from roomline.live import LiveSession
from roomline.node import Node

SHOWN: Final = 100
"""Sessions and rooms that are listed at most; the totals count them all."""
_RATE_SECONDS: Final = 60.0


def snapshot(subject: Subject) -> dict[str, Any]:
    """What the page shows. Sessions with the fullest outboxes come first, and rooms with most
    subscribers."""
    node = subject.node
    now = time.time()
    sessions = nlargest(SHOWN, node.sessions, key=_fullness)
    rooms = nlargest(SHOWN, node.rooms, key=lambda room: (len(room.subscribers), room.head_time))
    return {
        "time": now,
        "node": {"name": node.name, "version": __version__, "status": node.status},
        "nodes": [other._asdict() for other in subject.others()],
        "broker": _broker(subject.broker, node),
        "transports": Counter(live.link.transport for live in node.sessions),
        "fallbacks": [
            {"transport": transport, "reason": reason, "count": count}
            for (transport, reason), count in node.counters.transport_failures.items()
        ],
        "sessions": {
            "count": len(node.sessions),
            "waiting": sum(live.outbox.size for live in node.sessions),
            "shown": [session_row(live) for live in sessions],
        },
        "rooms": {"count": len(node.rooms), "shown": [_room(room, now) for room in rooms]},
        "incidents": [each._asdict() for each in node.incidents.latest(SHOWN)],
        "data": subject.data,
    }


def session_row(live: LiveSession) -> dict[str, Any]:
    """One session. Sizes are in bytes, times in seconds."""
    principal = live.session.principal
    report = live.report
    return {
        "session": live.session.id,
        "user": principal.user.id if principal and principal.user else None,
        "transport": live.link.transport,
        "tried": [
            {**_named(*fallbacks.labels(trial)), "seconds": fallbacks.seconds(trial)}
            for trial in (report.tried if report else ())
        ],
        "subscriptions": len(live.session.subscriptions),
        "sent": live.sent,
        "outbox": live.outbox.size,
        "limit": live.outbox.limit,
    }


def rate(room: Room, now: float) -> float:
    """Publications a second of the last minute, or of as much of it as the room's history holds."""
    held = room.history.latest(room.history.limit)
    recent = [item for item in held if item.time > now - _RATE_SECONDS]
    if not recent:
        return 0.0
    whole = len(recent) < len(held) or len(held) < room.history.limit
    span = _RATE_SECONDS if whole else now - recent[0].time
    return len(recent) / max(span, 1.0)


def _named(transport: str, reason: str) -> dict[str, str]:
    return {"transport": transport, "reason": reason}


def _fullness(live: LiveSession) -> float:
    return live.outbox.size / live.outbox.limit


def _room(room: Room, now: float) -> dict[str, Any]:
    return {
        "room": room.name,
        "subscribers": len(room.subscribers),
        "rate": round(rate(room, now), 2),
        "held": len(room.history),
        "last": room.head_time or None,
    }


def _broker(sort: str, node: Node) -> dict[str, Any]:
    counters = node.counters
    return {
        "sort": sort,
        "behind": node.readings.behind,
        "position": node.position,
        "unconfirmed": node.unconfirmed,
        "publishes": counters.publishes,
        "reconnects": node.reconnects,
        "cut_offs": counters.cut_offs,
        "log_resets": counters.log_resets,
    }

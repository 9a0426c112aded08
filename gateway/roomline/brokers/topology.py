"""What Roomline needs in RabbitMQ, as data, and how it is declared or, without rights, checked.

    exchange `rooms` (topic) ┬─ns.#────── stream `rooms.log`      one binding for each namespace
                             └─control.#─ stream `control.log`    revocations

    exchange `requests` (topic) ──#── queue `requests`          what clients ask handlers
         fails too often ▼
    exchange `requests.dead` (headers) ── queue `requests.dead`
    exchange `nodes` (direct) ── a queue of each node           what handlers answer

    exchange `signals` (fanout) ── a queue of each node         what nodes tell each other

No alternate exchange: routing through one counts as routed, and would turn "returned, try again"
into "confirmed and lost" while the stream is not up yet. Bindings that are not listed here are
none of our business.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from roomline.requests import (
    ATTEMPTS,
    DEAD_REQUESTS,
    DEAD_SECONDS,
    MAX_DEAD,
    NODES_EXCHANGE,
    REQUESTS_EXCHANGE,
    REQUESTS_QUEUE,
)
from roomline.tokens import CONTROL_RETENTION_SECONDS
from roomline.wire import CONTROL_NAMESPACE, CONTROL_STREAM, ROOMS_EXCHANGE, ROOMS_STREAM

_logger = logging.getLogger(__name__)

SEGMENTS: Final = 10
"""Retention forgets whole segments, so a segment is at most this fraction of what is kept."""
MAX_SEGMENT_BYTES: Final = 500_000_000
MIN_SEGMENT_BYTES: Final = 1_000
CONTROL_SEGMENT_BYTES: Final = 1_000_000
"""Some thousands of revocations: a node reads at most so many more than are kept."""

MAX_LOOKS: Final = 1_000_000
"""How often a dead request may be read and given back. RabbitMQ 4 drops it after 20 by default, and
3.10 knows no number for "never"."""

SIGNALS_EXCHANGE: Final = "signals"
"""The fanout exchange of what nodes tell each other."""

NOT_PERMITTED: Final = 403
NOT_FOUND: Final = 404
PRECONDITION_FAILED: Final = 406
REFUSALS: Final = (NOT_PERMITTED, NOT_FOUND, 405, PRECONDITION_FAILED, 530)
"""AMQP reply codes that say "no" to one declaration and not "broken" about everything."""


class Call(NamedTuple):
    """An AMQP method by the name that AMQP libraries give it, and its arguments."""

    method: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: str

    def call(self, passive: bool) -> Call:
        """Declare it, or only look whether it is there."""
        arguments = {"exchange": self.name, "passive": passive}
        if not passive:
            arguments |= {"exchange_type": self.type, "durable": True}
        return Call("exchange_declare", arguments)

    def __str__(self) -> str:
        return f"{self.type} exchange '{self.name}'"


@dataclass(frozen=True)
class Stream:
    """A stream with its retention: `max_age` in seconds, `max_bytes` in all its segments (None:
    by age alone)."""

    name: str
    max_age: int
    max_bytes: int | None

    @property
    def arguments(self) -> dict[str, Any]:
        """The queue arguments; another declaration with other ones is refused by RabbitMQ."""
        arguments: dict[str, Any] = {"x-queue-type": "stream", "x-max-age": f"{self.max_age}s"}
        segment = CONTROL_SEGMENT_BYTES
        if self.max_bytes is not None:
            segment = min(max(self.max_bytes // SEGMENTS, MIN_SEGMENT_BYTES), MAX_SEGMENT_BYTES)
            arguments["x-max-length-bytes"] = self.max_bytes
        return arguments | {"x-stream-max-segment-size-bytes": segment}

    def call(self, passive: bool) -> Call:
        """Declare it, or only look whether it is there."""
        arguments: dict[str, Any] = {"queue": self.name, "passive": passive}
        if not passive:
            arguments |= {"durable": True, "arguments": self.arguments}
        return Call("queue_declare", arguments)

    def __str__(self) -> str:
        return f"stream '{self.name}'"


@dataclass(frozen=True)
class Queue:
    """A durable queue, with its arguments."""

    name: str
    arguments: Mapping[str, Any]

    def call(self, passive: bool) -> Call:
        """Declare it, or only look whether it is there."""
        arguments: dict[str, Any] = {"queue": self.name, "passive": passive}
        if not passive:
            arguments |= {"durable": True, "arguments": dict(self.arguments)}
        return Call("queue_declare", arguments)

    def __str__(self) -> str:
        return f"queue '{self.name}'"


@dataclass(frozen=True)
class Binding:
    """What is published to the exchange with a matching key, or headers, goes to the stream or
    queue."""

    exchange: str
    stream: str
    key: str
    headers: Mapping[str, Any] | None = None

    def call(self, passive: bool) -> Call:
        """Bind. AMQP knows no passive binding."""
        arguments: dict[str, Any] = {
            "queue": self.stream,
            "exchange": self.exchange,
            "routing_key": self.key,
        }
        if self.headers is not None:
            arguments["arguments"] = dict(self.headers)
        return Call("queue_bind", arguments)

    def __str__(self) -> str:
        return f"binding '{self.key}' from exchange '{self.exchange}' to '{self.stream}'"


Item = Exchange | Stream | Queue | Binding


def rooms_topology(namespaces: Iterable[str], max_age: int, max_bytes: int) -> tuple[Item, ...]:
    """What publishing and the rooms' log need, in the order in which it can be declared."""
    return (
        Exchange(ROOMS_EXCHANGE, "topic"),
        Stream(ROOMS_STREAM, max_age, max_bytes),
        *[Binding(ROOMS_EXCHANGE, ROOMS_STREAM, f"{name}.#") for name in namespaces],
    )


def control_topology() -> tuple[Item, ...]:
    """What the log of revocations needs. No volume of anything trims it, only age."""
    return (
        Exchange(ROOMS_EXCHANGE, "topic"),
        Stream(CONTROL_STREAM, CONTROL_RETENTION_SECONDS, None),
        Binding(ROOMS_EXCHANGE, CONTROL_STREAM, f"{CONTROL_NAMESPACE}.#"),
    )


def requests_topology() -> tuple[Item, ...]:
    """What requests need, in the order in which it can be declared.

    A request whose time is over is dead to RabbitMQ too; the headers of the binding let through
    only those whose handler has failed, or whose workers have died.
    """
    return (
        Exchange(DEAD_REQUESTS, "headers"),
        Queue(
            DEAD_REQUESTS,
            {
                "x-queue-type": "quorum",  # a classic one is gone while its node is
                "x-delivery-limit": MAX_LOOKS,
                "x-max-length": MAX_DEAD,
                "x-message-ttl": DEAD_SECONDS * 1000,
            },
        ),
        *[
            Binding(
                DEAD_REQUESTS,
                DEAD_REQUESTS,
                reason,
                {"x-match": "any-with-x", "x-first-death-reason": reason},
            )
            for reason in ("rejected", "delivery_limit")
        ],
        Exchange(REQUESTS_EXCHANGE, "topic"),
        Queue(
            REQUESTS_QUEUE,
            {
                "x-queue-type": "quorum",
                "x-delivery-limit": ATTEMPTS - 1,
                "x-dead-letter-exchange": DEAD_REQUESTS,
            },
        ),
        Binding(REQUESTS_EXCHANGE, REQUESTS_QUEUE, "#"),
        Exchange(NODES_EXCHANGE, "direct"),
    )


def signals_topology() -> tuple[Item, ...]:
    """What signals need. Their queues, and what is in them, end with their nodes."""
    return (Exchange(SIGNALS_EXCHANGE, "fanout"),)


class Refusal(NamedTuple):
    """What RabbitMQ answered instead of doing it: the reply code and text of AMQP."""

    code: int
    text: str


class TopologyProblem(Exception):
    """Something is missing or different; `lasting` unless it may end without anybody's doing."""

    def __init__(self, text: str, *, lasting: bool) -> None:
        super().__init__(text)
        self.lasting = lasting


Attempt = Callable[[Item, bool], Awaitable[Refusal | None]]
"""Carry out ``item.call(passive)``; None when RabbitMQ did it."""


async def ensure(items: Iterable[Item], attempt: Attempt) -> None:
    """Declare what may be declared and check the rest; raises `TopologyProblem`."""
    for item in items:
        refusal = await attempt(item, False)
        forbidden = refusal
        if refusal and refusal.code == NOT_PERMITTED and not isinstance(item, Binding):
            refusal = await attempt(item, True)
        if refusal is None:
            continue
        if refusal.code == NOT_PERMITTED and isinstance(item, Binding):
            # Not to be checked without publishing: if it is missing, publications come back.
            _logger.info("the %s is taken to be there: %s", item, refusal.text)
        elif refusal.code == NOT_FOUND and "down or inaccessible" in refusal.text:
            raise TopologyProblem(f"the {item} is not up yet: {refusal.text}", lasting=False)
        elif refusal.code == NOT_FOUND and forbidden is not refusal and forbidden is not None:
            raise TopologyProblem(
                f"the {item} is missing, and this user may not make it ({forbidden.text}):"
                " let an administrator declare it, or grant the right to configure it",
                lasting=True,
            )
        elif refusal.code == PRECONDITION_FAILED:
            raise TopologyProblem(
                f"the {item} is there in another shape ({refusal.text}): use the same settings"
                " everywhere, and a policy to change the retention of a stream that exists",
                lasting=True,
            )
        else:
            raise TopologyProblem(
                f"the {item} cannot be used: {refusal.text}",
                lasting=refusal.code == NOT_PERMITTED,
            )

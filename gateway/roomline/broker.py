"""The Log and Broker interfaces: an append-only log that every node reads in the same order.

And Requests: the way of what is for one worker alone; and Signals: that of what nodes tell each
other.

::

    BrokerError
    ├── PublishRejected      the broker will never take this publication
    ├── BrokerUnavailable    not sent: try again
    └── PublishUnconfirmed   sent, outcome unknown: try again with the same message id
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Literal, Protocol

from roomline.requests import Answer, Request
from roomline.wire import Envelope

Start = Literal["first", "next"] | int | datetime
"""Where reading begins: the oldest retained entry, whatever is appended from now on, an offset
(or the oldest retained one after it), or the first entry appended at or after an aware time."""


class BrokerError(Exception):
    """What a broker raises; its text is for operators."""


class PublishRejected(BrokerError):
    """The broker refuses this publication for good: too large, or not permitted."""


class BrokerUnavailable(BrokerError):
    """The publication is not in the log: broker out of reach, blocked, or it was returned."""


class PublishUnconfirmed(BrokerError):
    """The publication may or may not be in the log: the connection broke before the answer."""


class Listener(Protocol):
    """What a broker calls, always in the event loop's thread. None of it may raise or block."""

    def deliver(self, partition: int, offset: int, envelope: Envelope) -> None:
        """One log entry. Offsets increase within a partition, with holes, and never repeat,
        except after `log_reset`."""

    def caught_up(self) -> None:
        """All that stood in the log when reading began, or began again, has been delivered."""

    def cut_off(self, reason: str) -> None:
        """The log cannot be read for now. The broker keeps trying; `caught_up` ends it."""

    def log_reset(self, reason: str) -> None:
        """The last delivered entry is not in the log any more: it was trimmed past, deleted, or
        re-created. What follows is read from the oldest retained entry."""


class Log(Protocol):
    """A log to read. One instance is used by one event loop."""

    @property
    def reconnects(self) -> Mapping[str, int]:
        """How often each connection to a server has been made again after its first time, by what
        it is for; empty where there is no server."""

    async def start(self, listener: Listener, start: Start) -> None:
        """Begin to read.

        Returns when reading has begun, or when the first attempt failed (`cut_off` has then been
        called and attempts go on). Raises `BrokerError` when no later attempt could succeed:
        wrong credentials, a missing permission, a log of another shape.
        """

    async def close(self) -> None:
        """Stop reading and let go of everything. Bounded."""


class Broker(Log, Protocol):
    """An exchange and the log behind it; `start` begins to accept publications as well.

    Ordering: publications handed over by successive `publish` calls are appended in that order
    as long as each is confirmed. `close` waits (bounded) for those that are unconfirmed.
    """

    partitions: int
    """The number of partitions; they are numbered from 0."""

    first_offset: int
    """The offset that the first entry of a new log gets."""

    publisher: str
    """The name that the log states as `Envelope.publisher` of what this instance publishes."""

    def publish(self, envelope: Envelope) -> asyncio.Future[None]:
        """Append; the future ends when the broker has confirmed, or with a `BrokerError`.

        It always ends: a blocked or silent broker gives `BrokerUnavailable` or
        `PublishUnconfirmed` within the broker's own time-out. `envelope.publisher` is replaced
        by this broker's.
        """


class Requests(Protocol):
    """The way of requests to the workers, and of their answers back to this node.

    One instance is used by one event loop. A request is given to one worker, again to another
    one if the first dies, and to none any more when its time is over.
    """

    @property
    def reconnects(self) -> Mapping[str, int]:
        """See `Log.reconnects`."""

    async def start(self) -> None:
        """Begin to accept requests; attempts go on if the first one fails.

        Raises `BrokerError` when no later attempt could succeed.
        """

    def send(self, request: Request) -> asyncio.Future[Answer]:
        """Put a request where a worker takes it; the future ends with the answer.

        It always ends, after ``request.timeout`` seconds at the latest: with `BrokerUnavailable`
        or `PublishRejected` if no worker will ever get it, with `PublishUnconfirmed` if nobody
        knows.
        """

    async def close(self) -> None:
        """Let go of everything; what still waits ends with `PublishUnconfirmed`."""


class Signals(Protocol):
    """The way of signals: what a node tells all others, of which nobody keeps anything.

    One instance is used by one event loop. Signals are small (`MAX_SIGNAL_BYTES`). They may get
    lost, and come twice or in another order; whoever sends them lives with that, by sending again.
    """

    async def start(self, take: Callable[[bytes], None]) -> None:
        """Begin: `take` gets the signals of others from now on, in the event loop's thread.

        Attempts go on if the first one fails. Raises `BrokerError` when no later one could
        succeed.
        """

    def send(self, signal: bytes) -> None:
        """Tell all others, if that can be done now. Never raises or waits; `ValueError` for what
        is too long."""

    async def close(self) -> None:
        """Stop, and let go of everything. Bounded."""


MAX_SIGNAL_BYTES: Final = 4096


def check_signal(signal: bytes) -> None:
    """Raise `ValueError` for a signal that is too long."""
    if len(signal) > MAX_SIGNAL_BYTES:
        raise ValueError(f"a signal of {len(signal)} bytes, at most {MAX_SIGNAL_BYTES} go")

"""The Log and Broker interfaces: an append-only log that every node reads in the same order.

::

    BrokerError
    ├── PublishRejected      the broker will never take this publication
    ├── BrokerUnavailable    not sent: try again
    └── PublishUnconfirmed   sent, outcome unknown: try again with the same message id
"""

import asyncio
from datetime import datetime
from typing import Literal, Protocol

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

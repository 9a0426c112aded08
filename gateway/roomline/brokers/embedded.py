"""The broker of one machine: publishes to and follows a `SqliteLog`, with no server to install.

::

    publish ──▶ LogThread ──▶ SqliteLog
    listener ◀──────┘
"""

import asyncio
import os
from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from roomline.broker import BrokerError, BrokerUnavailable, Listener, PublishRejected, Start
from roomline.brokers.guarded import Guarded
from roomline.brokers.logthread import DEFAULT_BYTES_PER_TURN, POLL_SECONDS, LogThread, Waiting
from roomline.sqlitelog import (
    CONTROL_SUFFIX,
    DEFAULT_RETENTION_BYTES,
    DEFAULT_RETENTION_SECONDS,
    PUBLISHER,
    SqliteLog,
    check_envelope,
)
from roomline.tokens import CONTROL_RETENTION_SECONDS
from roomline.wire import Envelope, InvalidData, InvalidName, namespace_of

CONTROL_POLL_SECONDS: Final = 0.05
"""How often the log of revocations is looked at: a file more, for what has a second's time."""
CONTROL_RETENTION_BYTES: Final = 2**40
"""Nothing: revocations are kept by age alone."""


class EmbeddedLog:
    """A `roomline.broker.Log`: the file at `path`, looked at every `poll_seconds`, for one event
    loop. A file that is deleted meanwhile is made anew and read from its beginning.

    Retention (seconds, bytes) is that of `SqliteLog`; every reader of the file trims it.
    `bytes_per_turn` bounds the bodies that are delivered in one turn of the event loop; a single
    larger one has a turn to itself.
    """

    reconnects: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        retention_seconds: float,
        retention_bytes: int,
        bytes_per_turn: int = DEFAULT_BYTES_PER_TURN,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._bytes_per_turn = bytes_per_turn
        self._poll_seconds = poll_seconds
        self._open = lambda: SqliteLog(
            path, retention_seconds=retention_seconds, retention_bytes=retention_bytes
        )
        self._thread: LogThread | None = None
        self._closed = False

    async def start(self, listener: Listener, start: Start) -> None:
        """See `roomline.broker.Log.start`. Once per instance.

        An offset beyond what the log has ever given out is not waited for: the log was replaced,
        and `log_reset` says so.
        """
        if self._thread is not None or self._closed:
            raise RuntimeError("a log is started once: make another one to read again")
        if isinstance(start, datetime) and start.tzinfo is None:
            raise ValueError(f"the time {start} has no time zone, and one is needed")
        loop = asyncio.get_running_loop()
        self._thread = LogThread(
            self._open, loop, Guarded(listener), start, self._bytes_per_turn, self._poll_seconds
        )
        self._thread.start()
        await self._thread.started

    async def close(self) -> None:
        """See `roomline.broker.Log.close`. Takes at most `CLOSE_SECONDS`. Idempotent."""
        self._closed = True
        if self._thread is not None:
            await self._thread.close()


def control_log(path: str | os.PathLike[str]) -> EmbeddedLog:
    """The log of revocations that belongs to the rooms' log at `path`."""
    return EmbeddedLog(
        f"{os.fspath(path)}{CONTROL_SUFFIX}",
        retention_seconds=CONTROL_RETENTION_SECONDS,
        retention_bytes=CONTROL_RETENTION_BYTES,
        poll_seconds=CONTROL_POLL_SECONDS,
    )


class EmbeddedBroker(EmbeddedLog):
    """A `roomline.broker.Broker` on the file at `path`, for one event loop.

    Rooms outside `namespaces` are not routed. Confirmed means: as durable as `roomline.sqlitelog`
    states. The rest is as for `EmbeddedLog`.
    """

    partitions = 1
    first_offset = 1
    publisher = PUBLISHER

    def __init__(
        self,
        path: str | os.PathLike[str],
        namespaces: Collection[str],
        *,
        retention_seconds: float = DEFAULT_RETENTION_SECONDS,
        retention_bytes: int = DEFAULT_RETENTION_BYTES,
        bytes_per_turn: int = DEFAULT_BYTES_PER_TURN,
    ) -> None:
        super().__init__(
            path,
            retention_seconds=retention_seconds,
            retention_bytes=retention_bytes,
            bytes_per_turn=bytes_per_turn,
        )
        self._namespaces = frozenset(namespaces)

    def publish(self, envelope: Envelope) -> asyncio.Future[None]:
        """See `roomline.broker.Broker.publish`."""
        confirmed = asyncio.get_running_loop().create_future()
        try:
            worker = self._accept(envelope)
        except BrokerError as error:
            confirmed.set_exception(error)
        else:
            worker.append(Waiting(envelope._replace(publisher=PUBLISHER), confirmed))
        return confirmed

    def _accept(self, envelope: Envelope) -> LogThread:
        try:
            check_envelope(envelope)
        except (InvalidName, InvalidData) as error:
            raise PublishRejected(str(error)) from None
        if namespace_of(envelope.room) not in self._namespaces:
            raise BrokerUnavailable(
                f"room {envelope.room!r} is not routed to the log: its namespace is none of"
                f" {', '.join(sorted(self._namespaces))}"
            )
        if self._closed or self._thread is None:
            raise BrokerUnavailable("this broker is not started, or was closed")
        refusal = self._thread.refusal()
        if refusal is not None:
            raise BrokerUnavailable(refusal)
        return self._thread

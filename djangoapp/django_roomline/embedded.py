"""Publishing into the embedded log."""

import math
import time

from roomline.sqlitelog import (
    CONTROL_SUFFIX,
    PUBLISHER,
    LogError,
    LogReplaced,
    LogUnconfirmed,
    SqliteLog,
)
from roomline.wire import CONTROL_NAMESPACE, Envelope, namespace_of

from django_roomline.exceptions import BrokerUnavailable, PublishUnconfirmed
from django_roomline.pool import AllTaken, Pool, Turn


class EmbeddedPublisher:
    """Appends to the log at `path`. The threads of a process take turns: SQLite has one writer."""

    def __init__(self, path: str) -> None:
        self._rooms = _File(path)
        self._control = _File(path + CONTROL_SUFFIX)

    def publish(self, envelope: Envelope, timeout: float) -> None:
        """Return when it is in the log; raises a `PublishError` after `timeout` seconds at most."""
        control = namespace_of(envelope.room) == CONTROL_NAMESPACE
        file = self._control if control else self._rooms
        file.append(envelope._replace(publisher=PUBLISHER), timeout)

    def disconnect(self) -> None:
        """Close the files to which no thread is appending."""
        self._rooms.close_idle()
        self._control.close_idle()


class _File:
    """One log, which is opened when it is needed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._pool = Pool[SqliteLog](1, math.inf)

    def append(self, envelope: Envelope, timeout: float) -> None:
        """Return when it is in the log; raises a `PublishError`."""
        deadline = time.monotonic() + timeout
        try:
            with self._pool.turn(deadline) as turn:
                try:
                    self._append(turn, envelope, deadline)
                except LogReplaced:
                    if turn.connection is not None:
                        turn.connection.close()
                        turn.connection = None
                    self._append(turn, envelope, deadline)
        except AllTaken:
            raise BrokerUnavailable(
                f"cannot append to {self._path}: other threads kept it busy for {timeout:g} seconds"
            ) from None
        except LogUnconfirmed as error:
            raise PublishUnconfirmed(str(error)) from error
        except LogError as error:
            raise BrokerUnavailable(str(error)) from error

    def close_idle(self) -> None:
        """Close it if no thread is appending."""
        self._pool.close_idle()

    def _append(self, turn: Turn[SqliteLog], envelope: Envelope, deadline: float) -> None:
        if turn.connection is None:
            turn.connection = SqliteLog(self._path, timeout=_left(deadline))
        turn.connection.append([envelope], timeout=_left(deadline))


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())

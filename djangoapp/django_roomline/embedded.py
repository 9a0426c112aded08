"""Publishing into the embedded log."""

import math
import time

from roomline.sqlitelog import LogError, LogReplaced, LogUnconfirmed, SqliteLog
from roomline.wire import Envelope

from django_roomline.conf import EMBEDDED_PUBLISHER
from django_roomline.exceptions import BrokerUnavailable, PublishUnconfirmed
from django_roomline.pool import AllTaken, Pool, Turn


class EmbeddedPublisher:
    """Appends to the log at `path`. The threads of a process take turns: SQLite has one writer."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._pool = Pool[SqliteLog](1, math.inf)

    def publish(self, envelope: Envelope, timeout: float) -> None:
        """Return when it is in the log; raises a `PublishError` after `timeout` seconds at most."""
        deadline = time.monotonic() + timeout
        envelope = envelope._replace(publisher=EMBEDDED_PUBLISHER)
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

    def disconnect(self) -> None:
        """Close the file if no thread is appending."""
        self._pool.close_idle()

    def _append(self, turn: Turn[SqliteLog], envelope: Envelope, deadline: float) -> None:
        if turn.connection is None:
            turn.connection = SqliteLog(self._path, timeout=_left(deadline))
        turn.connection.append([envelope], timeout=_left(deadline))


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())

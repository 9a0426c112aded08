"""Requests from the embedded queue, beside the embedded log."""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Final

from roomline.requests import Answer, DeadRequest
from roomline.sqlitefile import LogError, LogUnavailable
from roomline.sqlitequeue import QUEUE_SUFFIX, Claim, SqliteQueue

from django_roomline.sources import SourceUnavailable

LEASE_SECONDS: Final = 5.0
"""How long after a worker's death another one gets what it had."""
POLL_SECONDS: Final = 0.01
"""How often the queue is asked whether there is something new."""
LOOK_SECONDS: Final = 0.5
"""How often it is looked at all the same: time alone frees what has failed or was left behind."""

_logger = logging.getLogger("django_roomline")


class EmbeddedSource:
    """See `Source`. `path` is that of the log."""

    def __init__(self, path: str) -> None:
        self._path = path + QUEUE_SUFFIX
        self._queue: SqliteQueue | None = None
        self._held: dict[str, Claim] = {}
        """By lease."""
        self._seen = -1
        self._look_at = 0.0
        self._renew_at = 0.0

    def take(self, seconds: float) -> "_Delivery | None":
        """See `Source`."""
        deadline = time.monotonic() + seconds
        while True:
            with self._opened() as queue:
                self._renew(queue)
                if claim := self._claim(queue):
                    self._held[claim.lease] = claim
                    return _Delivery(self, queue, claim)
            if time.monotonic() >= deadline:
                return None
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """See `Source`."""

    def tend(self, seconds: float) -> None:
        """See `Source`."""
        with self._opened() as queue:
            self._renew(queue)
        time.sleep(seconds)

    def close(self) -> None:
        """See `Source`."""
        if self._queue is not None:
            with contextlib.suppress(LogError):
                self._queue.renew(self._held.values(), 0.0)
            self._queue.close()
            self._queue = None

    def drop(self, claim: Claim) -> None:
        """Its lease is not to be renewed any more."""
        self._held.pop(claim.lease, None)

    def _claim(self, queue: SqliteQueue) -> Claim | None:
        changes, now = queue.changes(), time.monotonic()
        if changes == self._seen and now < self._look_at:
            return None
        claim = queue.claim(LEASE_SECONDS)
        if claim is None:
            self._seen, self._look_at = changes, now + LOOK_SECONDS
        return claim

    def _renew(self, queue: SqliteQueue) -> None:
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + LEASE_SECONDS / 4
            if held := list(self._held.values()):
                queue.renew(held, LEASE_SECONDS)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[SqliteQueue]:
        try:
            if self._queue is None:
                self._queue = SqliteQueue(self._path)
                self._seen = -1
            yield self._queue
        except LogError as error:
            # What was taken from a file that is busy only is answered there yet.
            if self._queue is not None and not isinstance(error, LogUnavailable):
                self._queue.close()
                self._queue = None
            raise SourceUnavailable(str(error)) from error


class _Delivery:
    """See `Delivery`."""

    def __init__(self, source: EmbeddedSource, queue: SqliteQueue, claim: Claim) -> None:
        self.request = claim.request
        self.attempt = claim.attempt
        self._source = source
        self._queue = queue
        self._claim = claim

    def answer(self, answer: Answer) -> None:
        """See `Delivery`."""
        with self._spared("an answer to"):
            self._queue.answer(self._claim, answer)

    def finish(self) -> None:
        """See `Delivery`."""
        self._source.drop(self._claim)
        with self._spared("the end of"):
            self._queue.finish(self._claim)

    def fail(self, pause: float) -> None:
        """See `Delivery`."""
        self._source.drop(self._claim)
        with self._spared("the failure of"):
            self._queue.release(self._claim, pause)

    @contextlib.contextmanager
    def _spared(self, what: str) -> Iterator[None]:
        try:
            yield
        except LogError as error:
            _logger.warning("%s request %s is lost: %s", what, self.request.id, error)


class EmbeddedGraveyard:
    """See `Graveyard`. `path` is that of the log."""

    def __init__(self, path: str) -> None:
        self._path = path + QUEUE_SUFFIX

    def dead(self) -> list[DeadRequest]:
        """See `Graveyard`."""
        with self._opened() as queue:
            return queue.dead()

    def requeue_dead(self) -> int:
        """See `Graveyard`."""
        with self._opened() as queue:
            return queue.requeue_dead()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[SqliteQueue]:
        try:
            queue = SqliteQueue(self._path)
            try:
                yield queue
            finally:
                queue.close()
        except LogError as error:
            raise SourceUnavailable(str(error)) from error

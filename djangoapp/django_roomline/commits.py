"""What one transaction publishes when it commits: each publication is tried, one error is raised.

Django forgets the hooks of a savepoint that is rolled back, and all the others after one that
raises. So each publication has a hook of its own, which never raises; behind it stands one that
no savepoint takes away, of which only the transaction's last raises what went wrong.
"""

import logging
import time
from dataclasses import dataclass
from typing import Final, Protocol

from django.db import transaction
from roomline.wire import Envelope

from django_roomline.exceptions import BrokerUnavailable, PublicationsFailed, PublishError

MAX_NAMED: Final = 10
"""Failed publications that an error names; it carries the others, too."""

_logger = logging.getLogger("django_roomline")


class Send(Protocol):
    """Brings an envelope into the log within so many seconds, or raises a `PublishError`."""

    def __call__(self, envelope: Envelope, timeout: float) -> None:
        """Return when it is in the log."""


def publish_on_commit(envelope: Envelope, using: str | None, timeout: float, send: Send) -> None:
    """Send when the current transaction of the database `using` commits; at once if there is none.

    The failures of one transaction together take at most `timeout` seconds.
    """
    connection = transaction.get_connection(using)
    if not connection.in_atomic_block:
        transaction.on_commit(lambda: send(envelope, timeout), using)
        return
    # The hooks of the transaction tell whether it has a batch: Django drops them with it.
    hooks = connection.run_on_commit
    ends = (hook for _, hook, _ in reversed(hooks) if isinstance(hook, _End))
    batch = next((end.batch for end in ends), None) or _Batch(timeout)
    transaction.on_commit(lambda: batch.send(envelope, send), using)
    batch.ends += 1
    # As `on_commit` does it, but of no savepoint. Django has no public way.
    hooks.append((set(), _End(batch, batch.ends), False))


class _Batch:
    """The publications of one transaction."""

    def __init__(self, timeout: float) -> None:
        self.ends = 0
        self._timeout = timeout
        self._begin()

    def _begin(self) -> None:
        self._patience = self._timeout
        self._tried = 0
        self._failed: list[tuple[str, PublishError]] = []

    def send(self, envelope: Envelope, send: Send) -> None:
        """Send one and remember how it failed."""
        self._tried += 1
        began = time.monotonic()
        try:
            if self._patience <= 0:
                raise BrokerUnavailable(
                    f"not tried: those before it have failed for {self._timeout:g} seconds"
                )
            send(envelope, self._patience)
        except PublishError as error:
            self._patience -= time.monotonic() - began
            self._failed.append((envelope.room, error))
            # Another app's hook that raises would keep the error below from being raised.
            _logger.error("publishing to room %s failed: %s", envelope.room, error)

    def finish(self) -> None:
        """Raise what went wrong, if anything did."""
        failed, tried = self._failed, self._tried
        self._begin()
        if len(failed) == 1:
            raise failed[0][1]
        if failed:
            named = "; ".join(f"to {room}: {error}" for room, error in failed[:MAX_NAMED])
            more = f"; and {len(failed) - MAX_NAMED} more" if len(failed) > MAX_NAMED else ""
            raise PublicationsFailed(
                f"{len(failed)} of the {tried} publications of a transaction failed: {named}{more}",
                [error for _, error in failed],
            )


@dataclass(frozen=True)
class _End:
    """A hook that ends the batch unless another one of the transaction stands behind it."""

    batch: _Batch
    number: int

    def __call__(self) -> None:
        if self.number == self.batch.ends:
            self.batch.finish()

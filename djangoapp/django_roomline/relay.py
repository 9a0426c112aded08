"""The relay: publishes what waits in the transactional outbox, and deletes what is confirmed.

::

    take the lease ─▶ read rows ─▶ publish each, confirmed ─▶ delete them ─▶ ... ─▶ release

Nothing is lost wherever this ends: a row goes only after the log has its publication. What was
confirmed and not deleted is published again, by this relay or another, under the same message id,
so that readers of the log drop the repeat. So does a relay that stood still for longer than its
lease and did not know.
"""

import contextlib
import enum
import logging
import time
from collections.abc import Sequence
from typing import Final

from django.db import Error as DatabaseError
from django.db import connections
from django.db.models import QuerySet
from roomline.sqlitelog import check_envelope
from roomline.wire import CONTROL_NAMESPACE, namespace_of

from django_roomline import conf
from django_roomline.commits import Send
from django_roomline.exceptions import PublishError, PublishRejected, PublishReturned
from django_roomline.leases import Hold
from django_roomline.models import OutboxMessage
from django_roomline.pauses import Pauses
from django_roomline.publishing import send
from django_roomline.revocations import begun_now
from django_roomline.stopping import Stop

LEASE: Final = "outbox"
LEASE_SECONDS: Final = 6.0
"""How long after a relay's death another one takes over, at most. No publication takes longer than
the rest of the lease, which is half of it at least."""
BATCH: Final = 100
"""Rows that are read, and deleted, at once: what a crash can make repeats of."""
RETURNED_SECONDS: Final = 2.0
"""How long a namespace rests of which RabbitMQ has returned a publication."""

_logger = logging.getLogger("django_roomline")


class Outcome(enum.Enum):
    """What became of what was waiting."""

    DONE = enum.auto()
    """All of it was published, or refused for good, or this was asked to stop."""
    RETURNED = enum.auto()
    """Some of it waits until RabbitMQ has a log for its namespace."""
    STANDING_BY = enum.auto()
    """Another relay is at work."""


class Relay:
    """Publishes from the outbox in the database `using`, one relay of several at a time."""

    def __init__(
        self, using: str, stop: Stop, *, send: Send = send, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self.published = 0
        self.refused = 0
        self._using = using
        self._stop = stop
        self._send = send
        self._hold = Hold(LEASE, using, lease_seconds)
        self._resting: dict[str, float] = {}
        """Namespaces without a log, and until when (monotonic) they are left alone."""

    def run(self, interval: float) -> None:
        """Relay until asked to stop, looking into the outbox every `interval` seconds.

        While the broker or the database is away it tries again, less and less often.
        """
        pauses = Pauses()
        while not self._stop.asked:
            try:
                self.drain()
                pauses.reset()
                pause = interval
            except (PublishError, DatabaseError) as error:
                pause = pauses.next()
                _logger.warning("the outbox waits, next try in %.1f seconds: %s", pause, error)
                # If it was the database that went away, the connection does not come back.
                with contextlib.suppress(DatabaseError):
                    connections[self._using].close()
            self._stop.wait(pause)

    def drain(self) -> Outcome:
        """Publish all that waits, until none is left or the relay is asked to stop.

        Raises the `PublishError` of a broker that is away, and `django.db.Error`. What was
        confirmed before that is deleted.
        """
        if not self._waiting().exists():
            return self._outcome()
        # Only what is read after this is ours: another relay may be about to delete the others.
        if not self._hold.take():
            return Outcome.STANDING_BY
        try:
            while messages := self._waiting()[:BATCH]:
                if not self._relay(messages):
                    return Outcome.STANDING_BY
                if self._stop.asked:
                    break
        finally:
            with contextlib.suppress(DatabaseError):  # then it expires
                self._hold.release()
        return self._outcome()

    def _outcome(self) -> Outcome:
        return Outcome.RETURNED if self._resting else Outcome.DONE

    def _waiting(self) -> "QuerySet[OutboxMessage]":
        """What is to be published now, whatever namespace of it has rested for long enough."""
        now = time.monotonic()
        self._resting = {name: until for name, until in self._resting.items() if until > now}
        waiting = OutboxMessage.objects.using(self._using).filter(refused=False)
        waiting = waiting.order_by("-urgent", "id")
        for namespace in self._resting:
            waiting = waiting.exclude(room=namespace).exclude(room__startswith=f"{namespace}.")
        return waiting

    def _relay(self, messages: "QuerySet[OutboxMessage]") -> bool:
        """Publish these in order and delete those that are confirmed; whether the lease lasted."""
        confirmed: list[int] = []
        try:
            for message in messages:
                if self._stop.asked:
                    break
                if not self._hold.renew():
                    return False
                if namespace_of(message.room) not in self._resting and self._publish(message):
                    confirmed.append(message.pk)
        finally:
            self._delete(confirmed)
        return True

    def _publish(self, message: OutboxMessage) -> bool:
        """Whether it is in the log now; notes in its row why it is not, if that is its own affair.

        Raises a `PublishError` that concerns all.
        """
        timeout = min(conf.current().publish_timeout, self._hold.left)
        try:
            envelope = message.envelope()
            check_envelope(envelope)  # whoever may write the table may have written anything
            if namespace_of(envelope.room) == CONTROL_NAMESPACE:
                envelope = begun_now(envelope)
            self._send(envelope, timeout)
        except PublishReturned as error:
            self._resting[namespace_of(message.room)] = time.monotonic() + RETURNED_SECONDS
            self._note(message, error, refused=False)
            return False
        except (PublishRejected, ValueError) as error:
            self._note(message, error, refused=True)
            self.refused += 1
            return False
        self.published += 1
        return True

    def _note(self, message: OutboxMessage, error: Exception, *, refused: bool) -> None:
        if refused or message.error != str(error):  # else it was noted and said before
            _logger.warning("%s in the outbox: %s", message, error)
            row = OutboxMessage.objects.using(self._using).filter(pk=message.pk)
            row.update(error=str(error), refused=refused)

    def _delete(self, confirmed: Sequence[int]) -> None:
        if confirmed:
            OutboxMessage.objects.using(self._using).filter(pk__in=confirmed).delete()

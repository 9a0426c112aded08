"""`publish`: from views, tasks, signals and shells into a room's log."""

import functools
import os
import threading
import time
import uuid
from typing import Any, Final, Protocol

from django.db import transaction
from roomline.sqlitelog import LogError, LogReplaced, LogUnconfirmed, SqliteLog
from roomline.wire import KINDS, Envelope, Kind, body_of, check_room, shorten

from django_roomline import conf
from django_roomline.exceptions import BrokerUnavailable, PublishUnconfirmed

EMBEDDED_PUBLISHER: Final = "roomline"
"""The publisher's name in the embedded log, where no broker validates one."""


class Publisher(Protocol):
    """What brings one envelope into the log, for all threads of one process."""

    def publish(self, envelope: Envelope) -> None:
        """Return when it is in the log; raises a `PublishError`."""

    def disconnect(self) -> None:
        """Let go of what the calling thread holds open."""


def publish(room: str, data: Any, kind: Kind = "message", on_commit: bool = True) -> None:
    """Publish JSON data to a room, by default when the current transaction commits.

    Outside of a transaction, and with ``on_commit=False``, that is at once. Rolled back means
    not published. It is confirmed: when the publishing is done, the publication is in the log.
    One call takes at most ``ROOMLINE["PUBLISH_TIMEOUT"]`` seconds.

    Raises at once, before any commit: `roomline.wire.InvalidName` for the room,
    `roomline.wire.InvalidData` for data that is not JSON or too large, `ValueError` for the kind.
    Raises when it is published: a `PublishError`. With `on_commit` that comes out of the block
    that commits; what the block wrote to the database is then saved.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {shorten(kind)}, accepted are {', '.join(KINDS)}")
    envelope = Envelope(
        room=check_room(room),
        body=body_of(data),
        message_id=uuid.uuid4().hex,
        time=int(time.time() * 1000),
        kind=kind,
    )
    if on_commit:
        transaction.on_commit(functools.partial(_publish_now, envelope))
    else:
        _publish_now(envelope)


def disconnect() -> None:
    """Close the connection to the broker that the calling thread has, if it has one.

    A thread that publishes and then ends, in a long-lived process, calls this first. Any later
    `publish` connects anew.
    """
    _publisher(conf.current(), os.getpid()).disconnect()


def _publish_now(envelope: Envelope) -> None:
    _publisher(conf.current(), os.getpid()).publish(envelope)


# A fork makes its own. It keeps its parent's as well, unused, so that nothing there is closed:
# SQLite does not take that from another process, and RabbitMQ would hear a goodbye.
@functools.cache
def _publisher(settings: conf.Settings, pid: int) -> Publisher:
    if settings.embedded_path is not None:
        return _EmbeddedPublisher(settings.embedded_path)
    # Not at the top of the file: projects on the embedded log need no pika.
    from django_roomline.amqp import AmqpPublisher

    return AmqpPublisher(settings.broker, settings.publish_timeout)


class _EmbeddedPublisher:
    """Appends to the embedded log, which all threads share."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._log: SqliteLog | None = None

    def publish(self, envelope: Envelope) -> None:
        envelope = envelope._replace(publisher=EMBEDDED_PUBLISHER)
        try:
            try:
                self._opened().append([envelope])
            except LogReplaced:
                self.disconnect()
                self._opened().append([envelope])
        except LogUnconfirmed as error:
            raise PublishUnconfirmed(str(error)) from error
        except LogError as error:
            raise BrokerUnavailable(str(error)) from error

    def disconnect(self) -> None:
        with self._lock:
            if self._log is not None:
                self._log.close()
                self._log = None

    def _opened(self) -> SqliteLog:
        with self._lock:
            if self._log is None:
                self._log = SqliteLog(self._path)
            return self._log

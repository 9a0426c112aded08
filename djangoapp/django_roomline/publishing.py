"""`publish`: from views, tasks, signals and shells into a room's log."""

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict

from asgiref.sync import sync_to_async
from django.core import mail
from django.db import DEFAULT_DB_ALIAS
from roomline.wire import (
    CONTROL_NAMESPACE,
    KINDS,
    MAX_KEY_LENGTH,
    Envelope,
    InvalidName,
    Kind,
    Sender,
    body_of,
    check_room,
    message_id_of,
    namespace_of,
    shorten,
)

from django_roomline import conf
from django_roomline.commits import publish_on_commit
from django_roomline.embedded import EmbeddedPublisher
from django_roomline.identity import sender_of

if TYPE_CHECKING:  # projects import this file before there are models
    from django.contrib.auth.base_user import AbstractBaseUser

PRINCIPAL: Final = "publisher:django"
"""Whom a key belongs to: all of a project's processes, and nobody else. No user id has a colon."""


class Options(TypedDict, total=False):
    """What `publish` takes beside a room and data."""

    kind: Kind
    on_commit: bool
    key: str | None
    using: str | None
    outbox: bool | None
    sender: "AbstractBaseUser | Sender | None"


class Publisher(Protocol):
    """What brings one envelope into the log, for all threads of one process."""

    def publish(self, envelope: Envelope, timeout: float) -> None:
        """Return when it is in the log; raises a `PublishError` after `timeout` seconds at most."""

    def disconnect(self) -> None:
        """Close the connections that no thread is using."""


def publish(
    room: str,
    data: Any,
    kind: Kind = "message",
    on_commit: bool = True,
    *,
    key: str | None = None,
    using: str | None = None,
    outbox: bool | None = None,
    sender: "AbstractBaseUser | Sender | None" = None,
) -> None:
    """Publish JSON data to a room, by default when the current transaction commits.

    Outside of a transaction, and with ``on_commit=False``, that is at once. Rolled back, be it to
    a savepoint, means not published. `using` names the database whose transaction is meant; None
    is the default one. It is confirmed: when the publishing is done, the publication is in the
    log. One call takes at most ``ROOMLINE["PUBLISH_TIMEOUT"]`` seconds; what fails of one
    transaction takes no more than that in all.

    `key` (1 to 128 characters) makes it harmless to publish the same again, after an error or in
    a task that is run twice: of the publications to a room with the same key, subscribers see the
    first one only, as long as they stand near each other in the log.

    With `outbox` the publication becomes a row of the database `using`, in the same transaction
    as everything else there, and ``manage.py roomline_relay`` publishes it: the broker may be
    away, and nothing is lost whatever dies when. None takes ``ROOMLINE["OUTBOX"]``, unless
    `on_commit` is False: what is to be published at once does not wait in a table.

    `sender` is whom the publication is from, for subscribers to see: a user, or a
    `roomline.wire.Sender`. The project vouches for it; None is the project itself.

    Raises at once, before any commit: `roomline.wire.InvalidName` for the room,
    `roomline.wire.InvalidData` for data that is not JSON or too large, `ValueError` for the kind
    or the key, or for `outbox` without `on_commit`. A sender whose id is no user id is an
    `InvalidName`, too. Raises when it is published: a `PublishError`.

    With `on_commit` that comes out of the block that commits; what the block wrote to the
    database is then saved. All publications of the transaction are tried, in order; if several
    fail it is a `PublicationsFailed`. It is raised behind the transaction's last publication:
    ``transaction.on_commit`` hooks that others registered before that have run, and Django drops
    those registered after it, as it does after any hook that raises.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {shorten(kind)}, accepted are {', '.join(KINDS)}")
    if outbox and not on_commit:
        raise ValueError(
            "outbox=True contradicts on_commit=False: rows of the outbox are published after the"
            " transaction that they are part of; leave out one of the two"
        )
    settings = conf.current()
    if namespace_of(check_room(room)) == CONTROL_NAMESPACE:
        raise InvalidName(f"room is {shorten(room)}: rooms in {CONTROL_NAMESPACE} are nobody's")
    envelope = Envelope(
        room=room,
        body=body_of(data),
        message_id=uuid.uuid4().hex if key is None else _message_id(room, key),
        time=int(time.time() * 1000),
        kind=kind,
        key=key,
        sender=None if sender is None else sender_of(sender),
    )
    if not on_commit:
        send(envelope, settings.publish_timeout)
    elif settings.outbox if outbox is None else outbox:
        # Not at the top of the file: projects import it before there are models.
        from django_roomline.models import OutboxMessage

        OutboxMessage.of(envelope).save(using=using or DEFAULT_DB_ALIAS, force_insert=True)
    else:
        publish_on_commit(envelope, using, settings.publish_timeout, send)


async def apublish(
    room: str,
    data: Any,
    kind: Kind = "message",
    on_commit: bool = True,
    *,
    key: str | None = None,
    using: str | None = None,
    outbox: bool | None = None,
    sender: "AbstractBaseUser | Sender | None" = None,
) -> None:
    """`publish` for async views: the same arguments, the same errors, and the loop goes on.

    It runs where ``sync_to_async`` runs what is thread-sensitive, as Django's own async methods
    do. There a request has its database connection, so that a transaction that is open on it is
    the one that is waited for.
    """
    await sync_to_async(publish, thread_sensitive=True)(
        room, data, kind, on_commit, key=key, using=using, outbox=outbox, sender=sender
    )


def send(envelope: Envelope, timeout: float) -> None:
    """Return when the envelope is in the log; raises a `PublishError` within `timeout` seconds."""
    current_publisher().publish(envelope, timeout)


def disconnect() -> None:
    """Close the connections to the broker that no thread of this process is using just now.

    Never needed: their number is bounded, threads take turns with them, and `publish` closes
    those that were idle for long. Any later `publish` connects anew.
    """
    current_publisher().disconnect()


def _message_id(room: str, key: str) -> str:
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise ValueError(
            f"key is {shorten(key)}, accepted is text of 1 to {MAX_KEY_LENGTH} characters"
        )
    try:
        return message_id_of(PRINCIPAL, room, key)
    except UnicodeEncodeError:
        raise ValueError(f"key {shorten(key)} is text that UTF-8 cannot carry") from None


@contextlib.contextmanager
def replaced_by(publisher: Publisher) -> Iterator[None]:
    """Within, all threads of this process publish through this one: for tests."""
    global _replacement
    before, _replacement = _replacement, publisher
    try:
        yield
    finally:
        _replacement = before


_replacement: Publisher | None = None


class _Nowhere:
    """What tests publish, as what they mail, goes nowhere by itself. A revocation that left a
    test's database would shut out real users, whose ids are the same."""

    def publish(self, envelope: Envelope, timeout: float) -> None:
        """It was checked."""

    def disconnect(self) -> None:
        """There is no connection to close."""


_nowhere = _Nowhere()

# A fork makes its own. It keeps its parent's as well, unused, so that nothing there is closed:
# SQLite does not take that from another process, and RabbitMQ would hear a goodbye.
_publishers: dict[tuple[str, int], Publisher] = {}


def current_publisher() -> Publisher:
    """What this process publishes through now; it connects when it is used.

    Django's test environment is known by the outbox that its mail has there.
    """
    if _replacement is not None:
        return _replacement
    settings = conf.current()
    if hasattr(mail, "outbox") and not settings.publish_in_tests:
        return _nowhere
    mine = settings.broker, os.getpid()
    # No lock, which a fork could find locked for ever: of two threads that come first, one wins.
    return _publishers.get(mine) or _publishers.setdefault(mine, _made(settings))


def _made(settings: conf.Settings) -> Publisher:
    """A publisher, which connects when it is used."""
    if settings.embedded_path is not None:
        return EmbeddedPublisher(settings.embedded_path)
    # Not at the top of the file: projects on the embedded log need no pika.
    from django_roomline.amqp import AmqpPublisher

    return AmqpPublisher(settings.broker)

"""Who may do what in which room: the one place that decides."""

from typing import Final, NamedTuple

from roomline.tokens import Grants
from roomline.wire import check_room, namespace_of

from django_roomline import conf
from django_roomline.models import (
    OBJECTS_NAMESPACE,
    RESERVED_NAMESPACES,
    Action,
    AnyUser,
    Audience,
    Room,
)
from django_roomline.objects import ObjectRule, rule_of

MAX_GRANTED_BYTES: Final = 3000
"""Room names in a connection token, in bytes. Tokens are limited to 8192 characters; whoever may
use more rooms than fit gets a room token for each of the others when they open it."""
_CHUNK = 100  # rooms fetched at once: most often more than a token can name


class Rights(NamedTuple):
    """What one user may do in one room."""

    read: bool
    write: bool


def may(user: AnyUser, room: str, action: Action) -> bool:
    """Whether the user may read or write the room; raises `roomline.wire.InvalidName`.

    A room with a model is decided by the model, the room of an object with `RoomModelMixin` by the
    object, any other one by the function that ``ROOMLINE["POLICY"]`` names, without which nobody
    may.
    """
    return _may(user, room, _record(room), action)


def rights_in(user: AnyUser, room: str) -> Rights:
    """Both answers of `may` with one look at the database.

    Who may not read is not asked about writing: nobody writes where they may not read.
    """
    record = _record(room)
    read = _may(user, room, record, "read")
    return Rights(read, read and _may(user, room, record, "write"))


def _record(room: str) -> Room | ObjectRule | None:
    namespace = namespace_of(check_room(room))
    if namespace == OBJECTS_NAMESPACE:
        return rule_of(room)
    if namespace in RESERVED_NAMESPACES:
        return None
    return Room.objects.filter(name=room).first()


def _may(user: AnyUser, room: str, record: Room | ObjectRule | None, action: Action) -> bool:
    if record is not None:
        return record.allows(user, action)
    policy = conf.current().policy
    if policy is None or namespace_of(room) in RESERVED_NAMESPACES:
        return False
    return policy(user, room, action)


def grants_for(user: AnyUser) -> Grants:
    """What the user may read and write of the rooms with a model, as many as fit in a token.

    One query, whatever the number of rooms, that loads those only that the user may read.
    """
    reads: list[str] = []
    writes: list[str] = []
    size = 0
    readable = Room.objects.filter(readers__in=Audience.of(user)).order_by("name")
    for room in readable.iterator(_CHUNK):
        writable = room.allows(user, "write")
        size += len(room.name) * (1 + writable)
        if size > MAX_GRANTED_BYTES:
            break
        reads.append(room.name)
        if writable:
            writes.append(room.name)
    return Grants(tuple(reads), tuple(writes))

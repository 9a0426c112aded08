"""Who may do what in which room: the one place that decides."""

from typing import Final

from roomline.tokens import Grants
from roomline.wire import check_room, namespace_of

from django_roomline import conf
from django_roomline.models import RESERVED_NAMESPACES, Action, AnyUser, Room

MAX_GRANTED_BYTES: Final = 3000
"""Room names in a connection token, in bytes. Tokens are limited to 8192 characters; whoever may
use more rooms than fit gets a room token for each of the others when they open it."""


def may(user: AnyUser, room: str, action: Action) -> bool:
    """Whether the user may read or write the room; raises `roomline.wire.InvalidName`.

    A room with a model is decided by the model, any other one by the function that
    ``ROOMLINE["POLICY"]`` names, without which nobody may.
    """
    if namespace_of(check_room(room)) in RESERVED_NAMESPACES:
        return False
    record = Room.objects.filter(name=room).first()
    if record is not None:
        return record.allows(user, action)
    policy = conf.current().policy
    return policy is not None and policy(user, room, action)


def grants_for(user: AnyUser) -> Grants:
    """What the user may read and write of the rooms with a model, as many as fit in a token.

    One query, whatever the number of rooms.
    """
    reads: list[str] = []
    writes: list[str] = []
    size = 0
    for room in Room.objects.order_by("name").iterator():
        if not room.allows(user, "read"):
            continue
        writable = room.allows(user, "write")
        size += len(room.name) * (1 + writable)
        if size > MAX_GRANTED_BYTES:
            break
        reads.append(room.name)
        if writable:
            writes.append(room.name)
    return Grants(tuple(reads), tuple(writes))

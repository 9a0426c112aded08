"""Who may do what in which room: the one place that decides."""

from typing import Final

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count, Q
from roomline.tokens import Grants
from roomline.wire import check_room, namespace_of, shorten

from django_roomline import conf
from django_roomline.models import (
    ADMIN_NAMESPACE,
    NO_RIGHTS,
    OBJECTS_NAMESPACE,
    RESERVED_NAMESPACES,
    Action,
    AnyUser,
    Audience,
    Rights,
    Room,
)
from django_roomline.objects import rule_of

MAX_GRANTED_BYTES: Final = 3000
"""Room names in a connection token, in bytes. Tokens are limited to 8192 characters; whoever may
use more rooms than fit gets a room token for each of the others when they open it."""
ADMIN_ROOMS: Final = f"{ADMIN_NAMESPACE}.**"
"""What the token of staff grants beside rooms with a model."""
_CHUNK = 100  # rooms fetched at once: most often more than a token can name


def may(user: AnyUser, room: str, action: Action) -> bool:
    """Whether the user may read or write the room; raises `roomline.wire.InvalidName`.

    A room with a model is decided by the model, the room of an object with `RoomModelMixin` by the
    object, any other one by the function that ``ROOMLINE["POLICY"]`` names, without which nobody
    may. Rooms in ``admin`` are read by active staff and written by nobody.
    """
    rights = rights_in(user, room)
    return rights.read if action == "read" else rights.write


def rights_in(user: AnyUser, room: str) -> Rights:
    """Both answers of `may` with one look at the database.

    Who may not read is not asked about writing: nobody writes where they may not read.
    """
    namespace = namespace_of(check_room(room))
    if namespace in RESERVED_NAMESPACES:
        return NO_RIGHTS
    if namespace == ADMIN_NAMESPACE:
        return Rights(read=Audience.STAFF.includes(user), write=False)
    if namespace == OBJECTS_NAMESPACE:
        rule = rule_of(room)
        if rule is not None:
            read = rule.allows(user, "read")
            return Rights(read, read and rule.allows(user, "write"))
    else:
        record = Room.objects.with_membership(user).filter(name=room).first()
        if record is not None:
            return record.rights_found(user)
    policy = conf.current().policy
    if policy is None or not policy(user, room, "read"):
        return NO_RIGHTS
    return Rights(True, bool(policy(user, room, "write")))


def grants_for(user: AnyUser) -> Grants:
    """What the user may read and write, as much as fits in a token: for staff the rooms in
    ``admin``, then the patterns that the function named by ``ROOMLINE["GRANTS"]`` gives, then the
    rooms with a model.

    One query, whatever the number of rooms, that loads those only that the user may read; one
    more where there are patterns.
    """
    patterns = _patterns_for(user)
    reads, writes = list(patterns.read), list(patterns.write)
    if Audience.STAFF.includes(user):
        reads.insert(0, ADMIN_ROOMS)
    size = sum(map(len, reads + writes))
    readable = Room.objects.readable_by(user).with_membership(user).order_by("name")
    for room in readable.iterator(_CHUNK):
        if namespace_of(room.name) in (*RESERVED_NAMESPACES, ADMIN_NAMESPACE):
            continue  # no form lets such a name pass, and other programs may write the table
        writable = room.rights_found(user).write
        size += len(room.name) * (1 + writable)
        if size > MAX_GRANTED_BYTES:
            break
        reads.append(room.name)
        if writable:
            writes.append(room.name)
    return Grants(tuple(reads), tuple(writes))


def _patterns_for(user: AnyUser) -> Grants:
    """What the project grants in patterns, without those that a room with a model falls under:
    no pattern outranks a model, which may say that the room is closed."""
    function = conf.current().grants
    if function is None:
        return Grants()
    grants = function(user)
    if not isinstance(grants, Grants):
        raise ImproperlyConfigured(
            f"GRANTS in ROOMLINE gave {shorten(grants)}, not a roomline.tokens.Grants"
        )
    named = dict.fromkeys(grants.read + grants.write)
    for pattern in named:
        if namespace_of(pattern) in (*RESERVED_NAMESPACES, ADMIN_NAMESPACE):
            raise ImproperlyConfigured(
                f"GRANTS in ROOMLINE gave {shorten(pattern)}: its namespace is reserved"
            )
    modelled = _with_models(list(named)) if named else set()
    read, write = (tuple(p for p in each if p not in modelled) for each in grants)
    return Grants(read, write)


def _with_models(patterns: list[str]) -> set[str]:
    """Those of the patterns that a room with a model falls under; one query."""
    below = {f"p{n}": _falls_under(pattern) for n, pattern in enumerate(patterns)}
    found = Room.objects.aggregate(**{name: Count("pk", filter=q) for name, q in below.items()})
    return {pattern for pattern, count in zip(patterns, found.values(), strict=True) if count}


def _falls_under(pattern: str) -> Q:
    prefix = pattern.removesuffix("**")
    return Q(name=pattern) if prefix == pattern else Q(name__startswith=prefix)

"""Revocations: what travels from Django to the gateways through the log of revocations."""

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from roomline.wire import (
    MAX_GENERATION,
    Envelope,
    InvalidData,
    InvalidName,
    body_of,
    check_room,
    check_user_id,
    is_generation,
    shorten,
)

USER_REVOCATIONS: Final = "control.user"
ROOM_REVOCATIONS: Final = "control.room"
USERS_PER_REVOCATION: Final = 500
"""Ids of at most 64 characters: half of what a body may be."""


class UserRevoked(NamedTuple):
    """Tokens of this user that are of an older generation are good no more."""

    user_id: str
    generation: int


class RoomRevoked(NamedTuple):
    """What tokens of an older generation say about this room counts no more. `closed`: and nobody
    may use it."""

    room: str
    generation: int
    closed: bool = False


Revocation = UserRevoked | RoomRevoked


def revocation_envelopes(revocations: Iterable[Revocation]) -> list[Envelope]:
    """The publications that tell every gateway of these: one for each room, and as few as can be
    for users, of whom a group may have thousands."""
    users: dict[int, list[str]] = {}
    envelopes = []
    for revocation in revocations:
        if isinstance(revocation, UserRevoked):
            users.setdefault(revocation.generation, []).append(revocation.user_id)
        else:
            body = body_of(revocation._asdict())
            envelopes.append(Envelope(ROOM_REVOCATIONS, body, kind="system"))
    for generation, ids in users.items():
        for first in range(0, len(ids), USERS_PER_REVOCATION):
            some = ids[first : first + USERS_PER_REVOCATION]
            body = body_of({"users": some, "generation": generation})
            envelopes.append(Envelope(USER_REVOCATIONS, body, kind="system"))
    return envelopes


def revocations_of(envelope: Envelope) -> list[Revocation]:
    """The revocations that an envelope carries, one at least; raises `InvalidData`.

    Whether it counts is another question: its publisher must be one that may revoke.
    """
    try:
        body = json.loads(envelope.body.decode())
    except (ValueError, RecursionError):  # too many digits are a plain ValueError
        raise _no_revocation(envelope) from None
    try:
        generation = body["generation"]
        if not is_generation(generation):
            raise InvalidData(
                f"its generation is {shorten(generation)}, accepted is 0 to {MAX_GENERATION}"
            )
        if envelope.room == USER_REVOCATIONS:
            users = body["users"]
            if not isinstance(users, list) or not users:
                raise InvalidData(f"its users are {shorten(users)}, accepted is a list of ids")
            return [UserRevoked(check_user_id(user), generation) for user in users]
        if envelope.room == ROOM_REVOCATIONS:
            closed = body.get("closed", False)
            if not isinstance(closed, bool):
                raise InvalidData(f"closed is {shorten(closed)}, accepted is true or false")
            return [RoomRevoked(check_room(body["room"]), generation, closed)]
    except InvalidName as error:
        raise InvalidData(str(error)) from None
    except KeyError as error:
        raise InvalidData(f"its body has no {error}") from None
    except TypeError:
        raise _no_revocation(envelope) from None
    raise InvalidData(
        f"room {shorten(envelope.room)} is neither {USER_REVOCATIONS} nor {ROOM_REVOCATIONS}"
    )


def _no_revocation(envelope: Envelope) -> InvalidData:
    return InvalidData(f"its body is {shorten(envelope.body)}, no revocation as JSON")

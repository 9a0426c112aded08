"""Who somebody is to the gateway: a user of the project, or a guest known by their session."""

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from roomline.wire import MAX_SENDER_NAME, InvalidName, Sender, check_user_id, well_formed

from django_roomline import conf

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

GUEST_PREFIX: Final = "guest-"
MAX_NAME: Final = 40
"""Characters of a name as others see it."""

_ID_KEY = "roomline-guest-id"
_NAME_KEY = "roomline-guest-name"


class Visitor(NamedTuple):
    """A principal: the id that the gateway knows them by, and the name that others see."""

    id: str
    name: str
    is_guest: bool


def visitor_of(request: HttpRequest) -> Visitor | None:
    """The visitor behind a request, or None for one who is not logged in where guests may not be.

    A guest's id is random, made at first and kept in the session. Raises `ImproperlyConfigured`
    for a user whose primary key cannot be a user id.
    """
    user = request.user
    if user.is_authenticated:
        return Visitor(user_id_of(user), name_of(user), False)
    if not conf.current().guests:
        return None
    guest_id = request.session.get(_ID_KEY)
    if not isinstance(guest_id, str):
        guest_id = GUEST_PREFIX + secrets.token_hex(16)
        request.session[_ID_KEY] = guest_id
    name = request.session.get(_NAME_KEY) or f"Guest {guest_id[-4:]}"
    return Visitor(guest_id, name, True)


def name_of(user: "AbstractBaseUser") -> str:
    """The name that others see of a user; a user model of the project's own may have one only."""
    full_name = getattr(user, "get_full_name", str)()
    return full_name or user.get_username()


def sender_of(user: "AbstractBaseUser | Sender") -> Sender:
    """Whom a publication of this user is from.

    Raises `roomline.wire.InvalidName` for an id that is no user id, `ImproperlyConfigured` for a
    user whose primary key cannot be one.
    """
    sender = user if isinstance(user, Sender) else Sender(user_id_of(user), name_of(user))
    return Sender(check_user_id(sender.id), well_formed(sender.name)[:MAX_SENDER_NAME])


def name_guest(request: HttpRequest, name: str) -> None:
    """Let a guest be seen under a name; what is left of it when cleaned may be nothing."""
    request.session[_NAME_KEY] = clean_name(name)


def clean_name(name: str) -> str:
    """`name` on one line and without characters that would hide or reorder others."""
    words = "".join(c if c.isprintable() else " " for c in name).split()
    return " ".join(words)[:MAX_NAME].strip()


def user_id_of(user: "AbstractBaseUser") -> str:
    """The id that the gateway knows a user by.

    Raises `ImproperlyConfigured` for a user whose primary key cannot be one.
    """
    user_id = str(user.pk)
    try:
        check_user_id(user_id)
    except InvalidName as error:
        raise ImproperlyConfigured(f"a user's primary key must be a user id: {error}") from None
    if user_id.startswith(GUEST_PREFIX):
        raise ImproperlyConfigured(
            f"user id {user_id} begins with {GUEST_PREFIX}, which is reserved for guests"
        )
    return user_id

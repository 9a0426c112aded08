"""Who a visitor is to the gateway: a user of the project, or a guest known by their session."""

import secrets
from typing import Final, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from roomline.wire import InvalidName, check_user_id

from django_roomline import conf

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
        return Visitor(_user_id(user.pk), user.get_full_name() or user.get_username(), False)
    if not conf.current().guests:
        return None
    guest_id = request.session.get(_ID_KEY)
    if not isinstance(guest_id, str):
        guest_id = GUEST_PREFIX + secrets.token_hex(16)
        request.session[_ID_KEY] = guest_id
    name = request.session.get(_NAME_KEY) or f"Guest {guest_id[-4:]}"
    return Visitor(guest_id, name, True)


def name_guest(request: HttpRequest, name: str) -> None:
    """Let a guest be seen under a name; what is left of it when cleaned may be nothing."""
    request.session[_NAME_KEY] = clean_name(name)


def clean_name(name: str) -> str:
    """`name` on one line and without characters that would hide or reorder others."""
    words = "".join(c if c.isprintable() else " " for c in name).split()
    return " ".join(words)[:MAX_NAME].strip()


def _user_id(key: object) -> str:
    user_id = str(key)
    try:
        check_user_id(user_id)
    except InvalidName as error:
        raise ImproperlyConfigured(f"a user's primary key must be a user id: {error}") from None
    if user_id.startswith(GUEST_PREFIX):
        raise ImproperlyConfigured(
            f"user id {user_id} begins with {GUEST_PREFIX}, which is reserved for guests"
        )
    return user_id

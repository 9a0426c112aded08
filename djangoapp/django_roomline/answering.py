"""One request answered: its handler found, its user loaded, its outcome told."""

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from roomline.requests import FAILED, Answer, error_answer
from roomline.requests import Request as Wired
from roomline.wire import InvalidData, Sender, body_of

from django_roomline.identity import GUEST_PREFIX
from django_roomline.requests import Handler, Request, RequestRefused, data_of

_logger = logging.getLogger("django_roomline")


def answer(handler: Handler | None, wired: Wired, attempt: int) -> Answer:
    """What the client is told. Raises whatever the handler raises that is not for clients."""
    if handler is None:
        return error_answer("request_unknown", f"no handler has the name {wired.name}")
    try:
        returned = handler.function(
            Request(
                id=wired.id,
                name=wired.name,
                data=data_of(wired),
                user=_user(handler, wired.sender),
                sender=wired.sender,
                attempt=attempt,
            )
        )
    except RequestRefused as refused:
        return error_answer("request_failed", refused.reason, refused.code)
    except PermissionDenied as denied:
        return error_answer("forbidden", str(denied) or "this is not for you")
    except Http404:  # whose words are for developers
        return error_answer("request_failed", "what this is about is not there", "not_found")
    except ValidationError as invalid:
        return error_answer("request_failed", " ".join(invalid.messages), "invalid")
    try:
        return Answer(body_of(returned))
    except InvalidData:
        # It has done its work: doing it again would not help.
        _logger.exception("what the handler of %s has returned cannot be sent", wired.name)
        return FAILED


def _user(handler: Handler, sender: Sender | None) -> Any:
    """The user of the project who has sent it, or an anonymous one; raises `PermissionDenied`."""
    user = None if sender is None else _load(sender.id)
    if user is None and handler.authenticated:
        raise PermissionDenied("this is for users who are logged in")
    if user is not None and handler.permission and not user.has_perm(handler.permission):
        raise PermissionDenied("you do not have the permission for this")
    return AnonymousUser() if user is None else user


def _load(user_id: str) -> Any:
    """The active user with this id, as it is in the database now."""
    if user_id.startswith(GUEST_PREFIX):
        return None
    try:
        user = get_user_model()._default_manager.filter(pk=user_id).first()
    except (ValueError, ValidationError):  # no id that the users' table could have
        return None
    return user if user is not None and user.is_active else None

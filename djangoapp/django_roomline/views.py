"""Tokens for the pages of this site: a connection token, and a token for one more room."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth import get_user, get_user_model
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.functional import SimpleLazyObject
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from roomline.tokens import sign_connection, sign_room
from roomline.wire import InvalidName

from django_roomline import conf
from django_roomline.identity import Visitor, visitor_of
from django_roomline.models import Generation
from django_roomline.policy import grants_for, rights_in

View = Callable[..., HttpResponse]


def visitor_view(view: View) -> View:
    """Only for pages of this site, only for visitors that may have a token, never stored.

    The view gets the visitor behind the request, and the generation of their rights.
    """

    @never_cache
    @require_http_methods(["GET", "POST"])
    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        # Other sites cannot read the answer anyway (no CORS header allows it); this also keeps
        # them from making sessions for guests. Browsers too old to send the header pass.
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return refusal(403, "cross_origin", "this is for pages of this site only")
        # Before the user and their rights: what is read of them too early then has a generation
        # that is too old, and no token outlives what it was made from.
        generation = Generation.current()
        _read_user_anew(request)
        visitor = visitor_of(request)
        if visitor is None:
            return refusal(401, "login_required", "log in first")
        return view(request, visitor, generation, **kwargs)

    return login_not_required(guarded)  # who may have a token is decided here


def _read_user_anew(request: HttpRequest) -> None:
    """Whoever was authenticated before, by the session or by whatever else has set ``user``, as
    the database has them now. A user whom nobody has looked at is read when they are needed."""
    user, model = request.user, get_user_model()
    of_session = getattr(request, "_cached_user", None)
    if of_session is None and isinstance(user, SimpleLazyObject):
        return
    if user == of_session:
        # Django's own place for it, which its types do not know.
        request.user = request._cached_user = get_user(request)  # type: ignore[attr-defined]
    elif isinstance(user, model):
        found = model._default_manager.filter(pk=user.pk).first()
        request.user = found if found is not None and found.is_active else AnonymousUser()


@visitor_view
def token(request: HttpRequest, visitor: Visitor, generation: int) -> HttpResponse:
    """A connection token: ``{"token": ..., "expires_in": seconds, "user": {"id", "name"}}``."""
    settings = conf.current()
    signed = sign_connection(
        settings.keys,
        visitor.id,
        now=time.time(),
        lifetime=settings.token_lifetime,
        name=visitor.name,
        grants=grants_for(request.user),
        generation=generation,
    )
    return JsonResponse(
        {
            "token": signed,
            "expires_in": settings.token_lifetime,
            "user": {"id": visitor.id, "name": visitor.name},
        }
    )


@visitor_view
def room_token(request: HttpRequest, visitor: Visitor, generation: int) -> HttpResponse:
    """A token for the room named by the parameter ``room``: ``{"token", "expires_in", "room"}``.

    Answers 400 to a malformed name and 403 if the visitor may not read the room; the two answers
    for a room that is not there and one that is not for them are the same.
    """
    settings = conf.current()
    room = request.GET.get("room") or request.POST.get("room", "")
    try:
        rights = rights_in(request.user, room)
    except InvalidName as error:
        return refusal(400, "room_invalid", str(error))
    if not rights.read:
        return refusal(403, "forbidden", f"room {room} is not for you")
    signed = sign_room(
        settings.keys,
        visitor.id,
        room,
        now=time.time(),
        lifetime=settings.token_lifetime,
        write=rights.write,
        generation=generation,
    )
    return JsonResponse({"token": signed, "expires_in": settings.token_lifetime, "room": room})


def refusal(status: int, code: str, reason: str) -> JsonResponse:
    """An error as JSON, in the words of the client protocol."""
    return JsonResponse({"code": code, "reason": reason}, status=status)

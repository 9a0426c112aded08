"""Checks of the project around the app: its pages, its middleware, its users."""

from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from django_roomline import conf

_AUTHENTICATION: Final = "django.contrib.auth.middleware.AuthenticationMiddleware"
_SESSIONS: Final = "django.contrib.sessions.middleware.SessionMiddleware"


@register(Tags.urls)
def check_urls(**_: Any) -> Sequence[CheckMessage]:
    """``roomline.W001``: pages get no tokens."""
    if _tokens_are_given():
        return []
    return [
        Warning(
            "The token views are not in the project's URLs: no page can connect.",
            hint='Add path("roomline/", include("django_roomline.urls")) to the URLs. A project'
            " that publishes only and has no pages may silence this check.",
            id="roomline.W001",
        )
    ]


@register
def check_middleware(**_: Any) -> Sequence[CheckMessage]:
    """``roomline.W013``: what the token views take from a request is not put there."""
    if not _tokens_are_given():
        return []
    values, _problems = conf.read(conf.raw())
    wanted = [_AUTHENTICATION, *([_SESSIONS] if values.get("GUESTS") else [])]
    return [
        Warning(
            f"The token views need {path}, or one like it, and MIDDLEWARE has none.",
            hint=f"Add {path} to MIDDLEWARE.",
            id="roomline.W013",
        )
        for path in wanted
        if not _is_installed(path)
    ]


@register
def check_user_ids(**_: Any) -> Sequence[CheckMessage]:
    """``roomline.E017`` and ``roomline.W002``: primary keys that are, or may be, no user ids."""
    try:
        user_model = get_user_model()
    except ImproperlyConfigured:
        return []  # Django says so itself
    key: Any = user_model._meta.pk
    while key.remote_field is not None:
        key = key.target_field
    if isinstance(key, models.IntegerField | models.UUIDField):
        return []
    accepted = "User ids are 1 to 64 characters of A-Z a-z 0-9 _ - that do not begin with guest-."
    if type(key) in (models.CharField, models.SlugField):
        text = "may have primary keys that are no user ids: those users get no token."
        return [Warning(f"{user_model._meta.label} {text}", hint=accepted, id="roomline.W002")]
    text = f"has a {type(key).__name__} as primary key: its users have no user ids."
    return [Error(f"{user_model._meta.label} {text}", hint=accepted, id="roomline.E017")]


def _tokens_are_given() -> bool:
    if not getattr(settings, "ROOT_URLCONF", None):
        return False
    try:
        reverse("roomline:token")
    except NoReverseMatch:
        return False
    return True


def _is_installed(path: str) -> bool:
    """Whether the middleware, or one derived from it, is there."""
    wanted = import_string(path)
    for name in settings.MIDDLEWARE:
        try:
            found = import_string(name)
        except ImportError:
            continue  # Django will say so
        if isinstance(found, type) and issubclass(found, wanted):
            return True
    return False

"""The events that every project has: logins and rooms, and the admin's log where there is one."""

from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import post_delete, post_save
from django.utils.translation import gettext as _

from django_roomline.events import register_event
from django_roomline.identity import clean_name, name_of, sender_of
from django_roomline.models import Room
from django_roomline.revocations import changed_fields

LOGINS_PER_MINUTE: Final = 30
"""Of each sort and process. Whoever may try passwords could fill a room otherwise."""


def register() -> None:
    """Register all of them, for ``AppConfig.ready``."""
    for name, signal, text, data in (
        ("login", user_logged_in, _login_text, _login_data),
        ("logout", user_logged_out, _logout_text, _login_data),
        ("login_failed", user_login_failed, _failed_text, _failed_data),
    ):
        register_event(name, signal, text, data=data, per_minute=LOGINS_PER_MINUTE)
    register_event("room_created", post_save, _created_text, data=_room_data, sender=Room)
    register_event("room_closed", post_save, _closed_text, data=_room_data, sender=Room)
    register_event("room_opened", post_save, _opened_text, data=_room_data, sender=Room)
    register_event("room_deleted", post_delete, _deleted_text, data=_room_data, sender=Room)
    if apps.is_installed("django.contrib.admin"):
        from django_roomline import admin_log  # wants the admin's models

        admin_log.register()


def _login_text(user: Any, **_rest: Any) -> str:
    return _("%(user)s logged in") % {"user": name_of(user)}


def _logout_text(user: Any, **_rest: Any) -> str | None:
    return None if user is None else _("%(user)s logged out") % {"user": name_of(user)}


def _login_data(user: Any, **_rest: Any) -> dict[str, Any]:
    return {"user": sender_of(user)._asdict()}


def _failed_text(credentials: dict[str, Any], **_rest: Any) -> str:
    if not _typed(credentials):
        return _("A login failed")
    if name := _attempted(credentials):
        return _("A login as “%(name)s” failed") % {"name": name}
    return _("A login with an unknown name failed")


def _failed_data(credentials: dict[str, Any], **_rest: Any) -> dict[str, str]:
    return {"name": _attempted(credentials)}


def _attempted(credentials: dict[str, Any]) -> str:
    """The name that was tried, cleaned and cut, if a user has it. Else it is nobody's business:
    people type passwords there. Nothing else of the credentials is looked at."""
    name, users = _typed(credentials), get_user_model()
    # PostgreSQL takes no NUL, and nobody's name is not printable.
    if not name.isprintable():
        return ""
    known = users._default_manager.filter(**{users.USERNAME_FIELD: name}).exists()
    return clean_name(name) if known else ""


def _typed(credentials: dict[str, Any]) -> str:
    name = credentials.get(get_user_model().USERNAME_FIELD) or credentials.get("username")
    return name if isinstance(name, str) else ""


def _created_text(instance: Room, created: bool, raw: bool = False, **_rest: Any) -> str | None:
    return _("Room “%(room)s” was created") % {"room": instance} if created and not raw else None


def _closed_text(instance: Room, **_rest: Any) -> str | None:
    if changed_fields(instance).get("closed") is not False:
        return None
    return _("Room “%(room)s” was closed") % {"room": instance}


def _opened_text(instance: Room, **_rest: Any) -> str | None:
    if changed_fields(instance).get("closed") is not True:
        return None
    return _("Room “%(room)s” was opened") % {"room": instance}


def _deleted_text(instance: Room, **_rest: Any) -> str:
    return _("Room “%(room)s” was deleted") % {"room": instance}


def _room_data(instance: Room, **_rest: Any) -> dict[str, str]:
    return {"room": instance.name, "title": instance.title}

"""Taking rights back: what a token gave before counts no more, on every gateway within a second.

A revocation is a new generation (`models.Generation`) and a publication that tells the gateways:
tokens of this user, or what tokens say about this room, are void if they are of an older one. It
comes after the change that it is for is committed, so that a token of the new generation was made
from the new rights. `connect` has it follow what Django itself does to users and rooms.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.http import HttpRequest
from roomline.wire import (
    Revocation,
    RoomRevoked,
    UserRevoked,
    check_room,
    check_user_id,
    revocation_envelope,
)

from django_roomline import conf
from django_roomline.exceptions import PublishError
from django_roomline.models import AnyUser, Generation, Member, Room
from django_roomline.publishing import send

USER_FIELDS = frozenset({"password", "is_active", "is_staff", "is_superuser"})
"""What a user may not change without their tokens becoming void."""
ROOM_FIELDS = frozenset({"name", "readers", "writers", "closed"})

_BEFORE = "_roomline_before"
_logger = logging.getLogger("django_roomline")


def revoke_user(user: "AnyUser | str | int", *, using: str | None = None) -> None:
    """Make all tokens of a user, or of the one with this id, void when the transaction of the
    database `using` commits.

    Their clients are disconnected and come back with a new token, if Django gives them one. Raises
    `roomline.wire.InvalidName` for an id that is none. That a revocation could not be published is
    logged as an error; tokens then last until they expire.
    """
    key = user if isinstance(user, str | int) else user.pk
    _revoke_users([check_user_id(str(key))], using)


def revoke_room(room: str, *, closed: bool = False, using: str | None = None) -> None:
    """Make void what all tokens say about a room, as `revoke_user` does it.

    Whoever may still read it continues with a room token; `closed`: nobody may, and clients are
    told so. Raises `roomline.wire.InvalidName`.
    """
    check_room(room)
    _on_commit(lambda generation: [RoomRevoked(room, generation, closed)], using)


def connect() -> None:
    """Follow changes of users, groups and rooms. Called once, when all apps are ready."""
    user_model = get_user_model()
    for model, remember, compare, removed in (
        (user_model, _remember(USER_FIELDS), _user_saved, _user_deleted),
        (Room, _remember(ROOM_FIELDS), _room_saved, _room_deleted),
    ):
        pre_save.connect(remember, sender=model, weak=False)
        post_save.connect(compare, sender=model)
        post_delete.connect(removed, sender=model)
    post_save.connect(_member_saved, sender=Member)
    post_delete.connect(_member_deleted, sender=Member)
    user_logged_out.connect(_logged_out)
    groups = getattr(user_model, "groups", None)
    if groups is not None:
        m2m_changed.connect(_groups_changed, sender=groups.through)
        pre_delete.connect(_group_deleted, sender=apps.get_model("auth", "Group"))


def _revoke_users(ids: Iterable[str], using: str | None) -> None:
    users = list(ids)
    if users:
        _on_commit(lambda generation: [UserRevoked(user, generation) for user in users], using)


def _on_commit(revocations: Callable[[int], list[Revocation]], using: str | None) -> None:
    def publish() -> None:
        timeout = conf.current().publish_timeout
        try:
            for revocation in revocations(Generation.bump()):
                send(revocation_envelope(revocation), timeout)
        except PublishError as error:
            _logger.error("a revocation was not published, tokens last until they end: %s", error)

    transaction.on_commit(publish, using, robust=True)


def _remember(fields: frozenset[str]) -> Callable[..., None]:
    def remember(
        sender: type[Model], instance: Model, raw: bool, using: str, update_fields: Any, **_: Any
    ) -> None:
        """What the database has of these fields, if this save may change them."""
        known = fields & {field.name for field in sender._meta.concrete_fields}
        if update_fields is not None:
            known &= set(update_fields)  # a login saves `last_login` alone, and costs nothing
        before = None
        if known and instance.pk is not None and not raw:
            rows = sender._default_manager.using(using).filter(pk=instance.pk)
            before = rows.values(*known).first()
        setattr(instance, _BEFORE, before)

    return remember


def changed_fields(instance: Model) -> dict[str, Any]:
    """What was in the database of the fields that are others now, for receivers of `post_save`.

    Of rooms and users, and only of the fields that rights depend on.
    """
    before = getattr(instance, _BEFORE, None) or {}
    return {name: value for name, value in before.items() if getattr(instance, name) != value}


def _user_saved(instance: Any, using: str, **_: Any) -> None:
    if changed_fields(instance):
        revoke_user(instance, using=using)


def _user_deleted(instance: Any, using: str, **_: Any) -> None:
    revoke_user(instance, using=using)


def _logged_out(user: Any, request: HttpRequest | None, **_: Any) -> None:
    if user is None or user.pk is None:
        return
    # Django sends this before it flushes the session, with which a new token could still be had.
    if request is not None and request.session.session_key:
        request.session.delete(request.session.session_key)
    revoke_user(user)


def _groups_changed(
    instance: Any, action: str, reverse: bool, pk_set: set[Any] | None, using: str, **_: Any
) -> None:
    if action not in ("post_remove", "pre_clear"):
        return
    if not reverse:
        ids = [instance.pk]
    elif pk_set is not None:
        ids = list(pk_set)
    else:
        ids = _users_in(instance, using)
    _revoke_users(map(str, ids), using)


def _group_deleted(instance: Any, using: str, **_: Any) -> None:
    _revoke_users(map(str, _users_in(instance, using)), using)


def _users_in(group: Any, using: str) -> list[Any]:
    users = get_user_model()._default_manager.using(using)
    return list(users.filter(groups=group).values_list("pk", flat=True))


def _room_saved(instance: Room, using: str, **_: Any) -> None:
    changed = changed_fields(instance)
    renamed = changed.pop("name", None)
    if renamed is not None:
        revoke_room(renamed, closed=True, using=using)
    elif changed and changed != {"closed": True}:  # opening takes nothing away
        revoke_room(instance.name, closed=instance.closed, using=using)


def _room_deleted(instance: Room, using: str, **_: Any) -> None:
    revoke_room(instance.name, closed=True, using=using)


def _member_saved(instance: Member, created: bool, raw: bool, using: str, **_: Any) -> None:
    if not created and not raw:  # a new one takes nothing away
        revoke_room(instance.room.name, using=using)


def _member_deleted(instance: Member, using: str, origin: Any, **_: Any) -> None:
    if not isinstance(origin, Room):  # else it goes with its room
        revoke_room(instance.room.name, using=using)

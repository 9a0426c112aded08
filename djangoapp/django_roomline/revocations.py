"""Taking rights back: what a token gave before counts no more, on every gateway within a second.

A revocation is a new generation (`models.Generation`) and a publication that tells the gateways:
tokens of this user, or what tokens say about this room, are void if they are of an older one. It
comes after the change that it is for is committed, so that a token of the new generation was made
from the new rights. `connect` has it follow what Django itself does to users, sessions and rooms.

With ``ROOMLINE["OUTBOX"]`` a revocation waits in the transactional outbox as any publication does,
and its generation begins when the relay comes to it.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, router, transaction
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.http import HttpRequest
from django.utils import timezone
from roomline.revocations import (
    Revocation,
    RoomRevoked,
    UserRevoked,
    revocation_envelopes,
    revocations_of,
)
from roomline.wire import (
    Envelope,
    check_room,
    check_user_id,
)

from django_roomline import conf
from django_roomline.exceptions import PublishError
from django_roomline.models import AnyUser, Generation, Member, OutboxMessage, Room
from django_roomline.publishing import send

USER_FIELDS = frozenset({"password", "is_active", "is_staff", "is_superuser"})
"""What a user may not change without their tokens becoming void."""
ROOM_FIELDS = frozenset({"name", "readers", "writers", "closed"})

_NOT_YET = 0
"""The generation of a revocation that is not committed."""
_BEFORE = "_roomline_before"
_logger = logging.getLogger("django_roomline")


def revoke_user(user: "AnyUser | str | int", *, using: str | None = None) -> None:
    """Make all tokens of a user, or of the one with this id, void when the transaction of the
    database `using` commits.

    Their clients are disconnected and come back with a new token, if Django gives them one. Raises
    `roomline.wire.InvalidName` for an id that is none. Without the outbox, that a revocation could
    not be published is logged as an error; tokens then last until they expire.
    """
    key = user if isinstance(user, str | int) else user.pk
    _revoke_users([check_user_id(str(key))], using)


def revoke_room(room: str, *, closed: bool = False, using: str | None = None) -> None:
    """Make void what all tokens say about a room, as `revoke_user` does it.

    Whoever may still read it continues with a room token; `closed`: nobody may, and clients are
    told so. Raises `roomline.wire.InvalidName`.
    """
    check_room(room)
    _revoke([RoomRevoked(room, _NOT_YET, closed)], using)


def begun_now(envelope: Envelope) -> Envelope:
    """What the outbox has kept of a revocation, with a generation that begins now.

    Repeated after a crash it revokes once more, and so takes nothing that is not given again.
    Raises `roomline.wire.InvalidData` for what is no revocation.
    """
    kept = revocations_of(envelope)
    [begun] = revocation_envelopes(_of(Generation.bump(), kept))
    return begun


def connect() -> None:
    """Follow changes of users, sessions, groups and rooms. Called when all apps are ready."""
    user_model = get_user_model()
    for model, fields, compare, removed in (
        (user_model, USER_FIELDS, _user_saved, _user_deleted),
        (Room, ROOM_FIELDS, _room_saved, _room_deleted),
    ):
        for each in _family(model):
            # The id keeps it one receiver if apps become ready again, as in some tests.
            name = __name__, each
            pre_save.connect(_remember(fields), sender=each, weak=False, dispatch_uid=name)
            post_save.connect(compare, sender=each)
            # What is deleted of a child with a table of its own is told of its parent, too.
            if each._meta.concrete_model is model._meta.concrete_model:
                post_delete.connect(removed, sender=each)
    pre_save.connect(_member_saving, sender=Member)
    post_save.connect(_member_saved, sender=Member)
    post_delete.connect(_member_deleted, sender=Member)
    user_logged_out.connect(_logged_out)
    for session in _family(AbstractBaseSession):
        post_delete.connect(_session_deleted, sender=session)
    groups = getattr(user_model, "groups", None)
    if groups is not None:
        group_model = apps.get_model("auth", "Group")
        m2m_changed.connect(_groups_changed, sender=groups.through)
        pre_delete.connect(_group_deleted, sender=group_model)
        m2m_changed.connect(_group_permissions_changed, sender=group_model.permissions.through)
    permissions = getattr(user_model, "user_permissions", None)
    if permissions is not None:
        m2m_changed.connect(_user_permissions_changed, sender=permissions.through)


def _family(model: type[Model]) -> list[type[Model]]:
    """The model with its proxies and children, which send signals in their own name.

    One receiver for all senders would make Django load whatever rows anybody deletes.
    """
    return [each for each in apps.get_models() if issubclass(each, model)]


def _revoke_users(ids: Iterable[str], using: str | None) -> None:
    _revoke([UserRevoked(user, _NOT_YET) for user in ids], using)


def _revoke(revocations: Sequence[Revocation], using: str | None) -> None:
    """Have these published after the commit: by the relay, or by this process."""
    if not revocations:
        return
    database = using or DEFAULT_DB_ALIAS
    if _has_outbox(database):
        now = int(time.time() * 1000)
        kept = [
            envelope._replace(message_id=uuid.uuid4().hex, time=now)
            for envelope in revocation_envelopes(revocations)
        ]
        rows = [OutboxMessage.of(envelope) for envelope in kept]
        OutboxMessage.objects.using(database).bulk_create(rows)
    else:
        counter = router.db_for_write(Generation)

        # No partials: Django's word on one that fails wants a function's name.
        def publish() -> None:
            _publish(revocations)

        def publish_after_the_counter_s() -> None:
            # A generation that is rolled back would leave tokens behind that gateways refuse.
            transaction.on_commit(publish, counter, robust=True)

        then = publish if counter == database else publish_after_the_counter_s
        transaction.on_commit(then, using, robust=True)


def _has_outbox(database: str) -> bool:
    try:
        wanted = conf.current().outbox
    except ImproperlyConfigured:
        return False  # which is logged when it is published, and keeps nobody from saving a user
    # A database that has users and nothing of Roomline's has no outbox either.
    return wanted and router.allow_migrate_model(database, OutboxMessage)


def _of(generation: int, revocations: Iterable[Revocation]) -> list[Revocation]:
    return [revocation._replace(generation=generation) for revocation in revocations]


def _publish(revocations: Sequence[Revocation]) -> None:
    deadline = time.monotonic() + conf.current().publish_timeout
    envelopes = revocation_envelopes(_of(Generation.bump(), revocations))
    lost = 0
    trouble: object = "no time was left"
    for envelope in envelopes:
        left = deadline - time.monotonic()
        try:
            if left > 0:
                send(envelope, left)
                continue
        except PublishError as error:
            trouble = error
        lost += len(revocations_of(envelope))
    if lost:
        _logger.error(
            "%d of %d revocations were not published, tokens last until they end: %s",
            lost,
            len(revocations),
            trouble,
        )


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
            rows = sender._base_manager.using(using).filter(pk=instance.pk)
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
    # Whoever was known by other means, by a token of an API say, has no session, or there is
    # somebody else's beside it.
    session = getattr(request, "session", None)
    own = user._meta.pk.value_to_string(user)
    if session is not None and session.session_key and session.get(SESSION_KEY) == own:
        # Django sends this before it flushes the session, with which a new token could be had.
        session.delete(session.session_key)
        if hasattr(session, "get_model_class"):
            return  # it was a row, and its end was told of
    revoke_user(user)


def _session_deleted(instance: Any, using: str, **_: Any) -> None:
    """A session was flushed, or its row deleted in another way: its user has to show another one.

    Not one that has expired, of which ``clearsessions`` deletes many.
    """
    user = instance.get_decoded().get(SESSION_KEY)
    if user is None or instance.expire_date <= timezone.now():
        return
    store = import_module(django_settings.SESSION_ENGINE).SessionStore
    prefix = getattr(store, "cache_key_prefix", None)
    if prefix is not None:
        # Django forgets its copy later, or not at all: until then it would give a new token.
        cache = caches[django_settings.SESSION_CACHE_ALIAS]
        key = prefix + instance.session_key
        transaction.on_commit(lambda: cache.delete(key), using, robust=True)
    _revoke_users([user], using)


def _groups_changed(using: str, **change: Any) -> None:
    _revoke_keys(_losers(get_user_model(), "groups", using, **change), using)


def _group_deleted(instance: Any, using: str, **_: Any) -> None:
    _revoke_keys(_having(get_user_model(), "groups", [instance.pk], using), using)


def _user_permissions_changed(using: str, **change: Any) -> None:
    if _functions_decide():
        _revoke_keys(_losers(get_user_model(), "user_permissions", using, **change), using)


def _group_permissions_changed(using: str, **change: Any) -> None:
    if _functions_decide():
        groups = _losers(apps.get_model("auth", "Group"), "permissions", using, **change)
        _revoke_keys(_having(get_user_model(), "groups", groups, using), using)


def _functions_decide() -> bool:
    """Whether the project's functions do, which may go by whatever they like."""
    settings = conf.current()
    return settings.policy is not None or settings.grants is not None


def _losers(
    owner: Any,
    field: str,
    using: str,
    *,
    instance: Any,
    action: str,
    reverse: bool,
    pk_set: set[Any] | None,
    **_: Any,
) -> list[Any]:
    """The keys of those of the model `owner` who lose something of their `field`."""
    if action not in ("post_remove", "pre_clear"):
        return []
    if not reverse:
        return [instance.pk]
    return _having(owner, field, [instance.pk], using) if pk_set is None else list(pk_set)


def _having(owner: Any, field: str, keys: Sequence[Any], using: str) -> list[Any]:
    """The keys of those who have one of these in their `field`."""
    found = owner._default_manager.using(using).filter(**{f"{field}__in": keys})
    return list(found.values_list("pk", flat=True).distinct()) if keys else []


def _revoke_keys(keys: Iterable[Any], using: str) -> None:
    _revoke_users(map(str, keys), using)


def _room_saved(instance: Room, created: bool, using: str, **_: Any) -> None:
    changed = changed_fields(instance)
    renamed = changed.pop("name", None)
    if renamed is not None:
        revoke_room(renamed, closed=True, using=using)
    if renamed is not None or created:
        # What it decides from now on, the project's functions may have decided otherwise.
        if _functions_decide():
            revoke_room(instance.name, closed=instance.closed, using=using)
    elif changed and changed != {"closed": True}:  # opening takes nothing away
        revoke_room(instance.name, closed=instance.closed, using=using)


def _room_deleted(instance: Room, using: str, **_: Any) -> None:
    revoke_room(instance.name, closed=True, using=using)


def _member_saving(instance: Member, raw: bool, using: str, **_: Any) -> None:
    """The name of the room that a member may be about to leave for another."""
    names = Member.objects.using(using).filter(pk=instance.pk).values_list("room__name", flat=True)
    setattr(instance, _BEFORE, None if raw or instance.pk is None else names.first())


def _member_saved(instance: Member, created: bool, raw: bool, using: str, **_: Any) -> None:
    if not created and not raw:  # a new one takes nothing away
        for room in {instance.room.name, getattr(instance, _BEFORE) or instance.room.name}:
            revoke_room(room, using=using)


def _member_deleted(instance: Member, using: str, origin: Any, **_: Any) -> None:
    if not issubclass(getattr(origin, "model", type(origin)), Room):  # else it goes with its room
        revoke_room(instance.room.name, using=using)

"""The admin's log as an event: every entry becomes a sentence in a room for staff."""

from collections.abc import Iterable, Iterator, Sequence
from functools import wraps
from typing import Any, Final

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry, LogEntryManager
from django.contrib.contenttypes.models import ContentType
from django.db.models import prefetch_related_objects
from django.db.models.signals import post_save
from django.utils.translation import gettext as _

from django_roomline.events import Event, register_event, tell
from django_roomline.identity import name_of, sender_of

ADMIN_LOG: Final = "admin.log"
"""The room, unless the project says otherwise."""

_ACTIONS: Final = {ADDITION: "add", CHANGE: "change", DELETION: "delete"}
_MARK: Final = "roomline_tells"
_SAYS_NOTHING: Final = ("", '[{"added": {}}]')


def register() -> None:
    """Register it; called again, it replaces what it has registered before."""
    event = register_event(
        *("admin_log", post_save, _entry_text),
        data=_entry_data,
        room=ADMIN_LOG,
        sender=LogEntry,
        kind="admin",
    )
    _tell_of_many(event)


def _tell_of_many(event: Event) -> None:
    """Tell of entries that are created at once, too, as when several objects are deleted.

    Django sends no signal then. A manager of our own in place of the admin's would be a change to
    its migrations; so the method is wrapped that all of them go through.
    """
    create = LogEntryManager.bulk_create
    if hasattr(create, _MARK):
        return  # tests of projects set apps up again

    @wraps(create)
    def bulk_create(self: Any, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        entries = create(self, objs, *args, **options)
        if entries:
            tell(event, _made(entries), entries[0]._state.db)
        return entries

    setattr(bulk_create, _MARK, True)
    # Django sends no signal for it, and has no other place to listen.
    LogEntryManager.bulk_create = bulk_create  # type: ignore[method-assign]  # as said


def _made(entries: Sequence[LogEntry]) -> Iterator[dict[str, Any]]:
    prefetch_related_objects(entries, "user")
    for entry in entries:
        yield {"instance": entry, "created": True}


def _entry_text(instance: LogEntry, created: bool, raw: bool = False, **_rest: Any) -> str | None:
    """A sentence about what the admin's own log shows, and nothing else."""
    if not created or raw:
        return None
    sentences = {
        ADDITION: _("%(user)s added %(model)s “%(object)s”"),
        CHANGE: _("%(user)s changed %(model)s “%(object)s”"),
        DELETION: _("%(user)s deleted %(model)s “%(object)s”"),
    }
    sentence = sentences.get(instance.action_flag, "%(user)s: %(model)s “%(object)s”") % {
        "user": name_of(instance.user),
        "model": _model_name(instance),
        "object": instance.object_repr,
    }
    if instance.change_message in _SAYS_NOTHING:
        return sentence
    return f"{sentence}: {instance.get_change_message()}"


def _entry_data(instance: LogEntry, **_rest: Any) -> dict[str, Any]:
    data = {
        "action": _ACTIONS.get(instance.action_flag, "other"),
        "object": instance.object_repr,
        "user": sender_of(instance.user)._asdict(),
    }
    kind = _content_type(instance)
    if kind is not None:
        data["model"] = f"{kind.app_label}.{kind.model}"
        url = None if instance.is_deletion() else instance.get_admin_url()
        if url is not None:
            data["url"] = url
    return data


def _model_name(entry: LogEntry) -> str:
    kind = _content_type(entry)
    return "?" if kind is None else kind.name


def _content_type(entry: LogEntry) -> ContentType | None:
    """From Django's cache of them; an entry by itself would ask the database."""
    key = entry.content_type_id
    return None if key is None else ContentType.objects.get_for_id(key)

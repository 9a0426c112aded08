"""Rooms of objects: each model instance has one, and says itself who may use it."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Unpack

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models, router
from roomline.wire import InvalidName, check_room, shorten

from django_roomline.publishing import Options, apublish, publish

if TYPE_CHECKING:  # models of other apps import this file, before there are models
    from django_roomline.models import Action, AnyUser

    Base = models.Model
else:
    Base = object

_WORD: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class ObjectRoom:
    """The room of one object. `using` is the database that the object is written to."""

    name: str
    using: str

    def publish(self, data: Any, **options: Unpack[Options]) -> None:
        """`django_roomline.publish` to this room, with the transaction of the object's database."""
        options.setdefault("using", self.using)
        publish(self.name, data, **options)

    async def apublish(self, data: Any, **options: Unpack[Options]) -> None:
        """`django_roomline.apublish` to this room."""
        options.setdefault("using", self.using)
        await apublish(self.name, data, **options)


def room_of(instance: models.Model) -> ObjectRoom:
    """The room ``object.<app_label>.<model>.<pk>`` of a saved model instance.

    A proxy model's instance has the room of the model that it stands for. Raises
    `roomline.wire.InvalidName` if the primary key is no word of a room name, or not there yet.
    """
    meta = _meta_of(type(instance))
    if instance.pk is None:
        raise InvalidName(
            f"{shorten(instance._meta.label)} object has no primary key yet: save it before its"
            " room is used"
        )
    word = str(meta.pk.to_python(instance.pk))
    if not _WORD.fullmatch(word):
        raise InvalidName(
            f"primary key {shorten(word)} of a {meta.label} cannot stand in a room name: accepted"
            " are the characters A-Z a-z 0-9 _ -"
        )
    # Not before there are models, as above.
    from django_roomline.models import OBJECTS_NAMESPACE

    name = check_room(f"{OBJECTS_NAMESPACE}.{meta.app_label}.{meta.model_name}.{word}")
    return ObjectRoom(name, router.db_for_write(type(instance), instance=instance))


class RoomModelMixin(Base):
    """For models whose objects have rooms: ``order.room``, and who may use it."""

    @property
    def room(self) -> ObjectRoom:
        """See `room_of`."""
        return room_of(self)

    def room_allows(self, user: "AnyUser", action: "Action") -> bool:
        """Whether the user may do that in this object's room: ``read`` or ``write``.

        Nobody may unless the model overrides this. Who may not read may not write either, and
        about that the model is not asked.
        """
        return False


@dataclass(frozen=True)
class ObjectRule:
    """Who may use the room of this object; None is one that is not there, and that nobody may."""

    instance: RoomModelMixin | None

    def allows(self, user: "AnyUser", action: "Action") -> bool:
        """Whether the user may do that there."""
        instance = self.instance
        if instance is None or not instance.room_allows(user, "read"):
            return False
        return action == "read" or instance.room_allows(user, "write")


def rule_of(room: str) -> ObjectRule | None:
    """Who may use a room in the namespace of objects, with one query.

    None if the room's model is not a `RoomModelMixin`: somebody else has to know.
    """
    _, *words = room.split(".")
    try:
        app_label, model_name, word = words
        model = apps.get_model(app_label, model_name)
        if not issubclass(model, RoomModelMixin):
            return None
        key = _meta_of(model).pk.to_python(word)
    except (ValueError, LookupError, ValidationError):
        return ObjectRule(None)
    instance = model._default_manager.filter(pk=key).first()
    # One object has one room: 007 and 7 are the same key, and not the same room.
    if instance is None or room_of(instance).name != room:
        return ObjectRule(None)
    return ObjectRule(instance)


def _meta_of(model: type[models.Model]) -> Any:
    concrete = model._meta.concrete_model
    return (concrete or model)._meta

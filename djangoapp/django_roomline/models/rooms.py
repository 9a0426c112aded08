"""Rooms that a project keeps in its database, and who may read and write each."""

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from roomline.wire import (
    CONTROL_NAMESPACE,
    MAX_ROOM_BYTES,
    InvalidName,
    check_room,
    namespace_of,
)

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

AnyUser: TypeAlias = "AbstractBaseUser | AnonymousUser"
Action = Literal["read", "write"]

RESERVED_NAMESPACES: Final = (CONTROL_NAMESPACE, "user")
"""Nobody is given rights here: ``control`` steers gateways, ``user.<id>`` is each user's own and
reaches them without any grant."""

OBJECTS_NAMESPACE: Final = "object"
"""``object.<app>.<model>.<pk>`` is the room of an object, which says itself who may use it."""


def validate_room_name(name: str) -> None:
    """Raise `ValidationError` if no room may have this name in the database."""
    try:
        check_room(name)
    except InvalidName as error:
        raise ValidationError(str(error), code="room_name") from None
    if namespace_of(name) in (*RESERVED_NAMESPACES, OBJECTS_NAMESPACE):
        raise ValidationError(
            _("Rooms that begin with %(namespace)s. are reserved."),
            code="room_reserved",
            params={"namespace": namespace_of(name)},
        )


class Audience(models.TextChoices):
    """A class of users."""

    EVERYONE = "everyone", _("everyone")
    AUTHENTICATED = "authenticated", _("users who are logged in")
    STAFF = "staff", _("staff")

    def includes(self, user: AnyUser) -> bool:
        """Whether this user is one of them."""
        if self is Audience.EVERYONE:
            return True
        # A user model of the project's own may know neither of these two.
        active = user.is_authenticated and getattr(user, "is_active", True)
        return active and (self is Audience.AUTHENTICATED or getattr(user, "is_staff", False))

    @classmethod
    def of(cls, user: AnyUser) -> list["Audience"]:
        """The classes that this user is one of."""
        return [audience for audience in cls if audience.includes(user)]


class Room(models.Model):
    """A room with a title and rights. It is usable as soon as it is saved."""

    name = models.CharField(
        _("name"),
        max_length=MAX_ROOM_BYTES,
        unique=True,
        validators=[validate_room_name],
        help_text=_("Words of A-Z a-z 0-9 _ - joined by dots; the first is its namespace."),
    )
    title = models.CharField(_("title"), max_length=200)
    readers = models.CharField(
        _("who may read"),
        max_length=20,
        choices=Audience.choices,
        default=Audience.AUTHENTICATED,
    )
    writers = models.CharField(
        _("who may write"),
        max_length=20,
        choices=Audience.choices,
        default=Audience.AUTHENTICATED,
        help_text=_("Of those who may read."),
    )

    class Meta:
        verbose_name = _("room")
        verbose_name_plural = _("rooms")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.title

    def allows(self, user: AnyUser, action: Action) -> bool:
        """Whether the user may do that here. Who writes must be allowed to read as well."""
        allowed = Audience(self.readers).includes(user)
        return allowed and (action == "read" or Audience(self.writers).includes(user))

"""Rooms that a project keeps in its database, and who may read and write each."""

from typing import Final, Literal, NamedTuple

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Exists, OuterRef, Q, Subquery
from django.utils.translation import gettext_lazy as _
from roomline.wire import (
    CONTROL_NAMESPACE,
    MAX_ROOM_BYTES,
    InvalidName,
    check_room,
    namespace_of,
)

from django_roomline.models.members import AnyUser, Member, is_active

Action = Literal["read", "write"]

RESERVED_NAMESPACES: Final = (CONTROL_NAMESPACE, "user")
"""Nobody is given rights here: ``control`` steers gateways, ``user.<id>`` is each user's own and
reaches them without any grant."""

ADMIN_NAMESPACE: Final = "admin"
"""Its rooms are for active staff to read, and nobody writes there but Django."""

OBJECTS_NAMESPACE: Final = "object"
"""``object.<app>.<model>.<pk>`` is the room of an object, which says itself who may use it."""


def validate_room_name(name: str) -> None:
    """Raise `ValidationError` if no room may have this name in the database."""
    try:
        check_room(name)
    except InvalidName as error:
        raise ValidationError(str(error), code="room_name") from None
    if namespace_of(name) in (*RESERVED_NAMESPACES, ADMIN_NAMESPACE, OBJECTS_NAMESPACE):
        raise ValidationError(
            _("Rooms that begin with %(namespace)s. are reserved."),
            code="room_reserved",
            params={"namespace": namespace_of(name)},
        )


class Rights(NamedTuple):
    """What one user may do in one room."""

    read: bool
    write: bool


NO_RIGHTS: Final = Rights(read=False, write=False)


class Audience(models.TextChoices):
    """A class of users, or a room's members."""

    EVERYONE = "everyone", _("everyone")
    AUTHENTICATED = "authenticated", _("users who are logged in")
    STAFF = "staff", _("staff")
    MEMBERS = "members", _("only members")

    def includes(self, user: AnyUser) -> bool:
        """Whether this user is one of them, whatever the room: nobody is a member of all."""
        if self is Audience.EVERYONE:
            return True
        if self is Audience.MEMBERS or not is_active(user):
            return False
        # A user model of the project's own may know no staff.
        return self is Audience.AUTHENTICATED or getattr(user, "is_staff", False)

    @classmethod
    def of(cls, user: AnyUser) -> list["Audience"]:
        """The classes that this user is one of."""
        return [audience for audience in cls if audience.includes(user)]


class RoomQuerySet(models.QuerySet["Room"]):
    """Rooms as one user has to do with them, in one query however many they are."""

    def with_membership(self, user: AnyUser) -> "RoomQuerySet":
        """Each with the `membership` of this user: None for who is no member, else whether the
        member may write. It is for `Room.rights_found`, with this user and no other."""
        mine = Member.objects.of(user).filter(room=OuterRef("pk"))
        return self.annotate(
            membership=Subquery(mine.order_by("-may_write").values("may_write")[:1])
        )

    def readable_by(self, user: AnyUser) -> "RoomQuerySet":
        """Those that this user may read."""
        mine = Member.objects.of(user).filter(room=OuterRef("pk"))
        return self.filter(
            Q(readers__in=Audience.of(user)) | Q(Exists(mine), readers=Audience.MEMBERS),
            closed=False,
        )


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
    closed = models.BooleanField(
        _("closed"),
        default=False,
        help_text=_("Nobody may read or write it, until it is opened again."),
    )

    objects = RoomQuerySet.as_manager()

    class Meta:
        verbose_name = _("room")
        verbose_name_plural = _("rooms")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.title

    def allows(self, user: AnyUser, action: Action) -> bool:
        """Whether the user may do that here; a query where it depends on members."""
        rights = self.rights_of(user)
        return rights.read if action == "read" else rights.write

    def rights_of(self, user: AnyUser) -> Rights:
        """What the user may do here; a query where it depends on members."""
        membership = None
        if Audience.MEMBERS in (self.readers, self.writers) and self.pk is not None:
            mine = Member.objects.of(user).filter(room=self).order_by("-may_write")
            membership = mine.values_list("may_write", flat=True).first()
        return self.rights_given(user, membership)

    def rights_found(self, user: AnyUser) -> Rights:
        """The same without a query, of a room from `RoomQuerySet.with_membership` of this user."""
        return self.rights_given(user, vars(self)["membership"])

    def rights_given(self, user: AnyUser, membership: bool | None) -> Rights:
        """The same with what `membership` says. Who writes must be allowed to read as well."""
        if self.closed or not self._is_for(self.readers, user, membership is not None):
            return NO_RIGHTS
        return Rights(True, self._is_for(self.writers, user, membership is True))

    @staticmethod
    def _is_for(audience: str, user: AnyUser, member: bool) -> bool:
        return member if audience == Audience.MEMBERS else Audience(audience).includes(user)

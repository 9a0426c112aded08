"""The members of a room: the groups and users that "only members" stands for."""

from typing import TYPE_CHECKING, TypeAlias

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

AnyUser: TypeAlias = "AbstractBaseUser | AnonymousUser"


def is_active(user: AnyUser) -> bool:
    """Whether it is a user who is logged in and has not been deactivated."""
    # A user model of the project's own may know no deactivation.
    return user.is_authenticated and getattr(user, "is_active", True)


class MemberQuerySet(models.QuerySet["Member"]):
    """Members by whom they let in."""

    def of(self, user: AnyUser) -> "MemberQuerySet":
        """Those that this user is, by themselves or through a group."""
        if not is_active(user):
            return self.none()
        mine = Q(user=user.pk)
        # A user model of the project's own may know no groups.
        groups = getattr(user, "groups", None)
        return self.filter(mine if groups is None else mine | Q(group__in=groups.values("pk")))


class Member(models.Model):
    """A group or a user, in one room."""

    room = models.ForeignKey(
        "django_roomline.Room",
        models.CASCADE,
        related_name="members",
        verbose_name=_("room"),
    )
    group = models.ForeignKey(
        "auth.Group",
        models.CASCADE,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("group"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("user"),
    )
    may_write = models.BooleanField(
        _("may write"),
        default=True,
        help_text=_("Where only members may write."),
    )

    objects = MemberQuerySet.as_manager()

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        constraints = (
            models.CheckConstraint(
                condition=Q(group=None) ^ Q(user=None),
                name="roomline_member_is_one",
                violation_error_message=_("A member is either a group or a user."),
            ),
            models.UniqueConstraint(fields=("room", "group"), name="roomline_member_group"),
            models.UniqueConstraint(fields=("room", "user"), name="roomline_member_user"),
        )

    def __str__(self) -> str:
        return str(self.group or self.user)

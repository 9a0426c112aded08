"""Rooms and their members in the admin."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_roomline.admin.notices import SEND, compose_notice
from django_roomline.models import Member, Notice, Room

if TYPE_CHECKING:  # generic for type checkers only
    ModelAdmin = admin.ModelAdmin[Room]
    TabularInline = admin.TabularInline[Member, Room]
else:
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline


class MemberInline(TabularInline):
    """Who "only members" stands for in this room."""

    model = Member
    extra = 0
    raw_id_fields = ("group", "user")  # of which there may be thousands


@admin.register(Room)
class RoomAdmin(ModelAdmin):
    """Rooms are found by name or title; the list shows who may use them."""

    list_display = ("name", "title", "readers", "writers", "closed")
    list_filter = ("closed", "readers", "writers")
    search_fields = ("name", "title")
    show_full_result_count = False
    inlines = (MemberInline,)
    actions = ("close", "open", compose_notice)

    @admin.action(description=_("Close the selected rooms"), permissions=["change"])
    def close(self, request: HttpRequest, rooms: QuerySet[Room]) -> None:
        """Nobody may use them any more; whoever does is told within a second."""
        self._set_closed(request, rooms, True)

    @admin.action(description=_("Open the selected rooms"), permissions=["change"])
    def open(self, request: HttpRequest, rooms: QuerySet[Room]) -> None:
        """Whoever may use them by their rights may do so again."""
        self._set_closed(request, rooms, False)

    def _set_closed(self, request: HttpRequest, rooms: QuerySet[Room], closed: bool) -> None:
        changed = 0
        for room in rooms.exclude(closed=closed):
            room.closed = closed
            room.save(update_fields=["closed"])  # one by one: each is told to the gateways
            changed += 1
        text = _("%(count)d rooms closed.") if closed else _("%(count)d rooms opened.")
        self.message_user(request, text % {"count": changed})

    def has_send_notice_permission(self, request: HttpRequest) -> bool:
        """Whether the action that sends a notice is offered."""
        return self.admin_site.is_registered(Notice) and request.user.has_perm(SEND)

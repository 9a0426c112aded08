"""The archive in the admin: to be read and, publications, to be deleted."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from django_roomline.models import ArchivedPublication, ArchiveGap, ArchiveProgress

if TYPE_CHECKING:  # generic for type checkers only
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class _Written(ModelAdmin):
    """What only the archiver writes."""

    # One count of a table with millions of rows is enough.
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ArchivedPublication)
class ArchivedPublicationAdmin(_Written):
    """Found by the exact name of the room, or by the sender's id."""

    list_display = ("id", "room", "sender_id", "archived", "position")
    search_fields = ("room__exact", "sender_id__exact")


@admin.register(ArchiveProgress)
class ArchiveProgressAdmin(_Written):
    """How far the archiver is. Deleting the row would archive everything once more."""

    list_display = ("partition", "epoch", "offset", "stored", "archiver", "moved")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ArchiveGap)
class ArchiveGapAdmin(_Written):
    """What could not be archived, and why."""

    list_display = ("noticed", "epoch", "after", "before", "reason")

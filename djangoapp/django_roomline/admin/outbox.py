"""The transactional outbox in the admin: what waits, and what was refused and why."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from roomline.wire import json_of

from django_roomline.models import OutboxMessage

if TYPE_CHECKING:  # generic for type checkers only
    from django.db.models import QuerySet

    ModelAdmin = admin.ModelAdmin[OutboxMessage]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ModelAdmin):
    """To look at, to try again, and to give up (delete); nothing in it can be changed."""

    list_display = ("id", "room", "kind", "published_at", "refused", "error")
    list_filter = ("refused", "kind")
    search_fields = ("room", "key", "message_id")
    show_full_result_count = False
    fields = (
        *("room", "kind", "sender_name", "published_at", "data", "key", "message_id"),
        *("refused", "error"),
    )
    readonly_fields = fields
    actions = ("retry",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[OutboxMessage]":
        """Without the bodies, which the list does not show."""
        return super().get_queryset(request).defer("body")

    @admin.display(description=_("published at"), ordering="time")
    def published_at(self, message: OutboxMessage) -> datetime:
        """When publish() was called."""
        return datetime.fromtimestamp(message.time / 1000, UTC)

    @admin.display(description=_("data"))
    def data(self, message: OutboxMessage) -> str:
        """What clients will see of it."""
        return json_of(bytes(message.body))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows are made by `publish`."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Changed, it would not be what was published."""
        return False

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whoever may change rows as far as Django's permissions go."""
        return super().has_change_permission(request)

    @admin.action(description=_("Publish refused ones again"), permissions=("retry",))
    def retry(self, request: HttpRequest, queryset: "QuerySet[OutboxMessage]") -> None:
        """Let the relay try them once more, in the order of their ids."""
        count = queryset.filter(refused=True).update(refused=False, error="")
        text = ngettext(
            "%(count)d refused publication waits for the relay again.",
            "%(count)d refused publications wait for the relay again.",
            count,
        )
        self.message_user(request, text % {"count": count}, messages.SUCCESS)

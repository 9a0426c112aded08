"""Notices: what staff has told the users of open pages, and who it was."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from roomline.wire import MAX_ROOM_BYTES, MAX_SENDER_NAME, NOTICES_ROOM

EVERYBODY = NOTICES_ROOM
"""The room that every page is in."""
MAX_NOTICE = 2000


class Notice(models.Model):
    """One notice that was sent: the record of it, which nobody changes."""

    room = models.CharField(_("room"), max_length=MAX_ROOM_BYTES)
    text = models.TextField(_("text"), max_length=MAX_NOTICE)
    sent_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("sent by"),
    )
    sender_name = models.CharField(
        _("sender"), max_length=MAX_SENDER_NAME, help_text=_("The name that readers have seen.")
    )
    sent_at = models.DateTimeField(_("sent at"), auto_now_add=True)
    message_id = models.CharField(_("message id"), max_length=255, unique=True)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering = ("-sent_at", "-id")
        indexes = (models.Index(fields=("-sent_at", "-id"), name="roomline_notice_latest"),)
        default_permissions = ("view",)
        permissions = (("send_notice", _("Can send notices")),)

    def __str__(self) -> str:
        return self.room  # what logs show; the text may be for one user only

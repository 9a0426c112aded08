"""The transactional outbox: publications that were committed and are not in the log yet."""

from typing import Self

from django.db import models
from django.utils.translation import gettext_lazy as _
from roomline.wire import (
    CONTROL_NAMESPACE,
    KINDS,
    MAX_KEY_LENGTH,
    MAX_ROOM_BYTES,
    MAX_SENDER_NAME,
    Envelope,
    Kind,
    Sender,
    namespace_of,
    shorten,
)


class OutboxMessage(models.Model):
    """One publication, whole. The relay publishes rows in the order of their ids, and those that
    are `urgent` before the others: revocations, which are in a log of their own.

    Rows of one transaction have rising ids, and so have rows of transactions of which one began
    after the other had ended.
    """

    room = models.CharField(_("room"), max_length=MAX_ROOM_BYTES)
    body = models.BinaryField(_("body"))
    message_id = models.CharField(_("message id"), max_length=255)
    kind = models.CharField(_("kind"), max_length=10, choices=[(kind, kind) for kind in KINDS])
    key = models.CharField(_("key"), max_length=MAX_KEY_LENGTH, blank=True)
    # Defaults of the database: processes that do not know the columns yet write on.
    sender_id = models.CharField(
        _("sender id"), max_length=64, blank=True, default="", db_default=""
    )
    sender_name = models.CharField(
        _("sender"), max_length=MAX_SENDER_NAME, blank=True, default="", db_default=""
    )
    time = models.BigIntegerField(
        _("published at"), help_text=_("When publish() was called: milliseconds since the epoch.")
    )
    refused = models.BooleanField(
        _("refused"), default=False, help_text=_("The broker will not take it: see the error.")
    )
    urgent = models.BooleanField(_("urgent"), default=False, db_default=False)
    error = models.TextField(
        _("error"), blank=True, default="", help_text=_("What the broker has said last.")
    )

    class Meta:
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox messages")
        ordering = ("id",)
        indexes = (
            models.Index(fields=("refused", "-urgent", "id"), name="roomline_outbox_waiting"),
        )

    def __str__(self) -> str:
        return f"{self.room} {self.message_id}"

    @classmethod
    def of(cls, envelope: Envelope) -> Self:
        """The row for an envelope as `publish` makes it: with an id and a time."""
        sender = envelope.sender or Sender("", "")
        return cls(
            room=envelope.room,
            body=envelope.body,
            message_id=envelope.message_id or "",
            kind=envelope.kind,
            key=envelope.key or "",
            sender_id=sender.id,
            sender_name=sender.name,
            time=envelope.time,
            urgent=namespace_of(envelope.room) == CONTROL_NAMESPACE,
        )

    def envelope(self) -> Envelope:
        """What the row holds; raises `ValueError` for a kind that is none."""
        kinds: dict[str, Kind] = {kind: kind for kind in KINDS}
        if self.kind not in kinds:
            raise ValueError(f"kind is {shorten(self.kind)}, accepted are {', '.join(KINDS)}")
        return Envelope(
            room=self.room,
            body=bytes(self.body),
            message_id=self.message_id,
            time=self.time,
            kind=kinds[self.kind],
            sender=Sender(self.sender_id, self.sender_name) if self.sender_id else None,
            key=self.key or None,
        )

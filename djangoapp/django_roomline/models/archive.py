"""The archive: publications that outlive the log, how far it was read, and what is missing."""

from typing import Any, ClassVar, Final

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from roomline.wire import MAX_ROOM_BYTES, position_text

NOTHING: Final = -1
"""The offset before the first entry of any log."""


class ArchivedPublication(models.Model):
    """One publication as clients saw it.

    The primary key counts all that was ever archived, in the order of the log: it is given by the
    archiver and never again. `epoch` tells logs apart: it is another one after the log was
    re-created or its tail was lost, and after entries were trimmed before they could be archived.
    """

    id = models.BigIntegerField(primary_key=True)
    epoch = models.PositiveIntegerField(_("epoch"))
    partition = models.PositiveSmallIntegerField(_("partition"), default=0)
    offset = models.BigIntegerField(_("offset"))
    fingerprint = models.BigIntegerField(_("fingerprint"))
    room = models.CharField(_("room"), max_length=MAX_ROOM_BYTES)
    sender_id = models.CharField(
        _("sender"), max_length=64, blank=True, help_text=_("Empty: nobody who is known.")
    )
    # JSON text, in which control characters are escaped and numbers are what they were: a JSON
    # column would refuse a NUL, round numbers, and limit the depth.
    publication = models.TextField(_("publication"))
    archived = models.DateTimeField(_("archived"), default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("archived publication")
        verbose_name_plural = _("archived publications")
        ordering = ("-id",)
        # By offset first: whoever comes with a position knows no epoch.
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                fields=["partition", "offset", "epoch"], name="roomline_archive_place"
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["room", "-id"], name="roomline_archive_room")
        ]

    def __str__(self) -> str:
        return f"{self.room} {self.position}"

    @property
    def position(self) -> str:
        """Its position, as clients know it."""
        return position_text(self.partition, self.offset, self.fingerprint)


class ArchiveProgress(models.Model):
    """How far the log was archived: one row, which is the lock against a second archiver."""

    partition = models.PositiveSmallIntegerField(_("partition"), primary_key=True)
    epoch = models.PositiveIntegerField(_("epoch"), default=1)
    log = models.CharField(_("log"), max_length=64, blank=True)
    """The embedded log's own name; RabbitMQ's streams have none."""
    offset = models.BigIntegerField(_("offset"), default=NOTHING)
    fingerprint = models.BigIntegerField(_("fingerprint"), default=0)
    stored = models.BigIntegerField(_("publications ever stored"), default=0)
    archiver = models.CharField(_("archiver"), max_length=200, blank=True)
    moved = models.DateTimeField(_("moved"), default=timezone.now)

    class Meta:
        verbose_name = _("progress of the archive")
        verbose_name_plural = _("progress of the archive")

    def __str__(self) -> str:
        return f"{self.epoch}: {self.offset}"


class ArchiveGap(models.Model):
    """Entries of the log that are not in the archive, as far as that is known."""

    epoch = models.PositiveIntegerField(_("epoch"), help_text=_("That goes on behind the gap."))
    partition = models.PositiveSmallIntegerField(_("partition"), default=0)
    after = models.BigIntegerField(_("after offset"), help_text=_("-1: from the first entry on."))
    before = models.BigIntegerField(
        _("before offset"), null=True, blank=True, help_text=_("Empty: it is not known.")
    )
    reason = models.CharField(_("reason"), max_length=300)
    noticed = models.DateTimeField(_("noticed"), default=timezone.now)

    class Meta:
        verbose_name = _("gap in the archive")
        verbose_name_plural = _("gaps in the archive")
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.reason

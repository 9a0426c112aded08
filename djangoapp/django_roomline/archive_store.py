"""Writing the archive: rows, how far they go, and gaps, always in one transaction."""

import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db import router, transaction
from django.utils import timezone
from roomline.wire import (
    CONTROL_NAMESPACE,
    Envelope,
    InvalidName,
    check_room,
    check_user_id,
    fingerprint_of,
    namespace_of,
    publication_json,
)

from django_roomline.models import NOTHING, ArchivedPublication, ArchiveGap, ArchiveProgress

PARTITION = 0
REMEMBERED_ROOMS = 10_000
"""Rooms whose last position is kept in memory; of others it is looked up."""


class AnotherArchiver(Exception):
    """Somebody else has moved the archive on; the text says who."""


class Found(NamedTuple):
    """An entry of the log on its way into the archive. `repeated`: clients were not told it."""

    offset: int
    envelope: Envelope | None
    repeated: bool


class Store:
    """The archive as one archiver writes it.

    Each change names the progress that it continues from. An UPDATE that finds the row as it was
    left has thereby locked it (on SQLite: the database) until the commit; one that does not has
    met another archiver, and nothing is written.
    """

    def __init__(self, publishers: frozenset[str]) -> None:
        """`publishers`: the broker users whose word on sender and kind counts."""
        self._publishers = publishers
        self._using = router.db_for_write(ArchivedPublication)
        self._me = f"{socket.gethostname()}:{os.getpid()}"[:200]
        self._heads: dict[str, str | None] = {}

    def progress(self) -> ArchiveProgress:
        """How far the archive goes now."""
        self._heads.clear()
        rows = ArchiveProgress.objects.using(self._using)
        return rows.get_or_create(partition=PARTITION)[0]

    def add(
        self, progress: ArchiveProgress, log: str, found: Sequence[Found], gap: str | None = None
    ) -> None:
        """Store entries behind `progress`, and move it; the last one has an envelope.

        `gap`: why entries before the first of these are missing. Raises `AnotherArchiver`, or
        Django's `django.db.Error`; then nothing was stored and `progress` is as it was.
        """
        last = found[-1]
        assert last.envelope is not None
        kept = [entry for entry in found if entry.envelope and not entry.repeated]
        kept = [entry for entry in kept if entry.envelope and _is_for_clients(entry.envelope.room)]
        gaps = [
            self._gap(progress.epoch, at - 1, at + 1, "nobody can read this entry")
            for at in (entry.offset for entry in found if entry.envelope is None)
        ]
        if gap is not None:
            gaps.append(self._gap(progress.epoch, progress.offset, found[0].offset, gap))
        try:
            with transaction.atomic(self._using):
                moved = self._move(
                    progress,
                    log=log,
                    offset=last.offset,
                    fingerprint=fingerprint_of(last.envelope),
                    stored=progress.stored + len(kept),
                )
                rows = [
                    self._row(progress, progress.stored + count, entry.offset, entry.envelope)
                    for count, entry in enumerate(kept, 1)
                    if entry.envelope
                ]
                ArchivedPublication.objects.using(self._using).bulk_create(rows)
                ArchiveGap.objects.using(self._using).bulk_create(gaps)
        except BaseException:
            self._heads.clear()
            raise
        vars(progress).update(moved)

    def begin_epoch(self, progress: ArchiveProgress, before: int | None, reason: str) -> None:
        """What is in the log does not continue what was archived: begin with its oldest entry."""
        with transaction.atomic(self._using):
            moved = self._move(
                progress, epoch=progress.epoch + 1, log="", offset=NOTHING, fingerprint=0
            )
            self._gap(progress.epoch + 1, progress.offset, before, reason).save(using=self._using)
        self._heads.clear()
        vars(progress).update(moved)

    def _move(self, progress: ArchiveProgress, **values: int | str) -> dict[str, object]:
        """Move the row on, which locks it; raises `AnotherArchiver`."""
        rows = ArchiveProgress.objects.using(self._using).filter(pk=progress.pk)
        mine = rows.filter(
            epoch=progress.epoch,
            offset=progress.offset,
            fingerprint=progress.fingerprint,
            stored=progress.stored,
        )
        changed: dict[str, object] = {**values, "archiver": self._me, "moved": timezone.now()}
        if not mine.update(**changed):
            other = rows.values_list("archiver", flat=True).first()
            raise AnotherArchiver(f"{other or 'another archiver'} archives this log as well")
        return changed

    def _row(
        self, progress: ArchiveProgress, number: int, offset: int, envelope: Envelope
    ) -> ArchivedPublication:
        sender = envelope.sender if envelope.publisher in self._publishers else None
        row = ArchivedPublication(
            id=number,
            epoch=progress.epoch,
            partition=PARTITION,
            offset=offset,
            fingerprint=fingerprint_of(envelope),
            room=envelope.room,
            sender_id=_searchable(sender.id) if sender else "",
        )
        row.publication = publication_json(
            envelope,
            row.position,
            self._head(progress.epoch, envelope.room),
            trusted=envelope.publisher in self._publishers,
        )
        self._heads[envelope.room] = row.position
        return row

    def _head(self, epoch: int, room: str) -> str | None:
        """The position of the room's last publication in this epoch, or None."""
        if room not in self._heads:
            if len(self._heads) >= REMEMBERED_ROOMS:
                del self._heads[next(iter(self._heads))]
            rows = ArchivedPublication.objects.using(self._using).filter(room=room)
            last = rows.defer("publication").order_by("-id").first()
            self._heads[room] = last.position if last and last.epoch == epoch else None
        return self._heads[room]

    def _gap(self, epoch: int, after: int, before: int | None, reason: str) -> ArchiveGap:
        return ArchiveGap(
            epoch=epoch, partition=PARTITION, after=after, before=before, reason=reason[:300]
        )


def trim(days: float, room: str | None, batch: int = 1000) -> int:
    """Delete at most `batch` publications that were archived more than `days` days ago, the oldest
    first, of all rooms or of one; returns how many. Call it again until it returns 0."""
    using = router.db_for_write(ArchivedPublication)
    rows = ArchivedPublication.objects.using(using)
    old = rows.filter(archived__lt=timezone.now() - timedelta(days=days))
    if room is not None:
        old = old.filter(room=room)
    ids = list(old.order_by("archived", "id").values_list("id", flat=True)[:batch])
    return rows.filter(id__in=ids).delete()[0]


def _is_for_clients(room: str) -> bool:
    """Whether clients can be told of it: the console takes any routing key."""
    try:
        return namespace_of(check_room(room)) != CONTROL_NAMESPACE
    except InvalidName:
        return False


def _searchable(sender_id: str) -> str:
    """A sender's id if it is well formed: only such belong to anybody one may look for."""
    try:
        return check_user_id(sender_id)
    except InvalidName:
        return ""

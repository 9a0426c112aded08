"""Reading the archive: a room's publications before one that the reader knows, in pages."""

from typing import Final, NamedTuple

from django.db.models import Q
from roomline.wire import parse_position

from django_roomline.models import NOTHING, ArchivedPublication, ArchiveProgress

MAX_LIMIT: Final = 100
_LARGEST_OFFSET: Final = 2**63 - 1


class Page(NamedTuple):
    """`publications`: JSON texts, the oldest first. `more`: there are older ones.

    `complete`: the archive has come to the position that was named, so that nothing is missing
    between it and these. Otherwise there are none: what is missing would be a gap that nobody sees.
    """

    publications: list[str]
    more: bool
    complete: bool


def page(room: str, limit: int, *, before: str | None = None, until: str | None = None) -> Page:
    """The newest `limit` publications of a room: those before a position, or those up to it; if
    neither is named, of all. A position may be that of any entry of the log.

    At most four queries. Raises `ValueError` for text that is no position.
    """
    rows = ArchivedPublication.objects.filter(room=room)
    named = before if before is not None else until
    if named is not None:
        last = _last_number(named, inclusive=before is None)
        if last is None:
            return Page([], False, False)
        # By number, which is the order of the log through all epochs, and an index with the room.
        rows = rows.filter(id__lte=last)
    texts = list(rows.order_by("-id").values_list("publication", flat=True)[: limit + 1])
    return Page(texts[:limit][::-1], len(texts) > limit, True)


def _last_number(position: str, *, inclusive: bool) -> int | None:
    """The number of the last publication, of whatever room, before a position or up to it.

    None: the archive has not come there yet, or it is a position of another log.
    """
    parts = parse_position(position)
    if parts is None:
        raise ValueError(f"{position[:60]!r} is not a position that a gateway gave")
    partition, offset, fingerprint = parts
    if offset > _LARGEST_OFFSET:
        return None
    rows = ArchivedPublication.objects.filter(partition=partition)
    there = rows.filter(offset=offset).values_list("epoch", "fingerprint", "id")
    places = {epoch: (found, number) for epoch, found, number in there}
    # A log that was read anew in another epoch has given it a second place there.
    for epoch in sorted(places, reverse=True):
        found, number = places[epoch]
        if found == fingerprint:
            return number if inclusive else number - 1
    # Not every entry has a row: repeats have none, nor what was deleted since. Where the archive
    # has passed and another entry stands, it is another log.
    progress = ArchiveProgress.objects.filter(partition=partition).first()
    if progress is None:
        return 0 if offset == NOTHING else None
    if progress.epoch in places or progress.offset < offset:
        return None
    earlier = Q(epoch__lt=progress.epoch) | Q(epoch=progress.epoch, offset__lt=offset)
    return rows.filter(earlier).order_by("-id").values_list("id", flat=True).first() or 0

"""Reading the archive: a room's publications before one that the reader knows, in pages."""

from typing import Final, NamedTuple

from roomline.wire import parse_position

from django_roomline.models import ArchivedPublication

MAX_LIMIT: Final = 100
_LARGEST_OFFSET: Final = 2**63 - 1


class Page(NamedTuple):
    """`publications`: JSON texts, the oldest first. `more`: there are older ones.

    `complete`: the publication that was named is archived, so that nothing is missing between it
    and these. Otherwise there are none: what is missing would be a gap that nobody sees.
    """

    publications: list[str]
    more: bool
    complete: bool


def page(room: str, limit: int, *, before: str | None = None, until: str | None = None) -> Page:
    """The newest `limit` publications of a room: those before the one at a position, or those up
    to it; if neither is named, of all.

    Two queries. Raises `ValueError` for text that is no position.
    """
    rows = ArchivedPublication.objects.filter(room=room)
    named = before if before is not None else until
    if named is not None:
        number = _number_of(room, named)
        if number is None:
            return Page([], False, False)
        # By number, which is the order of the log through all epochs, and an index with the room.
        rows = rows.filter(id__lte=number if before is None else number - 1)
    texts = list(rows.order_by("-id").values_list("publication", flat=True)[: limit + 1])
    return Page(texts[:limit][::-1], len(texts) > limit, True)


def _number_of(room: str, position: str) -> int | None:
    """The number of the room's publication at a position, or None if it is not archived."""
    parts = parse_position(position)
    if parts is None:
        raise ValueError(f"{position[:60]!r} is not a position that a gateway gave")
    partition, offset, fingerprint = parts
    if offset > _LARGEST_OFFSET:
        return None
    rows = ArchivedPublication.objects.filter(
        partition=partition, offset=offset, fingerprint=fingerprint, room=room
    )
    # A log that was read anew in another epoch has given it a second place there.
    return rows.order_by("-id").values_list("id", flat=True).first()

"""All rooms of one node: a log entry becomes a publication, a position becomes a page."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from roomline.core.codec import publication_text
from roomline.core.codes import Unrecoverable
from roomline.core.history import History, Publication
from roomline.core.limits import NodeLimits
from roomline.core.outbox import Encoded
from roomline.core.policy import Namespace
from roomline.core.position import Position
from roomline.core.recovery import LogIndex
from roomline.core.room import Room, Subscriber
from roomline.repeats import Repeats
from roomline.wire import Envelope, fingerprint_of, json_of, namespace_of

_EXPIRE_BATCH = 1000


class Page(NamedTuple):
    """What a subscriber is told first. `doubt` says why a position could not be continued from;
    after a page with `more`, the subscriber asks again from `position`."""

    publications: list[Publication]
    position: str
    head: str | None
    doubt: Unrecoverable | None
    more: bool


class Rooms:
    """The rooms, under one memory bound, and the index of the log they come from.

    `publishers` are the broker users whose statements about sender and kind count.
    """

    def __init__(
        self,
        namespaces: Mapping[str, Namespace],
        publishers: frozenset[str],
        limits: NodeLimits,
        first_offset: int,
    ) -> None:
        self._namespaces = namespaces
        self._publishers = publishers
        self._limits = limits
        self.index = LogIndex(limits.index_entries, first_offset)
        self._repeats = Repeats(limits.dedup_window)
        self._rooms: dict[str, Room] = {}
        self._forgotten = -1
        self._sweep: Iterator[str] = iter(())
        self.cost = 0

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[Room]:
        """All rooms known. No room may come or go meanwhile."""
        return iter(self._rooms.values())

    def __contains__(self, name: str) -> bool:
        return name in self._rooms

    def in_log(self, name: str) -> bool:
        """Whether the log holds a publication of that room, as far as this node knows."""
        return name in self._rooms and self._rooms[name].head is not None

    def clear(self) -> None:
        """The log is another one now: keep nothing, and nobody live."""
        self.index.clear()
        self._repeats.clear()
        self._rooms.clear()
        self._forgotten = -1
        self._sweep = iter(())
        self.cost = 0

    def room(self, name: str) -> Room:
        """The room of that name, whose namespace must be configured."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = self._fresh(name)
        return room

    def append(self, partition: int, offset: int, envelope: Envelope, now: float) -> Room | None:
        """Take the next log entry and push it to whoever is live; None: it is a repeat, or of
        a namespace that is not configured here."""
        position = Position(partition, offset, fingerprint_of(envelope))
        self.index.append(position)
        if self._repeats.seen(offset, envelope.room, envelope.message_id):
            return None
        if namespace_of(envelope.room) not in self._namespaces:
            return None
        room = self.room(envelope.room)
        trusted = envelope.publisher in self._publishers
        place = str(position)
        text = publication_text(envelope, json_of(envelope.body), place, room.head, trusted=trusted)
        # Only for ageing; a publisher's clock that is ahead must not make history immortal.
        time = now if envelope.time is None else min(now, envelope.time / 1000)
        before = room.history.cost
        room.append(Publication(offset, place, time, Encoded(text)))
        self.cost += room.history.cost - before
        if self.cost > self._limits.history_bytes:
            self._shrink()
        return room

    def page(self, name: str, since: str | None, history: int, max_size: int) -> Page:
        """What a subscriber of room `name` is told first.

        With the text of a position that can be continued from: what came after it, in pages of
        `max_size`. Otherwise the latest `history` publications, as far as they fit into it.
        """
        room = self._rooms.get(name) or self._fresh(name)  # asking creates nothing
        doubt = None
        if since is not None:
            missed, doubt = self._missed(room, since)
            if missed is not None:
                return self._first_page(room, missed, max_size)
        latest = _fitting(reversed(room.history.latest(history)), max_size)
        latest.reverse()
        return Page(latest, str(self.index.last), room.head, doubt, False)

    def expire(self, now: float) -> None:
        """Let go of old publications and of rooms with nothing left; some rooms at each call."""
        for _ in range(_EXPIRE_BATCH):
            name = next(self._sweep, None)
            if name is None:
                self._sweep = iter(list(self._rooms))
                return
            room = self._rooms.get(name)
            if room is None:
                continue
            before = room.history.cost
            room.history.expire(now)
            self.cost += room.history.cost - before
            self._forget_if_empty(room, now)

    def leave(self, name: str, subscriber: Subscriber, now: float) -> None:
        """A subscriber has left room `name`."""
        if room := self._rooms.get(name):
            room.subscribers.pop(subscriber, None)
            self._forget_if_empty(room, now)

    def _fresh(self, name: str) -> Room:
        namespace = self._namespaces[namespace_of(name)]
        room = Room(name, History(namespace.history, namespace.history_age))
        # It may have been forgotten: nothing from before that can be vouched for.
        room.history.evicted = self._forgotten
        return room

    def _missed(
        self, room: Room, since: str
    ) -> tuple[list[Publication] | None, Unrecoverable | None]:
        """The room's publications after a position, or why they cannot be told."""
        position = Position.parse(since)
        if position is None:
            return None, Unrecoverable.MALFORMED
        if doubt := self.index.doubt(position):
            return None, doubt
        missed = room.history.since(position.offset)
        return missed, Unrecoverable.EVICTED if missed is None else None

    def _first_page(self, room: Room, missed: list[Publication], max_size: int) -> Page:
        page = _fitting(iter(missed), max_size)
        if len(page) < len(missed):
            return Page(page, page[-1].position, room.head, None, True)
        return Page(page, str(self.index.last), room.head, None, False)

    def _forget_if_empty(self, room: Room, now: float) -> None:
        in_log = room.head and room.head_time > now - self._limits.forget_rooms_after
        if not (room.subscribers or len(room.history) or in_log):
            self._forgotten = max(self._forgotten, room.history.evicted)
            del self._rooms[room.name]

    def _shrink(self) -> None:
        """Bring the memory down to nine tenths: rooms above their share give way. What rooms
        below theirs leave is the others' to share.

        The tenth makes the sweep over all rooms rare.
        """
        held = [room.history for room in self._rooms.values() if len(room.history)]
        left = self._limits.history_bytes * 0.9
        share = left
        for others, cost in enumerate(sorted(history.cost for history in held)):
            share = left / (len(held) - others)
            if cost > share:
                break
            left -= cost
        for history in held:
            if history.cost > share:
                before = history.cost
                history.shrink(share)
                self.cost += history.cost - before


def _fitting(publications: Iterator[Publication], max_size: int) -> list[Publication]:
    """The first of `publications` that together fit into `max_size`: at least one, if any."""
    page: list[Publication] = []
    size = 0
    for publication in publications:
        size += publication.message.size
        if page and size > max_size:
            break
        page.append(publication)
    return page

"""One room: what it holds, where its log ends, and who receives its publications."""

from typing import Protocol

from roomline.core.codes import Unsubscribed
from roomline.core.history import History, Publication
from roomline.core.outbox import Encoded


class Subscriber(Protocol):
    """Whoever is live in a room."""

    def push(self, message: Encoded) -> None:
        """Queue a publication. Must not raise and must not change any room."""


class Guest(Subscriber, Protocol):
    """A subscriber without a session, in one room, whom somebody else has let in."""

    @property
    def room(self) -> str:
        """The room's name."""

    @property
    def user(self) -> str | None:
        """The user whom it is for, if it is for one."""

    def end(self, reason: Unsubscribed) -> None:
        """The node has ended the subscription: nothing more comes."""


class Room:
    """A room as this node knows it.

    `subscribers` holds who is live: told everything up to the node's last entry. Since a node
    delivers offsets in increasing order, no subscriber is ever sent one at or below what it had.
    """

    __slots__ = ("head", "head_time", "history", "name", "subscribers")

    def __init__(self, name: str, history: History) -> None:
        self.name = name
        self.history = history
        self.head: str | None = None
        """The position of the room's last publication, what the next one's ``previous`` will be."""
        self.head_time = 0.0
        self.subscribers: dict[Subscriber, None] = {}

    def append(self, publication: Publication) -> None:
        """Hold the room's next publication, and push it to everybody who is live."""
        self.head = publication.position
        self.head_time = publication.time
        self.history.append(publication)
        message = publication.message
        for subscriber in self.subscribers:
            subscriber.push(message)

"""Where transports and the node meet: three small interfaces and nothing else."""

from typing import Protocol

from roomline.core.outbox import Outbox


class Link(Protocol):
    """One client's connection, as its transport offers it to the application."""

    transport: str
    """SockJS's name of it: ``websocket``, ``xhr-streaming``, ``eventsource``, ``xhr-polling``..."""

    address: str
    """The client's address, for limits and logs."""

    def flush(self) -> None:
        """The outbox has something. Write now what can be written without waiting; the rest is
        the link's to write, from the outbox, as soon as the client reads again. Called at most
        once per turn of the event loop. Never raises, however dead the connection is."""

    def close(self, code: int, reason: str) -> None:
        """Write what is in the outbox, then close. `Peer.gone` follows, once."""


class Peer(Protocol):
    """One client, as the application offers it to its transport."""

    outbox: Outbox

    def receive(self, text: str) -> None:
        """One SockJS message of the client. Never raises."""

    def refuse(self, code: int, reason: str) -> None:
        """The transport met input that it will not take (too long, not text) and is about to
        close with this code: for counting and logs."""

    def gone(self) -> None:
        """The client has left, or was closed: nothing more comes and nothing more can be sent."""


class Application(Protocol):
    """What a SockJS endpoint serves: the node, or an echo in the conformance server."""

    def open(self, link: Link) -> Peer:
        """A new client. It may call `link.close` at once to turn the client away."""

"""What waits to be written to one client, bounded in bytes."""

from roomline.wire import utf8_length


class Encoded:
    """One message as text, encoded once however many clients receive it.

    `quoted` and `frame` are the transports' own: each is filled once, on first use, with the
    bytes that this message becomes on the wire, and means nothing to anybody else.
    """

    __slots__ = ("frame", "quoted", "size", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.size = utf8_length(text)
        """Bytes of the text: what it counts for in an outbox."""
        self.quoted: str | None = None
        self.frame: bytes | None = None


class Outbox:
    """The bounded send queue of one session.

    The node puts, the session's transport takes what it can write at once. What does not fit is
    never dropped silently: `put` says so and the node disconnects the client, which recovers.
    """

    __slots__ = ("items", "limit", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.items: list[Encoded] = []
        self.size = 0

    def put(self, message: Encoded) -> bool:
        """Queue a message; False: it does not fit and was not queued.

        A message larger than the whole limit fits into an empty outbox, so that no message is
        undeliverable.
        """
        size = self.size + message.size
        if size > self.limit and self.items:
            return False
        self.items.append(message)
        self.size = size
        return True

    def take(self) -> list[Encoded]:
        """Everything that waits, in order; the outbox is then empty."""
        items = self.items
        self.items = []
        self.size = 0
        return items

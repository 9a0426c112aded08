"""Which client can do which transport from where, in which engine; and why not, where it cannot.

`docs/browsers.rst` shows these tables, and a test compares them.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from roomline.transport.pages import CLIENTS as PACKAGED

Origin = Literal["same", "cross"]

TRANSPORTS = (
    "websocket",
    "xhr-streaming",
    "eventsource",
    "iframe-eventsource",
    "htmlfile",
    "iframe-htmlfile",
    "xhr-polling",
    "iframe-xhr-polling",
    "jsonp-polling",
)
CLIENTS = tuple(PACKAGED)
"""Versions of sockjs-client: those that endpoints serve."""
ORIGINS: tuple[Origin, ...] = ("same", "cross")


class Unable(NamedTuple):
    """A combination that there is not; an empty field stands for every value."""

    reason: str
    transport: str
    client: str = ""
    origin: str = ""
    engine: str = ""


UNABLE = (
    Unable("the client has it inside an iframe only", "eventsource", client="0.3.4"),
    Unable("the client has it inside an iframe only", "htmlfile", client="0.3.4"),
    Unable("the client uses it on its own origin only", "htmlfile", "1.6.1", "cross"),
)


class Talk(NamedTuple):
    """One combination, in whichever engine."""

    client: str
    origin: Origin
    transport: str

    @property
    def name(self) -> str:
        return f"{self.client} {self.origin} {self.transport}"

    def unable(self, engine: str) -> str | None:
        """Why `engine` cannot do it; None: it can."""
        mine = (self.transport, self.client, self.origin, engine)
        for reason, *fields in UNABLE:
            if all(field in ("", own) for field, own in zip(fields, mine, strict=True)):
                return reason
        return None


def talks() -> Iterator[Talk]:
    """All of them."""
    for client in CLIENTS:
        for origin in ORIGINS:
            for transport in TRANSPORTS:
                yield Talk(client, origin, transport)

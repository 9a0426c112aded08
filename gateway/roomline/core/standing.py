"""How a node stands towards new clients: what it tells other nodes when they ask."""

from typing import Final

import msgspec


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """One node, at one moment."""

    ready: bool = False
    """Whether it should be sent clients: it has read the log, and can read on."""
    opens: bool = True
    """Whether it opens sessions. A node that does not is not asked to."""
    since: int = 0
    """When it last began to open sessions again, in milliseconds since the epoch: it has none from
    before then. 0: it has opened them since it began."""


_decoder: Final = msgspec.json.Decoder(Standing)


def write(standing: Standing) -> str:
    """A standing as a line of text."""
    return msgspec.json.encode(standing).decode()


def read(text: str | bytes) -> Standing | None:
    """The standing in a text; None if it has none."""
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        return None

"""Reading server-sent events block by block, from a bare socket."""

import asyncio
import json
from typing import Any

from tests.transport.clients import Connection, Response


class EventReader:
    """The blocks of an event stream, however the response is delimited."""

    def __init__(self, client: Connection, response: Response) -> None:
        self.response = response
        self._client = client
        self._chunked = response["Transfer-Encoding"] == "chunked"
        self._text = ""

    @classmethod
    async def get(cls, client: Connection, path: str, **headers: str) -> "EventReader":
        """The stream at a path, whose response has begun. Underscores in names are dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(client, await client.request("GET", path, headers=named))

    async def next(self, *, within: float = 10.0) -> dict[str, str]:
        """The fields of the next block, a comment by the name of an empty text; nothing at the
        end."""
        async with asyncio.timeout(within):
            while "\n\n" not in self._text:
                if self._chunked:
                    part = await self._client.chunk(within=within)
                else:
                    part = await self._client.reader.read(65_536)
                if not part:
                    assert not self._text, f"the stream breaks off after {self._text!r}"
                    return {}
                self._text += part.decode()
        block, _, self._text = self._text.partition("\n\n")
        pairs = (line.partition(":") for line in block.splitlines())
        return {name: value.removeprefix(" ") for name, _, value in pairs}

    async def event(self) -> dict[str, str]:
        """The next block that is an event."""
        while "data" not in (block := await self.next()):
            assert block, "the stream has ended"
        return block

    async def data(self) -> Any:
        """What the next event, which is a publication, was published with."""
        event = await self.event()
        assert "event" not in event, event
        publication = json.loads(event["data"])
        assert publication["position"] == event["id"]
        return publication["data"]

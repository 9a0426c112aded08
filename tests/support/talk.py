"""One session in a test's hands: commands one by one, and pushes as they come."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import pytest
from roomline.client import (
    CommandRefused,
    ConnectionClosed,
    Publication,
    Push,
    Session,
    Transport,
    open_connection,
)
from roomline.client.session import publications_of
from roomline.core.messages import Connected, Message

T = TypeVar("T")


class Talk(Session):
    """A session that keeps its pushes until they are asked for."""

    connected: Connected
    pushes: "asyncio.Queue[Push]"

    @classmethod
    @asynccontextmanager
    async def to(
        cls,
        url: str,
        transport: Transport = "websocket",
        *,
        connect: bool = True,
        token: str | None = None,
        client: str | None = None,
    ) -> AsyncIterator[Self]:
        """A session, connected anonymously unless there is a token."""
        connection = await open_connection(url, transport)
        pushes: asyncio.Queue[Push] = asyncio.Queue()
        talk = cls(connection, on_push=pushes.put_nowait)
        talk.pushes = pushes
        try:
            if connect:
                client = client or (None if token else secrets.token_hex(16))
                talk.connected = await talk.connect(token=token, client=client)
            yield talk
        finally:
            await talk.close()

    async def tell(self, room: str, *data: Any) -> None:
        """Publish, and return when this session's node has read it: a confirmed publication is
        in the log, and a node reads the log a moment later."""
        for item in data:
            key = secrets.token_hex(8)
            await self.publish(room, item, key=key)
        async with asyncio.timeout(5):
            while key not in [p.key for p in publications_of(await self.history(room, limit=1))]:
                pass

    async def push(self, *, within: float = 5.0) -> Push:
        """The next push."""
        return await asyncio.wait_for(self.pushes.get(), within)

    async def publication(self, *, within: float = 5.0) -> Publication:
        """The next push, which must be a publication."""
        push = await self.push(within=within)
        assert isinstance(push, Publication)
        return push

    async def publications(self, count: int, *, within: float = 10.0) -> list[Publication]:
        """The next `count` pushes, which must be publications."""
        async with asyncio.timeout(within):
            return [await self.publication() for _ in range(count)]

    async def silence(self, seconds: float = 0.3) -> None:
        """Nothing is pushed for a while."""
        await asyncio.sleep(seconds)
        assert self.pushes.empty(), f"unexpected push: {self.pushes.get_nowait()}"

    async def refused(self, code: str, kind: str, **fields: Any) -> CommandRefused:
        """Send a command that must be refused with this code."""
        refused = await self.refused_any(kind, **fields)
        assert refused.code == code, refused
        return refused

    async def refused_any(self, kind: str, **fields: Any) -> CommandRefused:
        """Send a command that must be refused."""
        with pytest.raises(CommandRefused) as refused:
            await self.command(kind, Message, fields)
        assert refused.value.reason
        return refused.value

    async def closed(self, *, within: float = 5.0) -> ConnectionClosed:
        """How the gateway closes this session."""
        await asyncio.wait_for(self.ended.wait(), within)
        assert self.connection.closed is not None
        return self.connection.closed

"""One session of the client protocol over one connection: commands and their replies, pushes."""

import asyncio
import contextlib
from collections.abc import Callable
from itertools import count
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from roomline.client.connection import Connection
from roomline.client.errors import ClientError, CommandRefused, ConnectionClosed, NoAnswer
from roomline.core.codes import ErrorCode
from roomline.core.messages import (
    PROTOCOL_VERSION,
    Connected,
    Error,
    HistoryReply,
    Message,
    Pong,
    Published,
    Reconnect,
    Refreshed,
    Response,
    Subscribed,
    UnsubscribedPush,
    UnsubscribedReply,
    User,
)


class Publication(Struct, frozen=True, kw_only=True, tag="publication", tag_field="type"):
    """One item of a room's log.

    `position` names its place, `previous` that of the publication before it in the room.
    `time` is ISO 8601 in UTC, or None when the publisher stated none. `origin` is
    ``"operations"`` when no trusted publisher vouches for it; it has no sender then.
    """

    room: str
    position: str
    previous: str | None
    data: Any
    kind: str
    time: str | None
    sender: User | None = None
    origin: str | None = None
    key: str | None = None


WINDOW: Final = 16
"""How many commands may wait for their answer; more wait to be sent. Gateways end sessions that
send faster than they are answered."""
_AHEAD: Final = ("connect", "ping", "request")
"""What waits for nobody: a request may take its handler a minute."""

Push = Publication | UnsubscribedPush | Reconnect
Reply = TypeVar("Reply", bound=Message)

_REPLIES: dict[str, type[Message]] = {
    "connected": Connected,
    "subscribed": Subscribed,
    "published": Published,
    "unsubscribed": UnsubscribedReply,
    "history": HistoryReply,
    "refreshed": Refreshed,
    "response": Response,
    "pong": Pong,
    "error": Error,
}
_PUSHES: dict[str, type[Push]] = {
    "publication": Publication,
    "unsubscribed": UnsubscribedPush,
    "reconnect": Reconnect,
}


class _Head(Struct):
    type: str
    id: int | UnsetType | None = UNSET


_head = msgspec.json.Decoder(_Head).decode


class Session:
    """One session. It reads from the moment it is made; `on_push` gets every push, in order,
    and `on_closed` is called once, before commands that still wait are told.

    Both are called in the event loop and must not raise. What happens in a callback happens at
    that point of the stream: after all earlier messages and before all later ones.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        on_push: Callable[[Push], None],
        on_closed: Callable[[ConnectionClosed], None] = lambda closed: None,
    ) -> None:
        self.connection = connection
        self.received = 0
        """Pushes received since the session began; `Pong.sent` is the gateway's own count."""
        self.unmatched: list[Error] = []
        """Errors about messages whose id the gateway could not read; the first hundred."""
        self.ended = asyncio.Event()
        """Set once the session is over, after `on_closed`."""
        self.message_bytes: int | None = None
        """The longest command that the gateway accepts, once it has said so."""
        self._window = asyncio.Semaphore(WINDOW)
        self._on_push = on_push
        self._on_closed = on_closed
        self._ids = count(1)
        self._pending: dict[int, Callable[[Message | ConnectionClosed], None]] = {}
        self._reader = asyncio.create_task(self._read())

    async def command(
        self,
        kind: str,
        reply: type[Reply],
        fields: dict[str, Any],
        *,
        within: float = 10.0,
        on_reply: Callable[[Reply], None] | None = None,
    ) -> Reply:
        """Send a command and return its reply; `on_reply` sees it at its place in the stream.

        Raises `CommandRefused`, `ConnectionClosed`, or `NoAnswer` `within` seconds after it could
        be sent: of most commands only so many go at once.
        """
        async with contextlib.nullcontext() if kind in _AHEAD else self._window:
            return await self._command(kind, reply, fields, within, on_reply)

    async def _command(
        self,
        kind: str,
        reply: type[Reply],
        fields: dict[str, Any],
        within: float,
        on_reply: Callable[[Reply], None] | None,
    ) -> Reply:
        if self.connection.closed is not None:
            raise self.connection.closed.again()
        id = next(self._ids)
        text = msgspec.json.encode({"id": id, "type": kind, **fields})
        if self.message_bytes is not None and len(text) > self.message_bytes:
            # The gateway would end the session.
            raise CommandRefused(
                ErrorCode.TOO_LARGE.code,
                f"{kind} takes {len(text)} bytes, the gateway accepts {self.message_bytes}",
                temporary=False,
            )
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answer(message: Message | ConnectionClosed) -> None:
            if answered.done():
                return
            if isinstance(message, ConnectionClosed):
                answered.set_exception(message.again())
            elif isinstance(message, Error):
                answered.set_exception(
                    CommandRefused(message.code, message.reason, message.temporary, message.refusal)
                )
            elif isinstance(message, reply):
                if on_reply is not None:
                    on_reply(message)
                answered.set_result(message)
            else:
                answered.set_exception(ClientError(f"{kind} was answered with {message}"))

        self._pending[id] = answer
        try:
            async with asyncio.timeout(within):
                await self.connection.send_text(text.decode())
                return await answered
        except TimeoutError:
            raise NoAnswer(f"no answer to {kind} within {within:g} seconds") from None
        finally:
            del self._pending[id]
            if not answered.cancel() and not answered.cancelled():
                answered.exception()  # looked at, also when sending has already raised

    async def connect(
        self, *, token: str | None = None, client: str | None = None, within: float = 10.0
    ) -> Connected:
        """The first command. `client` is an anonymous client's own random id."""
        fields = {"version": PROTOCOL_VERSION} | _given(token=token, client=client)
        connected = await self.command("connect", Connected, fields, within=within)
        self.message_bytes = connected.limits.message_bytes
        return connected

    async def subscribe(
        self,
        room: str,
        *,
        since: str | None = None,
        history: int | None = None,
        token: str | None = None,
        within: float = 10.0,
        on_reply: Callable[[Subscribed], None] | None = None,
    ) -> Subscribed:
        """Subscribe once; see `publications_of` for what came with the reply."""
        fields = {"room": room} | _given(since=since, history=history, token=token)
        return await self.command("subscribe", Subscribed, fields, within=within, on_reply=on_reply)

    async def publish(
        self, room: str, data: Any, *, key: str | None = None, within: float = 10.0
    ) -> Published:
        """Publish once; returns when the broker has confirmed."""
        fields = {"room": room, "data": data} | _given(key=key)
        return await self.command("publish", Published, fields, within=within)

    async def unsubscribe(self, room: str, *, within: float = 10.0) -> UnsubscribedReply:
        return await self.command("unsubscribe", UnsubscribedReply, {"room": room}, within=within)

    async def history(
        self, room: str, *, limit: int | None = None, within: float = 10.0
    ) -> HistoryReply:
        """The last publications of a room."""
        fields = {"room": room} | _given(limit=limit)
        return await self.command("history", HistoryReply, fields, within=within)

    async def refresh(self, token: str, *, within: float = 10.0) -> Refreshed:
        """Give the gateway a newer token, so that the session goes on."""
        return await self.command("refresh", Refreshed, {"token": token}, within=within)

    async def request(
        self, name: str, data: Any, *, within: float = 30.0, grace: float = 10.0
    ) -> Any:
        """Ask a handler once; returns its data. The gateway is to answer `within` seconds, and is
        given up after `grace` seconds more."""
        fields = {"name": name, "data": data, "timeout": within}
        response = await self.command("request", Response, fields, within=within + grace)
        return msgspec.json.decode(response.data)

    async def ping(
        self, *, within: float = 10.0, on_reply: Callable[[Pong], None] | None = None
    ) -> Pong:
        return await self.command("ping", Pong, {}, within=within, on_reply=on_reply)

    async def close(self) -> None:
        """Leave, and wait until all is let go of."""
        await self.connection.close()
        await self._reader

    async def _read(self) -> None:
        try:
            while True:
                self._dispatch(await self.connection.receive())
        except ConnectionClosed as closed:
            ended = closed
        except msgspec.MsgspecError as error:
            # Skipping what cannot be read would lose a publication silently.
            ended = ConnectionClosed(1002, f"the gateway sent what is not understood here: {error}")
            await self.connection.close()
        self._on_closed(ended)
        self.ended.set()
        for answer in list(self._pending.values()):
            answer(ended)

    def _dispatch(self, text: str) -> None:
        head = _head(text)
        if head.id is UNSET:
            self.received += 1
            if head.type in _PUSHES:  # others are from newer gateways, counted all the same
                self._on_push(msgspec.json.decode(text, type=_PUSHES[head.type]))
            return
        if head.type not in _REPLIES:
            return
        reply = msgspec.json.decode(text, type=_REPLIES[head.type])
        if head.id is not None and head.id in self._pending:
            self._pending[head.id](reply)
        elif isinstance(reply, Error) and len(self.unmatched) < 100:
            self.unmatched.append(reply)


def publications_of(reply: Subscribed | HistoryReply) -> list[Publication]:
    """The publications that came with a reply, oldest first."""
    return [msgspec.json.decode(raw, type=Publication) for raw in reply.publications]


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}

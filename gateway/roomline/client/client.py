"""The client that keeps going: across lost connections, nodes that leave, and expired tokens."""

import asyncio
import logging
import random
import secrets
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from roomline.client.backoff import Backoff
from roomline.client.connection import Transport, open_connection
from roomline.client.errors import (
    ClientError,
    CommandRefused,
    ConnectionClosed,
    ConnectionFailed,
    NoAnswer,
    TokenUnavailable,
)
from roomline.client.session import Publication, Push, Session, publications_of
from roomline.client.subscription import OUTDATED, Subscription, TokenSource, token_from
from roomline.core.codes import ErrorCode
from roomline.core.messages import Connected, Pong, Reconnect, Refreshed

_log = logging.getLogger(__name__)

STABLE_SECONDS = 30.0
"""A connection that lasted this long was a good one: the next one lost is retried at once."""

_RIGHT_MISSING = frozenset({ErrorCode.FORBIDDEN.code, ErrorCode.TOKEN_REVOKED.code})
"""Codes of a publish that a subscription's new beginning may mend."""

State = Literal["disconnected", "connecting", "connected"]


class Client:
    """A client of one gateway, reached through one or several endpoints.

    Use it as ``async with Client(url) as client:``, or `connect` and `close` it.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        transport: Transport = "websocket",
        token: TokenSource | None = None,
        client_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        first_delay: float = 0.5,
        longest_delay: float = 20.0,
        open_within: float = 10.0,
        answer_within: float = 10.0,
        ping_every: float = 20.0,
        buffer: int = 10_000,
    ) -> None:
        """`endpoints` are like ``https://host/realtime``; another is tried when one fails.

        `token` is called for every connection; without it the client is anonymous, and known by
        `client_id`, by default random. `first_delay` and `longest_delay` bound the jittered
        delays between attempts, `open_within` and `answer_within` are time-outs, and after
        `ping_every` without an answer the connection counts as lost `answer_within` later (all
        in seconds). `buffer` is the number of publications that a subscription holds for its
        reader before it leaves the room for a while.
        """
        self.endpoints = [endpoints] if isinstance(endpoints, str) else list(endpoints)
        if not self.endpoints:
            raise ValueError("endpoints is empty, at least one is needed")
        self.transport = transport
        self.client_id = client_id or secrets.token_hex(16)
        self.state: State = "disconnected"
        self.connected: Connected | None = None
        """The gateway's answer to the last connect: node, session, user, limits."""
        self.connections = 0
        """How many times this client has been connected."""
        self.closes: list[ConnectionClosed] = []
        """How the last connections ended, at most a hundred, latest last."""
        self._token = token
        self._headers = headers
        self._ssl = ssl_context
        self._delays = first_delay, longest_delay
        self._open_within = open_within
        self._answer_within = answer_within
        self._ping_every = ping_every
        self._capacity = buffer
        self._next = 0
        self._shown = 0
        """How many tokens gateways have taken, so that each that is revoked is replaced once."""
        self._replacing = asyncio.Lock()
        self._subscriptions: dict[str, Subscription] = {}
        self._ready: asyncio.Future[Session] | None = None
        self._failure: Exception | None = None
        self._leave = asyncio.Event()
        self._leaving: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._abandoned: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def connect(self, *, within: float = 30.0) -> Connected:
        """Connect, and stay connected until `close`.

        Raises `CommandRefused` or `ConnectionClosed` when the gateway refuses for good, else
        after `within` seconds what the last attempt failed of.
        """
        if self._task is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(within):
                await self.session()
        except TimeoutError:
            failure = self._failure
            await self.close()
            raise ConnectionFailed(
                f"not connected within {within:g} seconds: {failure}"
            ) from failure
        except BaseException:
            await self.close()
            raise
        assert self.connected is not None
        return self.connected

    async def close(self) -> None:
        """Leave all rooms and the gateway."""
        for subscription in list(self._subscriptions.values()):
            await subscription.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, *self._abandoned, return_exceptions=True)
        self._fail(ConnectionClosed(1000, "closed by this client"))

    async def subscribe(
        self,
        room: str,
        *,
        since: str | None = None,
        history: int | None = None,
        token: TokenSource | None = None,
        within: float = 60.0,
    ) -> Subscription:
        """Subscribe to a room; a second subscription to one room takes the place of the first.

        `since` is a position to continue from; `history` asks for that many of the last
        publications; `token` gives the room's own token where it wants one. A room that the
        gateway subscribes by itself continues from when the session began. Raises
        `CommandRefused` when the gateway refuses for good, and `NoAnswer` after `within` seconds.
        """
        if (earlier := self._subscriptions.get(room)) is not None:
            await earlier.close()
        if since is None and history is None and self.connected is not None:
            automatic = {entry.room: entry.position for entry in self.connected.rooms}
            since = automatic.get(room)
        subscription = Subscription(
            self, room, since=since, history=history, token=token, buffer=self._capacity
        )
        self._subscriptions[room] = subscription
        await subscription.start(within)
        return subscription

    async def unsubscribe(self, room: str) -> None:
        """Leave a room."""
        if (subscription := self._subscriptions.get(room)) is not None:
            await subscription.close()
        session = self._present()
        if session is None:
            return  # the next one begins without
        try:
            await session.unsubscribe(room, within=self._answer_within)
        except ConnectionClosed:
            pass
        except CommandRefused as refused:
            if refused.code != ErrorCode.NOT_SUBSCRIBED.code:
                raise

    async def publish(
        self, room: str, data: Any, *, key: str | None = None, within: float = 60.0
    ) -> None:
        """Publish, and return when it is confirmed to be in the log.

        Temporary errors and lost connections are retried with the same key, by default a
        random one, so that it stands in the log once. While a subscription to the room begins
        anew, which may bring the right to publish, a refusal is not the last word; where the token
        that granted it was revoked, another one is shown once. Raises `CommandRefused` when it is
        refused for good, `TokenUnavailable` when there is no other token for good, and `NoAnswer`
        after `within` seconds: the outcome is then unknown, and publishing again with the same key
        is safe.
        """
        key = key or secrets.token_hex(16)
        backoff = self.backoff()
        last: ClientError | None = None
        renewed = False
        try:
            async with asyncio.timeout(within):
                while True:
                    session = await self.session()
                    following = self._subscriptions.get(room)
                    stood, shown = following.standing if following else None, self._shown
                    try:
                        await session.publish(room, data, key=key, within=self._answer_within)
                        return
                    except CommandRefused as refused:
                        last = refused
                        missing = refused.code in _RIGHT_MISSING and following
                        if missing and await missing.stands_anew(stood):
                            continue  # the right may have come with it
                        if refused.code == ErrorCode.TOKEN_REVOKED.code and self._token is not None:
                            if shown != self._shown:
                                continue  # another token has been shown since
                            if renewed:
                                raise
                            if (hindrance := await self._show_another(shown)) is None:
                                renewed = True
                                continue
                            last = hindrance
                        elif not refused.temporary:
                            raise
                    except ConnectionClosed as closed:
                        last = closed
                        continue  # with the next session, for which the client waits
                    except NoAnswer as silence:
                        last = silence
                    await asyncio.sleep(backoff.next())
        except TimeoutError:
            raise NoAnswer(
                f"publishing to {room} with key {key} was not confirmed within {within:g} seconds;"
                f" the last attempt met: {last}"
            ) from last

    async def _show_another(self, shown: int) -> ClientError | None:
        """Replace the token that was the last one when `shown` had been taken. What is in the way
        for now, or None; raises what is for good."""
        try:
            async with self._replacing:
                if self._shown == shown:
                    await self.refresh()
        except ClientError as error:
            if _is_final(error, renewable=True):
                raise
            return error
        return None

    async def request(self, name: str, data: Any = None, *, within: float = 30.0) -> Any:
        """Ask the project's handler of this name; returns what it returns.

        It is sent once, as soon as there is a session. Raises `CommandRefused` when it is refused
        or not answered within that many seconds (0.1 to 60), `ConnectionClosed` when the connection
        is lost meanwhile, and `NoAnswer` when there is none in time. Unless a refusal is permanent,
        the request may or may not have been carried out.
        """
        session = await self._soon(within)
        return await session.request(name, data, within=within, grace=self._answer_within)

    async def history(self, room: str, *, limit: int | None = None) -> list[Publication]:
        """The last publications of a room, oldest first."""
        session = await self._soon(self._answer_within)
        return publications_of(await session.history(room, limit=limit, within=self._answer_within))

    async def refresh(self, token: str | None = None) -> Refreshed:
        """Prolong the session with `token`, or with one from the token callback."""
        token = token or await token_from(self._token)
        if token is None:
            raise ValueError("refresh needs a token: none was given and there is no callback")
        session = await self._soon(self._answer_within)
        refreshed = await session.refresh(token, within=self._answer_within)
        self._shown += 1
        return refreshed

    async def ping(self) -> Pong:
        """Ask the gateway how far it is, and recover what turns out to be missing."""
        return await self._ping(await self._soon(self._answer_within))

    def drop(self) -> None:
        """Drop the connection as if the network had; the client comes back by itself."""
        if (session := self._present()) is not None:
            self.abandon(session)

    def _present(self) -> Session | None:
        """The connected session, if there is one now."""
        if self._ready is None or not self._ready.done() or self._ready.exception():
            return None
        session = self._ready.result()
        return session if session.connection.closed is None else None

    async def _soon(self, within: float) -> Session:
        """As `session`, and raises `NoAnswer` after that many seconds."""
        try:
            async with asyncio.timeout(within):
                return await self.session()
        except TimeoutError:
            raise NoAnswer(f"not connected within {within:g} seconds: it was not sent") from None

    # What subscriptions need (`roomline.client.subscription.Keeper`).

    def backoff(self) -> Backoff:
        return Backoff(*self._delays)

    async def session(self) -> Session:
        """The connected session, as soon as there is one.

        Raises what ended this client for good, and `ConnectionClosed` when it is closed.
        """
        if self._ready is None:
            raise ConnectionClosed(1000, "this client was not connected: call connect first")
        while True:
            session = await asyncio.shield(self._ready)
            if session.connection.closed is None:
                return session
            await session.ended.wait()

    async def renew(self) -> None:
        if self._token is not None:
            await self.refresh()

    def abandon(self, session: Session) -> None:
        closing = asyncio.create_task(session.close())
        self._abandoned.add(closing)
        closing.add_done_callback(self._abandoned.discard)

    def forget(self, subscription: Subscription) -> None:
        if self._subscriptions.get(subscription.room) is subscription:
            del self._subscriptions[subscription.room]

    # The life of the connection.

    async def _run(self) -> None:
        try:
            await self._stay_connected()
        except Exception as error:
            _log.exception("a defect of this client has ended it")
            self._fail(ClientError(f"a defect of this client has ended it: {error!r}"))

    async def _stay_connected(self) -> None:
        backoff = self.backoff()
        loop = asyncio.get_running_loop()
        while True:
            self.state = "connecting"
            began = loop.time()
            try:
                left_in_peace = await self._one_connection()
            except ClientError as error:
                if _is_final(error, renewable=self._token is not None):
                    self._fail(error)
                    return
                self._failure, left_in_peace = error, False
            self._next += 1
            if loop.time() - began >= STABLE_SECONDS:
                backoff.reset()
            if not left_in_peace:
                _log.info("connecting again after %s", self._failure)
            await asyncio.sleep(backoff.next_move() if left_in_peace else backoff.next())

    async def _one_connection(self) -> bool:
        """Connect and stay until the connection ends, which raises, or the gateway asked this
        client to go elsewhere: then the answer is True."""
        connection = await open_connection(
            self.endpoints[self._next % len(self.endpoints)],
            self.transport,
            within=self._open_within,
            headers=self._headers,
            ssl_context=self._ssl,
        )
        session = Session(connection, on_push=self._pushed, on_closed=self._lost)
        background: list[asyncio.Task[Any]] = []
        try:
            self._leave.clear()
            self.connected = await session.connect(
                token=await token_from(self._token),
                client=self.client_id if self._token is None else None,
                within=self._answer_within,
            )
            self.state = "connected"
            self.connections += 1
            self._shown += 1
            assert self._ready is not None
            self._ready.set_result(session)
            background = [
                asyncio.create_task(self._keep_pinging(session)),
                asyncio.create_task(self._keep_token_fresh(session)),
            ]
            ended = asyncio.create_task(session.ended.wait())
            leave = asyncio.create_task(self._leave.wait())
            background += ended, leave
            await asyncio.wait([ended, leave], return_when=asyncio.FIRST_COMPLETED)
            if session.connection.closed is not None:
                raise session.connection.closed.again()
            return True
        finally:
            if self._leaving is not None:
                self._leaving.cancel()
            for task in background:
                task.cancel()
            await asyncio.gather(session.close(), *background, return_exceptions=True)

    def _pushed(self, push: Push) -> None:
        if isinstance(push, Reconnect):
            # Stay subscribed until then, so that nothing waits meanwhile.
            self._leaving = asyncio.get_running_loop().call_later(
                push.after_ms / 1000, self._leave.set
            )
        elif (subscription := self._subscriptions.get(push.room)) is not None:
            subscription.push(push)

    def _lost(self, closed: ConnectionClosed) -> None:
        self.closes = [*self.closes[-99:], closed]
        self.state = "connecting"
        assert self._ready is not None
        if self._ready.done() and not self._ready.exception():
            self._ready = asyncio.get_running_loop().create_future()
        for subscription in self._subscriptions.values():
            subscription.resubscribe()

    def _fail(self, error: ClientError) -> None:
        """This client is over."""
        self.state = "disconnected"
        if self._ready is not None:
            if self._ready.done():
                self._ready.exception()
                self._ready = asyncio.get_running_loop().create_future()
            self._ready.set_exception(error)
            self._ready.exception()  # looked at: perhaps nobody waits
        for subscription in list(self._subscriptions.values()):
            subscription.end(error)

    async def _keep_pinging(self, session: Session) -> None:
        while True:
            await asyncio.sleep(self._ping_every)
            try:
                await self._ping(session)
            except CommandRefused as refused:
                _log.debug("ping was refused: %s", refused)  # but the gateway is there
            except NoAnswer:
                self.abandon(session)

    async def _ping(self, session: Session) -> Pong:
        def compare(pong: Pong) -> None:
            complete = pong.sent == session.received
            # What was lost is recovered now, and counts no longer.
            session.received = pong.sent
            for subscription in self._subscriptions.values():
                if complete:
                    subscription.advance(pong.position)
                elif subscription.live:
                    subscription.resubscribe()

        return await session.ping(within=self._answer_within, on_reply=compare)

    async def _keep_token_fresh(self, session: Session) -> None:
        """Refresh when about four fifths of the token's life have passed: clients that came
        together do not all ask for the next one together."""
        assert self.connected is not None
        expires_in: float | None = self.connected.expires_in
        backoff = self.backoff()
        while expires_in is not None and self._token is not None:
            share = random.uniform(0.7, 0.9)  # noqa: S311 - spreads load, guards nothing
            await asyncio.sleep(max(1.0, expires_in * share))
            while True:
                try:
                    expires_in = (await self.refresh()).expires_in
                    backoff.reset()
                    break
                except ClientError as error:
                    _log.warning("the token was not refreshed: %s", error)
                    if isinstance(error, TokenUnavailable) and not error.temporary:
                        return  # the session ends with its token
                    await asyncio.sleep(max(1.0, backoff.next()))


def _is_final(error: ClientError, *, renewable: bool) -> bool:
    """Whether trying again is no use; `renewable`: with another token."""
    match error:
        case ConnectionClosed():
            return error.final
        case CommandRefused():
            return not (error.temporary or (renewable and error.code in OUTDATED))
        case TokenUnavailable():
            return not error.temporary
        case _:
            return not isinstance(error, ConnectionFailed | NoAnswer)

"""A subscription that outlives connections: it continues from its position, or says that it cannot.

One task per subscription (`Subscription.run`, started by the client) subscribes, pages through
what was missed, and does so again whenever the session ends, a link of the ``previous`` chain is
missing, or its reader was too slow for its buffer. The buffer is bounded: when it is full the
subscription leaves the room and comes back, by position, once the reader has caught up.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from roomline.client.backoff import Backoff
from roomline.client.chain import Chain
from roomline.client.errors import (
    ClientError,
    CommandRefused,
    ConnectionClosed,
    NoAnswer,
    SubscriptionEnded,
    TokenUnavailable,
)
from roomline.client.session import Publication, Session, publications_of
from roomline.core.codes import ErrorCode, Unsubscribed
from roomline.core.messages import Subscribed, UnsubscribedPush

_log = logging.getLogger(__name__)

OUTDATED = frozenset({ErrorCode.TOKEN_EXPIRED.code, ErrorCode.TOKEN_REVOKED.code})
"""Codes that refuse a token which was good once: another one may be good now."""

TokenSource = Callable[[], str | Awaitable[str]]
"""Gives a fresh token whenever one is needed."""


class Keeper(Protocol):
    """What a subscription needs of its client."""

    def backoff(self) -> Backoff: ...

    async def session(self) -> Session:
        """The connected session, as soon as there is one."""

    async def renew(self) -> None:
        """Replace the session's token by a new one, if there is somebody to ask for one."""

    def abandon(self, session: Session) -> None:
        """`session` does not answer: replace it."""

    def forget(self, subscription: "Subscription") -> None:
        """`subscription` is over."""


class Subscription:
    """The publications of one room, in order: iterate with ``async for``.

    Iteration ends after `close` or `Client.unsubscribe`, and raises `SubscriptionEnded`
    or `ConnectionClosed` when the gateway ended it for good.
    """

    def __init__(
        self,
        keeper: Keeper,
        room: str,
        *,
        since: str | None,
        history: int | None,
        token: TokenSource | None,
        buffer: int,
    ) -> None:
        self.room = room
        self.recovered: bool | None = None
        """Whether the last attempt to continue from a position succeeded; None: none was made."""
        self.reason: str | None = None
        """Why the last attempt to continue did not succeed."""
        self.losses = 0
        """How many times publications may have been missed: look at the history or an archive."""
        self.restarts = 0
        """How many times it was subscribed anew, for whatever reason."""
        self.live = False
        """Whether publications arrive as they are made: subscribed, and nothing left to page."""
        self._chain = Chain(since)
        self._keeper = keeper
        self._history = history
        self._token = token
        self._capacity = buffer
        self._buffer: deque[Publication] = deque()
        self._overflowed = False
        self._outdated = False
        self._ended: ClientError | None = None
        self._closed = False
        self._restart = asyncio.Event()
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._settled = asyncio.Event()
        """Set while it is live, and when it is over."""
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    @property
    def position(self) -> str | None:
        """Up to where everything of the room has been received (not: iterated over)."""
        return self._chain.proved

    @property
    def head(self) -> str | None:
        """The position of the room's last publication, as far as known."""
        return self._chain.head

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Publication:
        while not self._buffer:
            if self._ended is not None:
                raise self._ended
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        publication = self._buffer.popleft()
        if len(self._buffer) <= self._capacity // 2:
            self._drained.set()
        return publication

    async def close(self) -> None:
        """Stop following the room. What has been received can still be iterated over.

        The gateway is not told and goes on sending to this session: `Client.unsubscribe` does both.
        """
        self._closed = True
        self.live = False
        self._settled.set()
        self._arrived.set()
        self._keeper.forget(self)
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._refuse(ConnectionClosed(1000, f"the subscription to {self.room} was closed"))

    # What follows is for the client.

    async def start(self, within: float) -> None:
        """Run until the first ``subscribed``; raises what refuses it, and `NoAnswer` after that
        many seconds."""
        self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(self._first)
        except TimeoutError:
            await self.close()
            raise NoAnswer(f"not subscribed to {self.room} within {within:g} seconds") from None
        except asyncio.CancelledError:
            await self.close()
            raise

    @property
    def standing(self) -> int | None:
        """Another number each time that it is live; None while it is not."""
        return self.restarts if self.live else None

    async def stands_anew(self, stood: int | None) -> bool:
        """Whether it began anew, or ended, after `standing` was `stood`; waits while it is about
        to."""
        if stood is not None and stood == self.standing:
            return False
        await self._settled.wait()
        return True

    def push(self, push: Publication | UnsubscribedPush) -> None:
        """A push for this room, at its place in the stream."""
        if not self.live:
            return  # from before a new subscription: its reply will contain this
        if isinstance(push, UnsubscribedPush):
            self._unsubscribed(push)
        elif push.position == self.head:
            pass  # once more
        elif push.previous != self.head:
            self._chain.retreat()
            self.resubscribe()
        elif len(self._buffer) >= self._capacity:
            self._overflowed = True
            self.resubscribe()
        else:
            self._append(push)
            self._chain.settle(push.position, push.position)

    def advance(self, position: str) -> None:
        """The log reaches to `position`, and as many messages as were sent have been received."""
        if self.live:
            self._chain.advance(position)

    def resubscribe(self) -> None:
        """What arrives no longer continues what has arrived: subscribe again by position."""
        self.live = False
        self._settled.clear()
        self._restart.set()

    def end(self, error: ClientError) -> None:
        """It is over for good."""
        self.live = False
        self._settled.set()
        if self._ended is None:
            self._ended = error
        self._refuse(error)
        self._arrived.set()
        self._keeper.forget(self)
        self._restart.set()

    def _refuse(self, error: ClientError) -> None:
        """There is no first ``subscribed``, unless there was."""
        if not self._first.done():
            self._first.set_exception(error)
            self._first.exception()  # `start` may be gone

    def _append(self, publication: Publication) -> None:
        self._buffer.append(publication)
        self._arrived.set()
        if len(self._buffer) > self._capacity // 2:
            self._drained.clear()

    def _unsubscribed(self, push: UnsubscribedPush) -> None:
        if push.code == Unsubscribed.LOG_RESET.code:
            self._lost(push.code)
            self._chain.forget()
            self.resubscribe()
        elif push.code == Unsubscribed.RIGHTS_CHANGED.code:
            self._outdated = True
            self.resubscribe()
        elif push.code == Unsubscribed.TOKEN_EXPIRED.code and self._token is not None:
            self.resubscribe()
        else:
            self.end(SubscriptionEnded(self.room, push.code, push.reason))

    def _lost(self, reason: str | None) -> None:
        self.recovered, self.reason = False, reason
        self.losses += 1

    def _subscribed(self, reply: Subscribed) -> None:
        publications = publications_of(reply)
        joins = self._chain.joins(publications, reply.head, more=reply.more)
        if reply.recovered and not joins:
            self._chain.retreat()
            self._restart.set()  # and ask again
            return
        for publication in publications:
            self._append(publication)
        last = publications[-1].position if publications else self.head
        self._chain.settle(reply.position, last if reply.more else reply.head)
        if reply.recovered:
            self.recovered, self.reason = True, None
        elif reply.recovered is False:
            self._lost(reply.reason)
        if not reply.more:
            self.live = True
            self._settled.set()
        if not self._first.done():
            self._first.set_result(None)

    async def _run(self) -> None:
        backoff = self._keeper.backoff()
        renewed = False
        while self._ended is None:
            await self._drained.wait()
            try:
                session = await self._keeper.session()
            except ClientError as error:
                self.end(error)
                return
            self._restart.clear()
            self.live = False  # from here on the reply counts, which contains later pushes
            self._settled.clear()
            try:
                if self._outdated:
                    await self._come_back(backoff)
                reply = await session.subscribe(
                    self.room,
                    since=self._chain.since,
                    # Once something was received, history would repeat it.
                    history=self._history if not self._first.done() else None,
                    token=await token_from(self._token),
                    on_reply=self._subscribed,
                )
                backoff.reset()
                renewed = False
                if not reply.more:
                    await self._restart.wait()
                    self.restarts += 1
                    if self._overflowed:
                        self._overflowed = False
                        with suppress(CommandRefused):  # the gateway may have ended it as well
                            await session.unsubscribe(self.room)
            except CommandRefused as refused:
                if refused.code == ErrorCode.TOKEN_REVOKED.code and not (self._token or renewed):
                    # What the client's token says of the room counts no more, and nobody told us.
                    self._outdated = renewed = True
                elif refused.temporary or self._renewable(refused):
                    await asyncio.sleep(backoff.next())
                else:
                    self.end(refused)
            except TokenUnavailable as error:
                if not error.temporary:
                    self.end(error)
                    return
                _log.warning("no token for room %s, trying again: %s", self.room, error)
                await asyncio.sleep(backoff.next())
            except NoAnswer:
                self._keeper.abandon(session)
            except ConnectionClosed:
                pass  # the client has, or will have, another session; or it has ended this
            except Exception as error:
                _log.exception("the subscription to room %s has failed", self.room)
                self.end(ClientError(f"the subscription to {self.room} has failed: {error!r}"))

    async def _come_back(self, backoff: Backoff) -> None:
        """No token from before counts any more; one that is made now may. All who follow the room
        are told at once, so each waits a little before asking."""
        await asyncio.sleep(backoff.next())
        if self._token is None:
            await self._keeper.renew()
        self._outdated = False

    def _renewable(self, refused: CommandRefused) -> bool:
        return refused.code in OUTDATED and self._token is not None


async def token_from(source: TokenSource | None) -> str | None:
    """A token from `source`, which may be a coroutine function or a plain one.

    Raises `TokenUnavailable` whatever `source` raises; it is permanent if that has an attribute
    `temporary` that is false, or if `source` gives no text.
    """
    if source is None:
        return None
    try:
        token = source()
        token = token if isinstance(token, str) else await token
    except Exception as error:
        temporary = bool(getattr(error, "temporary", True))
        raise TokenUnavailable(f"the token callback raised {error!r}", temporary) from error
    if not isinstance(token, str):
        raise TokenUnavailable(f"the token callback gave {token!r}, not a text", temporary=False)
    return token

"""The client for programs without an event loop: each call waits, for a bounded time."""

import asyncio
import inspect
import threading
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, Final, Self, TypeVar

from roomline.client.client import Client
from roomline.client.session import Publication
from roomline.client.subscription import Subscription, TokenSource

ANSWER_SECONDS: Final = 30.0
"""How long a call waits for what the gateway has to do with."""

T = TypeVar("T")


def _in_a_thread(source: TokenSource) -> TokenSource:
    """The same, without holding up the client's event loop meanwhile."""
    if inspect.iscoroutinefunction(source):
        return source

    async def ask() -> str:
        given = await asyncio.to_thread(source)
        return given if isinstance(given, str) else await given

    return ask


class BlockingSubscription:
    """The publications of one room, one after the other."""

    def __init__(self, client: "BlockingClient", subscription: Subscription) -> None:
        self._client = client
        self._subscription = subscription

    @property
    def room(self) -> str:
        return self._subscription.room

    @property
    def recovered(self) -> bool | None:
        """See `Subscription.recovered`."""
        return self._subscription.recovered

    def next(self, timeout: float = 5.0) -> Publication:
        """The next publication.

        Raises `TimeoutError` when there is none for `timeout` seconds, `EOFError` when there will
        be none because this client has unsubscribed, and what iterating over a `Subscription`
        raises.
        """
        try:
            publication = self._client.run(_next(self._subscription), timeout)
        except TimeoutError:
            raise TimeoutError(
                f"nothing was published to {self.room} within {timeout:g} seconds"
            ) from None
        if publication is None:
            raise EOFError(f"this client has unsubscribed from {self.room}")
        return publication


class BlockingClient:
    """A `Client` behind calls that wait. It runs in a thread of its own while it is connected.

    Use it as ``with BlockingClient(url) as client:``, or `connect` and `close` it. `options` are
    those of `Client`. Its methods may be called from any thread. Callbacks for tokens may block:
    plain functions among them are called in threads of their own.
    """

    def __init__(self, endpoints: str | Sequence[str], **options: Any) -> None:
        if (token := options.get("token")) is not None:
            options["token"] = _in_a_thread(token)
        self._make = partial(Client, endpoints, **options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Client | None = None
        self._end = asyncio.Event()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def client(self) -> Client:
        """The client behind it, to look at; raises `RuntimeError` unless it is connected."""
        if self._client is None:
            raise RuntimeError("the client is not connected: call connect() first")
        return self._client

    def connect(self, *, within: float = ANSWER_SECONDS) -> None:
        """See `Client.connect`."""
        if self._thread is None:
            client, begun = self._make(), threading.Event()
            self._client = client
            self._thread = threading.Thread(
                target=lambda: asyncio.run(self._live(client, begun)),
                name="roomline-client",
                daemon=True,
            )
            self._thread.start()
            begun.wait()
        try:
            self.run(self.client.connect(within=within), within + ANSWER_SECONDS)
        except BaseException:
            self.close()
            raise

    def subscribe(
        self,
        room: str,
        *,
        since: str | None = None,
        history: int | None = None,
        token: TokenSource | None = None,
        within: float = ANSWER_SECONDS,
    ) -> BlockingSubscription:
        """See `Client.subscribe`."""
        subscribing = self.client.subscribe(
            room,
            since=since,
            history=history,
            token=None if token is None else _in_a_thread(token),
            within=within,
        )
        return BlockingSubscription(self, self.run(subscribing, within + ANSWER_SECONDS))

    def unsubscribe(self, room: str) -> None:
        """See `Client.unsubscribe`."""
        self.run(self.client.unsubscribe(room))

    def publish(
        self,
        room: str,
        data: Any,
        *,
        key: str | None = None,
        within: float = ANSWER_SECONDS,
    ) -> None:
        """See `Client.publish`."""
        publishing = self.client.publish(room, data, key=key, within=within)
        self.run(publishing, within + ANSWER_SECONDS)

    def history(self, room: str, *, limit: int | None = None) -> list[Publication]:
        """See `Client.history`."""
        return self.run(self.client.history(room, limit=limit))

    def request(self, name: str, data: Any = None, *, within: float = ANSWER_SECONDS) -> Any:
        """See `Client.request`."""
        return self.run(self.client.request(name, data, within=within), 2 * within + ANSWER_SECONDS)

    def close(self) -> None:
        """Leave, and end the thread. Idempotent."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = self._client = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(self._end.set)
            thread.join(ANSWER_SECONDS)

    def run(self, work: Coroutine[Any, Any, T], timeout: float = ANSWER_SECONDS) -> T:
        """What a coroutine of this client's returns; raises `TimeoutError` after that time."""
        if self._loop is None:
            work.close()
            raise RuntimeError("the client is not connected: call connect() first")
        waiting = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, timeout), self._loop)
        return waiting.result()

    async def _live(self, client: Client, begun: threading.Event) -> None:
        """What the thread does."""
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        begun.set()
        await self._end.wait()
        await client.close()


async def _next(subscription: Subscription) -> Publication | None:
    return await anext(subscription, None)

"""What reading and publishing see of an AMQP connection: futures for outcomes, no AMQP library."""

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

from roomline.brokers import topology

FIRST_BACKOFF = 0.1
INTERNAL_ERROR = 541

OnEntry = Callable[[int, int, str, Mapping[str, Any], bytes], None]
"""Takes delivery tag, offset, routing key, AMQP properties, body."""

OnMessage = Callable[[Mapping[str, Any], bytes], None]
"""Takes AMQP properties, body."""


class Broken(Exception):
    """A connection or an AMQP channel is of no more use; the text is for operators."""

    def __init__(
        self, text: str, code: int = 0, *, lasting: bool = False, undecodable: bool = False
    ) -> None:
        super().__init__(text)
        self.code = code
        """The AMQP reply code; 0 if RabbitMQ gave none."""
        self.lasting = lasting
        """No later attempt could succeed without somebody's doing."""
        self.unreadable = undecodable or code == INTERNAL_ERROR
        """It may be a log entry's fault: RabbitMQ cannot send it, or we cannot decode it."""


class Channel(Protocol):
    """One AMQP channel."""

    lost: asyncio.Future[Broken]
    """Done when the AMQP channel, its consumer, or the connection is no more."""

    async def call(self, method: str, **arguments: Any) -> None:
        """An AMQP method with an answer; returns when it has come, else raises `Broken`."""

    async def read(
        self, stream: str, where: Literal["last", "first", "next"] | int | datetime, take: OnEntry
    ) -> None:
        """Start to read a stream; returns when RabbitMQ has agreed, else raises `Broken`."""

    async def listen(self, queue: str, take: OnMessage) -> None:
        """Have what comes to a queue taken, without acknowledging; returns when RabbitMQ has
        agreed, else raises `Broken`."""

    def acknowledge(self, tag: int) -> None:
        """All deliveries up to this tag are done with."""

    async def confirm(
        self,
        answered: Callable[[int, bool, bool], None],
        returned: Callable[[str, str | None, bytes, str], None],
    ) -> None:
        """Have publications confirmed: `answered(tag, multiple, positive)`,
        `returned(room, message_id, body, reason)`."""

    def publish(self, exchange: str, key: str, body: bytes, properties: dict[str, Any]) -> bool:
        """Write one mandatory message; False if the AMQP channel is closed and nothing was
        written, ValueError if it cannot be encoded. Any other error closes the AMQP channel."""

    async def close(self) -> None:
        """Close the AMQP channel alone; bounded."""


class Link(Protocol):
    """One AMQP connection."""

    lost: asyncio.Future[Broken]
    """Done when the connection is no more."""

    def on_blocked(self, blocked: Callable[[str], None], unblocked: Callable[[], None]) -> None:
        """Call these when RabbitMQ stops and begins again to take what is published."""

    async def channel(self) -> Channel:
        """Open an AMQP channel; raises `Broken`."""

    async def close(self) -> None:
        """Close the connection; bounded."""


async def first_of(*futures: asyncio.Future[Any], patience: float | None = None) -> None:
    """Wait until one of them is done, or for so many seconds; none is cancelled."""
    await asyncio.wait(futures, timeout=patience, return_when=asyncio.FIRST_COMPLETED)


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait until it has ended."""
    if task is not None:
        task.cancel()
        await asyncio.wait({task})


def count_connection(reconnects: dict[str, int], purpose: str) -> None:
    """Note in `Log.reconnects` that a connection has been made."""
    reconnects[purpose] = reconnects.get(purpose, -1) + 1


class Backoff:
    """How long to wait before the next attempt: exponential, with full jitter, bounded."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._failures = 0

    def reset(self) -> None:
        """An attempt succeeded."""
        self._failures = 0

    async def wait(self) -> None:
        """An attempt failed: wait until it is time for the next."""
        bound = min(self._longest, FIRST_BACKOFF * 2 ** min(self._failures, 30))
        self._failures += 1
        await asyncio.sleep(random.uniform(0, bound))  # noqa: S311  (no secret)


async def ensure_topology(link: Link, items: tuple[topology.Item, ...]) -> None:
    """Declare or check everything over a connection; raises `Broken`."""
    channel = await link.channel()

    async def attempt(item: topology.Item, passive: bool) -> topology.Refusal | None:
        nonlocal channel
        if channel.lost.done():  # as after every refusal
            channel = await link.channel()
        method, arguments = item.call(passive)
        try:
            await channel.call(method, **arguments)
        except Broken as broken:
            if broken.code not in topology.REFUSALS:
                raise
            return topology.Refusal(broken.code, str(broken))
        return None

    try:
        await topology.ensure(items, attempt)
    except topology.TopologyProblem as problem:
        raise Broken(str(problem), lasting=problem.lasting) from None
    await channel.close()

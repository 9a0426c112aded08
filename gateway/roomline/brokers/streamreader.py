"""Reads the stream for as long as the node lives: attach, catch up, deliver, and attach anew."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from roomline.broker import BrokerError, Listener, Start
from roomline.brokers.links import Backoff, Broken, Channel, Link, OnEntry, first_of
from roomline.brokers.progress import CatchUp, Entry, Progress
from roomline.wire import envelope_of

_logger = logging.getLogger(__name__)

PARTITION = 0
PAUSE = 0.15
POLL = 0.02
UNREADABLE_BEFORE_CARE = 2
ROLL = 2
"""How far apart neighbours in a stream may be: each segment begins with an offset of its own."""
SLOW_SILENCE = 3
"""A log that does not answer at all may be starting up: it is given so many times the silence."""


class StreamReader:
    """One reader of the stream. `run` does not end by itself."""

    def __init__(
        self,
        stream: str,
        connect: Callable[[], Awaitable[Link]],
        listener: Listener,
        start: Start,
        *,
        prefetch: int,
        silence: float,
        max_backoff: float,
    ) -> None:
        """`connect` opens a connection on which the stream is there; raises `Broken`."""
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done after the first attempt; with `BrokerError` if no other could succeed."""
        self._stream = stream
        self._connect = connect
        self._listener = listener
        self._progress = Progress(start)
        self._prefetch = prefetch
        self._silence = silence
        self._backoff = Backoff(max_backoff)
        self._caught_up = False
        """Whether the listener was told so, and nothing to the contrary since."""
        self._told_cut_off = False
        self._delivered = False
        """Whether anything was delivered in this attempt."""
        self._attached = False
        self._unreadable = 0
        """How many attempts in a row ended as if an entry were unreadable."""
        self._jumped_from: int | None = None
        """The offset from which the stream last went on further on than one would expect."""
        self._hole_behind: int | None = None
        """The same, once it was found that nothing is missing there."""

    @property
    def _careful(self) -> bool:
        """Whether to read entry by entry, to find one that nobody can read.

        RabbitMQ closes the connection of a reader that reaches an entry with a routing key of
        more than 255 bytes, which its console accepts, and drops what it had read ahead.
        """
        return self._unreadable >= UNREADABLE_BEFORE_CARE

    async def run(self) -> None:
        """Read, for ever; cancel to stop. Returns only if no attempt can succeed."""
        while True:
            self._delivered = self._attached = stepped = False
            try:
                await self._attempt()
                continue
            except Broken as broken:
                if broken.lasting and not self.begun.done():
                    self.begun.set_exception(BrokerError(str(broken)))
                    return
                self._cut_off(str(broken))
                stepped = self._suspect_an_entry(broken)
            except Exception as error:
                _logger.exception("reading the log failed in an unforeseen way")
                self._cut_off(f"unforeseen: {error!r}")
            if not self.begun.done():
                self.begun.set_result(None)
            if not stepped:
                await self._backoff.wait()

    def _cut_off(self, reason: str) -> None:
        self._caught_up = False
        if not self._told_cut_off:
            _logger.warning("the log cannot be read: %s", reason)
            self._told_cut_off = True
            self._listener.cut_off(reason)

    def _suspect_an_entry(self, broken: Broken) -> bool:
        """Note an end without progress that may be an entry's fault; whether one was skipped."""
        if not broken.unreadable:
            if not self._careful:
                self._unreadable = 0
            return False
        if self._delivered:
            return False
        self._unreadable += 1
        if not (self._careful and self._attached and self._unreadable > UNREADABLE_BEFORE_CARE):
            return False
        _logger.error(
            "an entry of the log cannot be read and is skipped: it is before offset %d; %s",
            self._progress.step(),
            broken,
        )
        return True

    async def _attempt(self) -> None:
        """One connection, read until it breaks. Returns to have another without ado."""
        link = await self._connect()
        try:
            await self._read(link)
        finally:
            await link.close()

    async def _read(self, link: Link) -> None:
        probes = await link.channel()
        await probes.call("basic_qos", prefetch_count=1)
        end = beyond = None
        if not self._careful:  # either of these might be the unreadable one
            end = await _first(probes, self._stream, "last")
            beyond = await _first(probes, self._stream, "next")
        if self._progress.last is not None:
            await self._prove(probes, self._progress.last, end)
        main = await link.channel()
        ended: asyncio.Future[Broken | None] = asyncio.get_running_loop().create_future()
        await main.call("basic_qos", prefetch_count=1 if self._careful else self._prefetch)
        where = self._progress.next
        if where == "next" and end is not None:
            await self._anchor(probes, end)
        await main.read(self._stream, where, self._taker(main, where, ended))
        self._attached = True
        # RabbitMQ agrees before it has looked up where "next" is. It carries out an AMQP channel's
        # methods one by one, so once another one is answered it has.
        await _round_trip(main, self._stream)
        if not self.begun.done():
            self.begun.set_result(None)
        attending = asyncio.create_task(self._attend(link, main, probes, where, end, beyond))
        try:
            await first_of(main.lost, ended, attending)
            if attending.done():
                attending.result()
        finally:
            attending.cancel()
            await asyncio.wait({attending})
        broken = ended.result() if ended.done() else main.lost.result()
        if broken is not None:
            raise broken
        self._unreadable = 0

    async def _prove(self, probes: Channel, last: Entry, end: asyncio.Future[Entry] | None) -> None:
        """Look whether the last entry still stands in its place; if not, begin anew."""
        found = await _first(probes, self._stream, last.offset)
        await _wait(probes, self._silence, found)
        if not found.done() and not (end is not None and end.done()):
            await _wait(probes, self._silence * (SLOW_SILENCE - 1), found)
        reason = self._progress.proof(found.result() if found.done() else None)
        # Retention takes the oldest first: with this entry there, all behind it are.
        self._hole_behind = None if self._jumped_from is None else last.offset
        self._jumped_from = None
        if reason is not None:
            _logger.warning("reading the log anew from its beginning: %s", reason)
            self._progress.restart()
            self._caught_up = False
            self._listener.log_reset(reason)

    async def _attend(
        self,
        link: Link,
        main: Channel,
        probes: Channel,
        where: Start,
        end: asyncio.Future[Entry] | None,
        beyond: asyncio.Future[Entry] | None,
    ) -> None:
        """What is to do beside delivering. Does not return; raises `Broken`."""
        if where != "next":
            await self._catch_up(link, main, probes, where, end, beyond)
        self._tell_caught_up()
        await probes.close()
        while True:
            last = self._progress.last
            await asyncio.sleep(self._silence)
            if self._progress.last is last and not self._careful:
                await self._look_for_stall(link, last)

    async def _look_for_stall(self, link: Link, last: Entry | None) -> None:
        """Raise `Broken` if RabbitMQ has entries for us and does not send them.

        It says nothing, ever, to a reader that retention has overtaken.
        """
        probes = await link.channel()
        await probes.call("basic_qos", prefetch_count=1)
        end = await _first(probes, self._stream, "last")
        await _wait(probes, self._silence, end)
        if end.done() and self._progress.lacks(end.result().offset):
            await asyncio.sleep(self._silence)  # it may be on its way
            if self._progress.last is last:
                raise Broken("RabbitMQ does not send what is in the log, as if it were trimmed")
        await probes.close()

    async def _catch_up(
        self,
        link: Link,
        main: Channel,
        probes: Channel,
        where: Start,
        end: asyncio.Future[Entry] | None,
        beyond: asyncio.Future[Entry] | None,
    ) -> None:
        """Return when all that stood in the log has been delivered; raises `Broken`."""
        clock = asyncio.get_running_loop().time
        catch_up = CatchUp(where, PAUSE, self._silence, clock())

        def done() -> bool:
            if end is not None and end.done():
                catch_up.end = end.result().offset
            if beyond is not None and beyond.done():
                catch_up.appended = beyond.result().offset
            last = self._progress.last
            return catch_up.done(None if last is None else last.offset, clock())

        while True:
            if done():
                # A RabbitMQ that hangs is silent too, and its log need not be empty. What an AMQP
                # channel had to deliver comes before the answer.
                await _round_trip(probes, self._stream)
                await _round_trip(main, self._stream)
                if done():
                    return
            elif catch_up.silent(clock()) and not self._careful:
                await self._look_for_stall(link, self._progress.last)
            await asyncio.sleep(POLL)

    async def _anchor(self, probes: Channel, end: asyncio.Future[Entry]) -> None:
        """Before reading begins at the log's end, note where to go on should the connection break
        before anything was delivered: behind an entry that stands there now, or at the beginning
        of a log that is empty now."""
        await _wait(probes, PAUSE, end)
        if end.done():
            self._progress.last = end.result()
        else:
            self._progress.restart()

    def _tell_caught_up(self) -> None:
        self._backoff.reset()
        if not self._caught_up:
            self._caught_up, self._told_cut_off = True, False
            self._listener.caught_up()

    def _taker(
        self, channel: Channel, where: Start, ended: asyncio.Future[Broken | None]
    ) -> OnEntry:
        """What is called for each entry of the log: the place where a microsecond counts.

        `ended` is done when this attempt has to end: with None when the care that it was made with
        is needed no more. Retention may overtake a reader; RabbitMQ then goes on at the oldest
        entry without a word. Streams have holes, so a jump proves nothing, but it makes this
        attempt end, and the next one looks whether the last entry is still there.
        """
        progress, deliver, careful = self._progress, self._listener.deliver, self._careful
        # Credit is given back in batches; the rest of a batch does no harm unacknowledged.
        batch = 1 if careful else max(1, self._prefetch // 4)
        acknowledged = 0
        last = progress.last.offset if progress.last is not None else -1
        expected = last + ROLL if last >= 0 and where != "next" else None

        def take(
            tag: int, offset: int, room: str, properties: Mapping[str, Any], body: bytes
        ) -> None:
            nonlocal acknowledged, last, expected
            if tag - acknowledged >= batch:
                acknowledged = tag
                channel.acknowledge(tag)
            if offset <= last or self._jumped_from == last:
                return
            if expected is not None and offset > expected and self._hole_behind != last:
                self._jumped_from = last
                if not ended.done():
                    ended.set_result(Broken(f"the log went on from offset {last} at {offset}"))
                return
            if careful and not ended.done() and (self._caught_up or progress.passes(offset)):
                ended.set_result(None)
            last, expected = offset, offset + ROLL
            entry = Entry(offset, envelope_of(room, body, properties))
            progress.delivered(entry)
            self._delivered = True
            deliver(PARTITION, offset, entry.envelope)

        return take


async def _first(
    channel: Channel, stream: str, where: Literal["last", "first", "next"] | int | datetime
) -> asyncio.Future[Entry]:
    """Read one entry, the first from there on; the future waits for it if there is none yet."""
    found: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()

    def take(tag: int, offset: int, room: str, properties: Mapping[str, Any], body: bytes) -> None:
        # Never acknowledged: with a prefetch of one no other follows.
        if not found.done():
            found.set_result(Entry(offset, envelope_of(room, body, properties)))

    await channel.read(stream, where, take)
    return found


async def _round_trip(channel: Channel, stream: str) -> None:
    """Ask RabbitMQ something, and wait for the answer; raises `Broken` if none can come."""
    await channel.call("queue_declare", queue=stream, passive=True)


async def _wait(channel: Channel, patience: float, found: asyncio.Future[Entry]) -> None:
    """Wait for an entry, at most `patience` seconds; raises `Broken` if none can come any more."""
    await first_of(found, channel.lost, patience=patience)
    if channel.lost.done():
        raise channel.lost.result()

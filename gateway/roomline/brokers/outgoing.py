"""Publications on their way to RabbitMQ: which wait, which are sent, and how each one ends.

Knows AMQP's rules about confirms and returns, and no AMQP library: whoever owns the connection
reports here what happened on it.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from roomline.broker import (
    BrokerError,
    BrokerUnavailable,
    PublishRejected,
    PublishUnconfirmed,
)
from roomline.brokers.topology import NOT_PERMITTED, PRECONDITION_FAILED
from roomline.wire import MAX_BODY_BYTES, Envelope, InvalidName, check_room, shorten

Send = Callable[[Envelope], bool]
"""Write one publication to the AMQP channel; False if that is closed and nothing was written,
ValueError if it cannot be encoded. After any other error the AMQP channel is being closed."""

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Publication:
    envelope: Envelope
    outcome: asyncio.Future[None]
    deadline: float

    def end(self, error: BrokerError | None = None) -> None:
        if self.outcome.done():  # timed out before, or given up by its caller
            return
        if error is None:
            self.outcome.set_result(None)
        else:
            self.outcome.set_exception(error)


class Outgoing:
    """Hands publications to `Send` in the order of `publish`, at most `max_unconfirmed` at once.

    It begins closed: `accept` and `channel_opened` let publications through.
    """

    def __init__(self, *, max_unconfirmed: int, max_waiting: int, timeout: float) -> None:
        self._max_unconfirmed = max_unconfirmed
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._waiting: deque[_Publication] = deque()
        self._unconfirmed: dict[int, _Publication] = {}
        """By delivery tag, so from oldest to newest."""
        self._send: Send | None = None
        self._last_tag = 0
        self._refusal: str | None = "not connected to RabbitMQ"
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def publish(self, envelope: Envelope) -> asyncio.Future[None]:
        """Send when it is its turn; the future ends within the time-out, see `Broker.publish`."""
        loop = asyncio.get_running_loop()
        publication = _Publication(envelope, loop.create_future(), loop.time() + self._timeout)
        problem = self._problem_with(envelope)
        if problem is not None:
            publication.end(problem)
            return publication.outcome
        self._waiting.append(publication)
        self._idle.clear()
        self._send_waiting()
        self._watch_deadlines()
        return publication.outcome

    def _problem_with(self, envelope: Envelope) -> BrokerError | None:
        if len(envelope.body) > MAX_BODY_BYTES:
            return PublishRejected(
                f"the body is {len(envelope.body)} bytes, at most {MAX_BODY_BYTES} are taken"
            )
        try:
            check_room(envelope.room)
        except InvalidName as error:
            return PublishRejected(str(error))
        if self._refusal is not None:
            return BrokerUnavailable(self._refusal)
        if len(self._waiting) >= self._max_waiting:
            return BrokerUnavailable(f"{self._max_waiting} publications are waiting already")
        return None

    # What the connection's owner reports.

    def accept(self) -> None:
        """The connection is up and not blocked."""
        if not self._closed:
            self._refusal = None

    def refuse(self, reason: str) -> None:
        """Nothing can be sent for now: what waits ends, and what comes ends at once."""
        self._refusal = reason
        while self._waiting:
            self._waiting.popleft().end(BrokerUnavailable(reason))
        self._note_idle()

    def close(self, reason: str) -> None:
        """Take nothing more, for ever; what waits may still go out."""
        self._closed = True
        self._refusal = reason

    def channel_opened(self, send: Send) -> None:
        """A fresh AMQP channel in confirm mode: its delivery tags begin at 1."""
        self._send, self._last_tag = send, 0
        self._send_waiting()

    def channel_closed(self, code: int, text: str) -> None:
        """RabbitMQ closed the AMQP channel on account of one publication; the connection stays.

        The culprit is rejected. What was sent after it was ignored and what was sent before may
        have been appended: those are unconfirmed. What waits goes out on the next AMQP channel.
        """
        self._send = None
        unconfirmed = list(self._unconfirmed.values())
        self._unconfirmed.clear()
        culprits = _culprits(code, text, unconfirmed)
        for publication in unconfirmed:
            if any(publication is culprit for culprit in culprits):
                publication.end(PublishRejected(f"RabbitMQ refuses this publication: {text}"))
            else:
                publication.end(PublishUnconfirmed(f"RabbitMQ closed the AMQP channel: {text}"))
        self._note_idle()

    def connection_lost(self, reason: str) -> None:
        """What was sent is unconfirmed; what waits, and what comes, is unavailable."""
        self._send = None
        for publication in self._unconfirmed.values():
            publication.end(PublishUnconfirmed(reason))
        self._unconfirmed.clear()
        self.refuse(reason)

    def confirmed(self, tag: int, multiple: bool, positive: bool) -> None:
        """RabbitMQ answered for this tag, or for all up to it."""
        for publication in self._take(tag, multiple):
            publication.end(
                None if positive else BrokerUnavailable("RabbitMQ did not take the publication")
            )
        self._send_waiting()
        self._note_idle()

    def _take(self, tag: int, multiple: bool) -> list[_Publication]:
        if not multiple:
            publication = self._unconfirmed.pop(tag, None)
            return [] if publication is None else [publication]
        answered = []
        for sent in self._unconfirmed:
            if sent > tag:
                break
            answered.append(sent)
        return [self._unconfirmed.pop(sent) for sent in answered]

    def returned(self, room: str, message_id: str | None, body: bytes, reason: str) -> None:
        """RabbitMQ gave a publication back; a confirm follows that must not count.

        A return names no delivery tag. It is the oldest publication that looks like it: if there
        are several, they are the same publication, and either outcome is true for either.
        """
        for tag, publication in self._unconfirmed.items():
            envelope = publication.envelope
            if (envelope.room, envelope.message_id, envelope.body) == (room, message_id, body):
                del self._unconfirmed[tag]
                publication.end(
                    BrokerUnavailable(
                        f"RabbitMQ returned the publication to {shorten(room)}: {reason}; no log is"
                        " bound for it, or the log is not up yet"
                    )
                )
                break
        self._send_waiting()
        self._note_idle()

    async def drained(self, patience: float) -> None:
        """Wait until nothing waits or is unconfirmed, at most `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._idle.wait()
        except TimeoutError:
            return

    # Inside.

    def _send_waiting(self) -> None:
        while self._waiting and self._send and len(self._unconfirmed) < self._max_unconfirmed:
            publication = self._waiting.popleft()
            if publication.outcome.done():
                continue
            try:
                sent = self._send(publication.envelope)
            except ValueError as error:
                publication.end(PublishRejected(f"the publication cannot be encoded: {error}"))
                continue
            except Exception as error:
                _logger.exception("a publication could not be sent for an unforeseen reason")
                publication.end(PublishUnconfirmed(f"unforeseen: {error!r}"))
                continue
            if not sent:  # what became of the AMQP channel is about to be reported
                self._waiting.appendleft(publication)
                self._send = None
                break
            self._last_tag += 1
            self._unconfirmed[self._last_tag] = publication
        self._note_idle()

    def _note_idle(self) -> None:
        if not self._waiting and not self._unconfirmed:
            self._idle.set()

    def _watch_deadlines(self) -> None:
        """One timer for all, at the deadline of the oldest: both queues are in that order."""
        if self._timer is None and not self._idle.is_set():
            self._timer = asyncio.get_running_loop().call_later(self._timeout, self._expire)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer, now = None, loop.time()
        for publication in self._unconfirmed.values():
            if publication.deadline > now:
                break
            # It stays in its place: the tag may yet be answered, and it counts against the limit.
            publication.end(PublishUnconfirmed(f"RabbitMQ did not answer for {self._timeout} s"))
        while self._waiting and self._waiting[0].deadline <= now:
            publication = self._waiting.popleft()
            publication.end(BrokerUnavailable(f"not sent within {self._timeout} s"))
        self._note_idle()
        open_deadlines = [
            publication.deadline
            for publication in (*self._unconfirmed.values(), *self._waiting)
            if not publication.outcome.done()
        ]
        if open_deadlines:
            self._timer = loop.call_at(min(open_deadlines), self._expire)


def _culprits(code: int, text: str, sent: list[_Publication]) -> list[_Publication]:
    """Those publications that the AMQP channel was closed for, going by RabbitMQ's text."""
    if code == NOT_PERMITTED:
        topic = re.search(r"topic '([^']*)'", text)
        if topic is None:  # not one topic but the exchange: none of them is permitted
            return sent
        return [item for item in sent if item.envelope.room == topic[1]][:1]
    size = re.search(r"message size (\d+)", text)
    if code == PRECONDITION_FAILED and size is not None:
        return [item for item in sent if len(item.envelope.body) == int(size[1])][:1]
    return []

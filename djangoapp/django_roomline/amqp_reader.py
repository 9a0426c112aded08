"""Reading RabbitMQ's stream; beside ``amqp.py`` and ``amqp_requests.py`` what imports pika here.

It declares nothing: the stream is the gateways'. A BlockingConnection with a consumer on a stream
cannot cancel it or be closed (it would send back what it has read ahead, which streams refuse), so
that this one is dropped when it has served.
"""

import contextlib
import logging
import struct
import time
from collections import deque
from typing import Any, Final

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionClosedByBroker
from roomline.pikawords import tells_undecodable
from roomline.wire import ROOMS_STREAM, envelope_of

from django_roomline.amqp import connect, parameters_of, words
from django_roomline.exceptions import BrokerUnavailable
from django_roomline.logreader import Entry, LogUnreadable

HEARTBEAT_SECONDS: Final = 20
CONNECT_SECONDS: Final = 10.0
PREFETCH: Final = 500
ATTEMPTS_BEFORE_SKIPPING: Final = 2
"""How often in a row reading entry by entry must end at the same entry before it is skipped."""
STEPS_BEFORE_LEAPS: Final = 64
"""Of a trimmed log nobody knows where its first entry stands, if that is the unreadable one."""

_INTERNAL_ERROR = 541
_NOT_FOUND = 404
_REFUSED = 403
_UNDECODABLE = (ValueError, OverflowError, RecursionError, struct.error)

_logger = logging.getLogger("django_roomline")


class AmqpReader:
    """See `logreader.LogReader`. Entries that RabbitMQ cannot send or pika cannot decode come
    without an envelope: RabbitMQ closes the connection of a reader that reaches a routing key of
    more than 255 bytes, which its console accepts, and drops what it had read ahead."""

    first_offset = 0
    step = 2
    """Each segment of a stream begins with an offset of its own."""
    log = ""

    def __init__(self, url: str, *, silence: float = 5.0, prefetch: int = PREFETCH) -> None:
        self.silence = silence
        self._parameters = parameters_of(url, HEARTBEAT_SECONDS)
        self._prefetch = prefetch
        self._connection: pika.BlockingConnection | None = None
        self._channel: Any = None
        self._arrived: deque[tuple[int, Entry]] = deque()
        self._started = False
        self._begin(None)

    def _begin(self, at: int | None) -> None:
        self._next = at
        self._known = at is not None
        """Whether `_next` is an offset near which entries stand."""
        self._careful = 0
        """How many entries to read one by one yet, to find one that nobody can read."""
        self._failures = 0
        self._skipped: deque[Entry] = deque()

    def start(self, at: int | None) -> None:
        """See `LogReader.start`."""
        self.close()
        self._begin(at)
        self._started = True
        self._attach()

    def read(self, limit: int, timeout: float) -> list[Entry]:
        """See `LogReader.read`. What cannot be read is stepped past in any case."""
        deadline = time.monotonic() + timeout
        while True:
            if not self._started:
                raise LogUnreadable("reading was not started")
            if self._connection is None:
                self._attach()
                continue
            try:
                if found := self._take(limit):
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    return []
                self._connection.process_data_events(left)
            except (AMQPError, OSError, *_UNDECODABLE) as error:
                self._broke(error)
            if self._channel is not None and not self._channel.is_open:
                self.close()
                raise LogUnreadable(f"RabbitMQ has ended reading: {ROOMS_STREAM} was deleted")

    def close(self) -> None:
        """See `LogReader.close`."""
        self._started = False
        self._detach()

    def _detach(self) -> None:
        if self._connection is not None and self._connection.is_open:
            # See above. pika has no public way to let go of the socket alone.
            with contextlib.suppress(Exception):
                self._connection._impl._terminate_stream(AMQPError("let go of"))
                self._connection.process_data_events(0)  # in which pika closes the socket
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection._cleanup()  # of the loop's own sockets; twice does no harm
        self._connection = self._channel = None
        self._arrived.clear()

    def _attach(self) -> None:
        """A new connection that reads from `_next`, or none if an entry there may have broken it;
        raises `LogUnreadable`."""
        deadline = time.monotonic() + CONNECT_SECONDS
        consuming = False
        try:
            self._connection = connect(self._parameters, deadline, pika.BlockingConnection)
            channel = self._channel = self._connection.channel()
            channel.basic_qos(prefetch_count=1 if self._careful else self._prefetch)
            channel.queue_declare(ROOMS_STREAM, passive=True)
            channel.add_on_cancel_callback(lambda _: channel.close())
            consuming = True
            channel.basic_consume(
                ROOMS_STREAM,
                self._arrive,
                arguments={"x-stream-offset": "first" if self._next is None else self._next},
            )
        except BrokerUnavailable as error:
            self.close()
            raise LogUnreadable(str(error)) from error
        except ChannelClosedByBroker as error:
            self.close()
            raise LogUnreadable(_refusal(error)) from error
        except (AMQPError, OSError, *_UNDECODABLE) as error:
            self._broke(error, may_be_an_entry=consuming)

    def _arrive(self, _: Any, method: Any, properties: Any, body: bytes) -> None:
        room = method.routing_key
        entry = Entry(
            int(properties.headers["x-stream-offset"]),  # RabbitMQ's own, never the sender's
            envelope_of(
                room if isinstance(room, str) else room.decode(errors="replace"),
                body,
                vars(properties),
            ),
        )
        if self._next is None or entry.offset >= self._next:
            self._arrived.append((method.delivery_tag, entry))

    def _take(self, limit: int) -> list[Entry]:
        """What has arrived, acknowledged, which makes RabbitMQ send more."""
        found: list[Entry] = []
        while self._arrived and len(found) < limit:
            tag, entry = self._arrived.popleft()
            found.append(entry)
        if not found:
            return []
        self._next, self._known, self._failures = found[-1].offset + 1, True, 0
        careful = self._careful > 0
        self._careful = max(0, self._careful - len(found))
        if self._skipped:
            found[:0] = [skip for skip in self._skipped if skip.offset < found[0].offset]
            self._skipped.clear()
            self._careful = 0
        if careful and not self._careful:
            # The unreadable one is behind, or there was none: enough of reading one by one.
            self._detach()
        else:
            self._channel.basic_ack(tag, multiple=True)
        return found

    def _broke(self, error: BaseException, *, may_be_an_entry: bool = True) -> None:
        """Note where to go on if an entry may be the reason, else raise `LogUnreadable`."""
        arrived = len(self._arrived)
        if not (may_be_an_entry and _may_be_an_entry(error)):
            self.close()
            raise LogUnreadable(f"the connection to RabbitMQ broke: {words(error)}") from error
        self._detach()
        if arrived:
            # Not handed out yet and not acknowledged: they come again.
            self._failures = 0
        elif self._careful:
            self._failures += 1
        # It is among those that RabbitMQ had sent ahead, or the one behind them.
        self._careful = self._prefetch + 1
        if self._failures >= ATTEMPTS_BEFORE_SKIPPING:
            self._failures = 0
            offset = self._next or 0
            _logger.error("entry %d of the log cannot be read and is skipped: %s", offset, error)
            self._skipped.append(Entry(offset, None))
            leap = not self._known and offset > STEPS_BEFORE_LEAPS
            self._next = offset * 2 if leap else offset + 1


def _may_be_an_entry(error: BaseException) -> bool:
    if isinstance(error, ConnectionClosedByBroker | ChannelClosedByBroker):
        return bool(error.reply_code == _INTERNAL_ERROR)
    return isinstance(error, _UNDECODABLE) or tells_undecodable(f"{error!r} {words(error)}")


def _refusal(error: Any) -> str:
    """Why RabbitMQ does not let us read, and what to do about it."""
    if error.reply_code == _NOT_FOUND and "down" not in error.reply_text:
        return (
            f"RabbitMQ has no stream {ROOMS_STREAM} in this virtual host: a gateway declares it"
            f" when it starts, or the broker's definitions do ({error.reply_text})"
        )
    if error.reply_code == _REFUSED:
        return (
            f"RabbitMQ does not let this user read {ROOMS_STREAM}: give them the permission to"
            f" read it ({error.reply_text})"
        )
    return f"RabbitMQ does not let {ROOMS_STREAM} be read for now: {error.reply_text}"

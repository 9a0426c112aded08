"""Requests from RabbitMQ: the queue that workers share, and the queue of the dead.

Requests are read over a connection of their own that never publishes, so that RabbitMQ does not
block it, with its acknowledgements and heartbeats, when it runs short of memory or disk. Answers
go out over those of `AmqpPublisher`.
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pika
from pika.exceptions import AMQPError
from roomline.requests import (
    ATTEMPTS,
    DEAD_REQUESTS,
    FAILED,
    NODES_EXCHANGE,
    REQUESTS_EXCHANGE,
    REQUESTS_QUEUE,
    Answer,
    DeadRequest,
    Request,
    answer_properties,
    request_of,
    request_properties,
)
from roomline.wire import shorten

from django_roomline.amqp import AmqpPublisher, Message, connect, parameters_of, words
from django_roomline.exceptions import BrokerUnavailable, PublishError, PublishReturned
from django_roomline.sources import SourceUnavailable

HEARTBEAT_SECONDS: Final = 10
"""After about twice this RabbitMQ gives what a worker had that is not heard of any more to another
one."""
CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 5.0
"""How long one answer may take to be confirmed; then whoever waits for it does so in vain."""

_logger = logging.getLogger("django_roomline")


class AmqpSource:
    """See `Source`. `believed` are the broker users, beside this project's own, whose requests
    count; at most `count` requests are taken and not finished at a time."""

    def __init__(self, url: str, believed: frozenset[str], count: int) -> None:
        self._parameters = parameters_of(url, HEARTBEAT_SECONDS)
        self._publisher = AmqpPublisher(url)
        self._believed = believed | {self._publisher.user}
        self._count = count
        self._connection: pika.BlockingConnection | None = None
        self._channel: Any = None
        self._consumer = ""
        self._arrived: deque[_Delivery] = deque()

    def take(self, seconds: float) -> "_Delivery | None":
        """See `Source`."""
        with self._connected() as connection:
            if not self._arrived:
                connection.process_data_events(seconds)
            return self._arrived.popleft() if self._arrived else None

    def stop(self) -> None:
        """See `Source`."""
        if self._connection is not None:
            with contextlib.suppress(SourceUnavailable), self._connected():
                self._channel.basic_cancel(self._consumer)
        while self._arrived:
            self._arrived.popleft().fail(0)

    def tend(self, seconds: float) -> None:
        """See `Source`."""
        with self._connected() as connection:
            connection.process_data_events(seconds)

    def close(self) -> None:
        """See `Source`."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.is_open:
            with contextlib.suppress(AMQPError):
                for _ in range(3):  # hear what threads have said last, then do it
                    connection.process_data_events(0)
                connection.close()
        self._publisher.disconnect()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[pika.BlockingConnection]:
        """The connection, opened if there is none; raises `SourceUnavailable`."""
        try:
            if self._connection is None:
                self._open()
            assert self._connection is not None
            yield self._connection
            if not self._channel.is_open:
                raise SourceUnavailable("RabbitMQ has closed the AMQP channel of requests")
        except (AMQPError, OSError) as error:
            self._drop()
            raise SourceUnavailable(f"RabbitMQ: {words(error)}") from error
        except (BrokerUnavailable, SourceUnavailable) as error:
            self._drop()
            raise SourceUnavailable(str(error)) from error

    def _open(self) -> None:
        deadline = time.monotonic() + CONNECT_SECONDS
        self._connection = connect(self._parameters, deadline, pika.BlockingConnection)
        channel = self._channel = self._connection.channel()
        channel.basic_qos(prefetch_count=self._count)
        # Its queue was deleted.
        channel.add_on_cancel_callback(lambda _: channel.close())
        self._consumer = channel.basic_consume(REQUESTS_QUEUE, self._arrive)

    def _drop(self) -> None:
        """Let go of a connection that is of no use; RabbitMQ gives to others what came over it."""
        connection, self._connection = self._connection, None
        self._arrived.clear()
        if connection is not None and connection.is_open:
            with contextlib.suppress(AMQPError):
                connection.close()

    def _arrive(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        request = request_of(body, vars(properties))
        if properties.user_id not in self._believed:
            _logger.warning(
                "a request from RabbitMQ's user %s is not believed: GATEWAY_USERS in ROOMLINE does"
                " not name them",
                shorten(properties.user_id),
            )
        elif request is None:
            _logger.warning("what %s has sent is no request", shorten(properties.user_id))
        else:
            count = (properties.headers or {}).get("x-delivery-count", 0)
            delivery = _Delivery(
                request,
                int(count) + 1,
                properties.reply_to,
                self._publisher,
                partial(self._later, self._connection, channel),
                method.delivery_tag,
            )
            self._arrived.append(delivery)
            return
        channel.basic_ack(method.delivery_tag)

    def _later(
        self, connection: Any, channel: Any, pause: float, act: Callable[[Any], None]
    ) -> None:
        """Have the thread that owns the connection do something on the AMQP channel, if both are
        still there: else RabbitMQ has taken back the request."""

        def do() -> None:
            if channel.is_open:
                act(channel)

        with contextlib.suppress(AMQPError):
            connection.add_callback_threadsafe(
                do if pause == 0 else lambda: connection.call_later(pause, do)
            )


class _Delivery:
    """See `Delivery`."""

    def __init__(
        self,
        request: Request,
        attempt: int,
        reply_to: str | None,
        publisher: AmqpPublisher,
        later: Callable[[float, Callable[[Any], None]], None],
        tag: int,
    ) -> None:
        self.request = request
        self.attempt = attempt
        self._reply_to = reply_to
        self._publisher = publisher
        self._later = later
        self._tag = tag

    def answer(self, answer: Answer) -> None:
        """See `Delivery`."""
        if not self._reply_to:
            return
        message = Message(
            NODES_EXCHANGE,
            self._reply_to,
            answer.body,
            answer_properties(self.request.id, answer, self._publisher.user),
            "nobody waits for it any more",
        )
        try:
            self._publisher.send(message, ANSWER_SECONDS)
        except PublishReturned as error:
            _logger.info("the answer to request %s is dropped: %s", self.request.id, error)
        except PublishError as error:
            _logger.warning("the answer to request %s is lost: %s", self.request.id, error)

    def finish(self) -> None:
        """See `Delivery`."""
        self._later(0, lambda channel: channel.basic_ack(self._tag))

    def fail(self, pause: float) -> None:
        """See `Delivery`."""
        if self.attempt < ATTEMPTS:
            self._later(pause, lambda channel: channel.basic_nack(self._tag, requeue=True))
        else:
            self.answer(FAILED)
            self._later(0, lambda channel: channel.basic_nack(self._tag, requeue=False))


class AmqpGraveyard:
    """See `Graveyard`."""

    def __init__(self, url: str, believed: frozenset[str]) -> None:
        self._parameters = parameters_of(url, HEARTBEAT_SECONDS)
        self._publisher = AmqpPublisher(url)
        self._believed = believed | {self._publisher.user}

    def dead(self) -> list[DeadRequest]:
        """See `Graveyard`."""
        with self._channel() as channel:
            # They go back where they were when the connection is closed.
            return [
                DeadRequest(request, _died(properties))
                for _, properties, request in self._messages(channel)
                if request is not None
            ]

    def requeue_dead(self) -> int:
        """See `Graveyard`. What no gateway has sent, somebody else has put there: it stays."""
        count = 0
        with self._channel() as channel:
            for method, properties, request in self._messages(channel):
                if request is None or properties.user_id not in self._believed:
                    continue
                again = request.envelope(self._publisher.user)
                properties = _properties(request, self._publisher.user)
                returned = "the queue of requests is not there: start a gateway first"
                message = Message(REQUESTS_EXCHANGE, again.room, request.body, properties, returned)
                try:
                    self._publisher.send(message, ANSWER_SECONDS)
                except PublishError as error:
                    raise SourceUnavailable(str(error)) from error
                channel.basic_ack(method.delivery_tag)
                count += 1
        return count

    def _messages(self, channel: Any) -> Iterator[tuple[Any, Any, Request | None]]:
        there = channel.queue_declare(DEAD_REQUESTS, passive=True).method.message_count
        for _ in range(there):
            method, properties, body = channel.basic_get(DEAD_REQUESTS)
            if method is None:
                return
            yield method, properties, request_of(body, vars(properties))

    @contextlib.contextmanager
    def _channel(self) -> Iterator[Any]:
        try:
            deadline = time.monotonic() + CONNECT_SECONDS
            with connect(self._parameters, deadline, pika.BlockingConnection) as connection:
                yield connection.channel()
        except BrokerUnavailable as error:
            raise SourceUnavailable(str(error)) from error
        except AMQPError as error:
            raise SourceUnavailable(f"RabbitMQ: {words(error)}") from error
        finally:
            self._publisher.disconnect()


def _properties(request: Request, publisher: str | None) -> dict[str, Any]:
    """As the gateway had them, but for who waits, and for how long: nobody, for ever."""
    properties = request_properties(request, "", publisher)
    del properties["reply_to"], properties["expiration"]
    return properties


def _died(properties: Any) -> int | None:
    """When RabbitMQ says that it died."""
    try:
        return int(properties.headers["x-death"][0]["time"].timestamp() * 1000)
    except (TypeError, LookupError, AttributeError):
        return None

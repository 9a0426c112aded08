"""Publishing over RabbitMQ with confirms; the only file of this package that imports pika.

Every publish is mandatory and confirmed: a broker that has just started answers before its stream
can take anything, and only the two together tell that from success.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    ChannelClosedByBroker,
    ChannelWrongStateError,
    ConnectionBlockedTimeout,
    NackError,
    UnroutableError,
)
from roomline.wire import ROOMS_EXCHANGE, Envelope, properties_of

from django_roomline.exceptions import BrokerUnavailable, PublishRejected, PublishUnconfirmed

HEARTBEAT_SECONDS: Final = 60
"""How long the broker keeps a connection that says nothing. Between two publishes nobody answers
its heartbeats, so an idle connection is dead after twice this; the next publish replaces it."""
GOODBYE_SECONDS: Final = 1.0

_NOT_FOUND = 404


class _NoAnswer(AMQPConnectionError):  # type: ignore[misc] # pika is not typed
    """The broker took longer than it may."""


class AmqpPublisher:
    """Publishes to the exchange ``rooms``; a connection of its own for each thread."""

    def __init__(self, url: str, timeout: float) -> None:
        """`timeout` (seconds) bounds each `publish` as a whole, connecting included."""
        self._timeout = timeout
        self._parameters = pika.URLParameters(url)
        self._parameters.heartbeat = HEARTBEAT_SECONDS
        self._parameters.connection_attempts = 1
        self._parameters.socket_timeout = timeout
        self._parameters.stack_timeout = timeout
        self._parameters.blocked_connection_timeout = timeout
        # A client certificate may stand for the user; the broker then knows the name, we do not.
        self._user = getattr(self._parameters.credentials, "username", None)
        self._mine = threading.local()

    def publish(self, envelope: Envelope) -> None:
        """Return when the broker has confirmed; raises a `PublishError`."""
        deadline = time.monotonic() + self._timeout
        envelope = envelope._replace(publisher=self._user)
        line = self._line()
        if line is not None:
            try:
                return self._publish_on(line, envelope, deadline)
            except (AMQPConnectionError, ChannelWrongStateError):
                # It was open from before and may have died of old age, or with the broker. Once
                # more on a new one: the message id is the same, so a repeat does no harm.
                self._mine.line = None
        try:
            line = self._mine.line = _Line(self._parameters, deadline)
        except (AMQPError, AMQPConnectorException, OSError) as error:
            raise BrokerUnavailable(f"RabbitMQ cannot be reached: {_words(error)}") from error
        try:
            return self._publish_on(line, envelope, deadline)
        except (AMQPConnectionError, ChannelWrongStateError) as error:
            self._mine.line = None
            raise PublishUnconfirmed(
                f"the connection to RabbitMQ broke before it had confirmed: {_words(error)}"
            ) from error

    def disconnect(self) -> None:
        """Close the calling thread's connection."""
        line, self._mine.line = self._line(), None
        if line is not None:
            line.close()

    def _line(self) -> "_Line | None":
        line: _Line | None = getattr(self._mine, "line", None)
        return line

    def _publish_on(self, line: "_Line", envelope: Envelope, deadline: float) -> None:
        try:
            line.publish(envelope, deadline)
        except UnroutableError as error:
            raise BrokerUnavailable(
                f"RabbitMQ returned the publication to room {envelope.room}: its namespace is not"
                " bound to the log, or the log is not up yet after a restart"
            ) from error
        except NackError as error:
            raise BrokerUnavailable("RabbitMQ could not store the publication") from error
        except ChannelClosedByBroker as error:
            self.disconnect()
            sort = BrokerUnavailable if error.reply_code == _NOT_FOUND else PublishRejected
            raise sort(f"RabbitMQ refuses: {error.reply_text}") from error
        except (_NoAnswer, ConnectionBlockedTimeout) as error:
            self._mine.line = None
            raise PublishUnconfirmed(
                f"RabbitMQ did not confirm within {self._timeout:g} seconds: it is out of memory"
                " or disk space, or does not answer"
            ) from error


class _Line:
    """One connection with one AMQP channel in confirm mode, used by one thread."""

    def __init__(self, parameters: Any, deadline: float) -> None:
        self._connection = pika.BlockingConnection(parameters)
        with self._until(deadline):
            self._channel: BlockingChannel = self._connection.channel()
            self._channel.confirm_delivery()

    def publish(self, envelope: Envelope, deadline: float) -> None:
        """Return when confirmed; raises what pika raises, or `_NoAnswer`."""
        with self._until(deadline):
            self._channel.basic_publish(
                ROOMS_EXCHANGE,
                envelope.room,
                envelope.body,
                pika.BasicProperties(**properties_of(envelope)),
                mandatory=True,
            )

    def close(self) -> None:
        """Say goodbye if the connection still lives, and let go of it."""
        # It has died of old age, or does while saying goodbye: gone either way.
        with (
            contextlib.suppress(AMQPError),
            self._until(time.monotonic() + GOODBYE_SECONDS),
        ):
            self._connection.close()

    @contextlib.contextmanager
    def _until(self, deadline: float) -> Iterator[None]:
        """Break the connection off, so that pika raises `_NoAnswer`, when it takes longer.

        BlockingConnection waits for confirms without limit; its own time-outs see neither a
        broker that stands still nor one behind a network that swallows everything. This is how
        it ends a blocked connection itself, for which it has no public name.
        """
        impl = self._connection._impl
        timer = impl.ioloop.call_later(
            max(0.0, deadline - time.monotonic()),
            lambda: impl._terminate_stream(_NoAnswer("no answer in time")),
        )
        try:
            yield
        finally:
            impl.ioloop.remove_timeout(timer)


def _words(error: BaseException) -> str:
    """What pika's error says, or the one that it wraps, sometimes twice."""
    for inner in (getattr(error, "exception", None), *error.args):
        if isinstance(inner, BaseException):
            return _words(inner)
    return str(error) or type(error).__name__

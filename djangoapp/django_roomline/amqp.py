"""Publishing over RabbitMQ with confirms; with ``amqp_reader.py`` and ``amqp_requests.py`` all that
imports pika here.

Every publish is mandatory and confirmed: a broker that has just started answers before its stream
can take anything, and only the two together tell that from success.
"""

import contextlib
import copy
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, TypeVar

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    ChannelClosedByBroker,
    ChannelWrongStateError,
    NackError,
    ShortStringTooLong,
    UnroutableError,
)
from roomline.wire import ROOMS_EXCHANGE, Envelope, properties_of

from django_roomline.exceptions import (
    BrokerUnavailable,
    PublishError,
    PublishRejected,
    PublishReturned,
    PublishUnconfirmed,
)
from django_roomline.pool import AllTaken, Pool, Turn

MAX_CONNECTIONS: Final = 8
"""To the broker, of one process. A confirm takes some milliseconds, so that these are enough for
hundreds of threads; more that publish at the same time wait for their turn."""
HEARTBEAT_SECONDS: Final = 60
"""How long a connection is kept that says nothing. Between two publishes nobody answers the
broker's heartbeats, so that it closes an idle connection after twice this."""

T = TypeVar("T")

_NOT_FOUND = 404
_MIN_CONNECT_SECONDS = 0.001  # pika does not take 0


class _NoAnswer(AMQPConnectionError):  # type: ignore[misc] # pika is not typed
    """The broker took longer than it may."""


class _Broken(Exception):
    """The connection broke before the broker had confirmed."""


class Message(NamedTuple):
    """What is published, and what is said if RabbitMQ has nowhere to put it."""

    exchange: str
    key: str
    body: bytes
    properties: dict[str, Any]
    """Keyword arguments of ``pika.BasicProperties``."""
    returned: str


class AmqpPublisher:
    """Publishes over a few connections that threads take turns with."""

    def __init__(self, url: str) -> None:
        self._parameters = parameters_of(url, HEARTBEAT_SECONDS)
        self.user = user_of(self._parameters)
        """Whom the broker takes this for; None: only the broker knows."""
        self._pool = Pool[_Line](MAX_CONNECTIONS, HEARTBEAT_SECONDS)

    def publish(self, envelope: Envelope, timeout: float) -> None:
        """Publish to a room: return when the broker has confirmed; raises a `PublishError`."""
        envelope = envelope._replace(publisher=self.user)
        self.send(
            Message(
                ROOMS_EXCHANGE,
                envelope.room,
                envelope.body,
                properties_of(envelope),
                f"RabbitMQ returned the publication to room {envelope.room}: its namespace is not"
                " bound to the log, or the log is not up yet after a restart",
            ),
            timeout,
        )

    def send(self, message: Message, timeout: float) -> None:
        """Return when the broker has confirmed; raises a `PublishError`.

        `timeout` (seconds) bounds all of it: waiting for a turn, connecting, a second attempt.
        """
        deadline = time.monotonic() + timeout
        try:
            with self._pool.turn(deadline) as turn:
                self._publish(turn, message, deadline)
        except AllTaken:
            raise BrokerUnavailable(
                f"not sent: {MAX_CONNECTIONS} other publications have waited for RabbitMQ for"
                f" {timeout:g} seconds"
            ) from None
        except _Broken as error:
            raise PublishUnconfirmed(str(error)) from error

    def disconnect(self) -> None:
        """Close the connections that no thread is using."""
        self._pool.close_idle()

    def _publish(self, turn: "Turn[_Line]", message: Message, deadline: float) -> None:
        if turn.connection is not None and turn.connection.is_open():
            try:
                return _publish_on(turn, turn.connection, message, deadline)
            except _Broken as error:
                broken = error
            # It was open from before and may have died of old age, or with the broker. Once more
            # on a new one: the message id is the same, so a repeat does no harm.
            try:
                return _publish_on(turn, self._connected(deadline), message, deadline)
            except (PublishError, _Broken) as error:
                # The first attempt may have reached the log, whatever became of the second.
                raise PublishUnconfirmed(f"{broken}; and then: {error}") from error
        if turn.connection is not None:
            turn.connection.close()
            turn.connection = None
        return _publish_on(turn, self._connected(deadline), message, deadline)

    def _connected(self, deadline: float) -> "_Line":
        return connect(self._parameters, deadline, lambda mine: _Line(mine, deadline))


def _publish_on(turn: "Turn[_Line]", line: "_Line", message: Message, deadline: float) -> None:
    """Publish on a connection, which stays in the turn if it can be used again.

    Raises a `PublishError`, or `_Broken`.
    """
    turn.connection = None
    try:
        line.publish(message, deadline)
    except UnroutableError as error:
        turn.connection = line
        raise PublishReturned(message.returned) from error
    except NackError as error:
        turn.connection = line
        raise BrokerUnavailable("RabbitMQ could not store the publication") from error
    except ChannelClosedByBroker as error:
        line.close()
        sort = BrokerUnavailable if error.reply_code == _NOT_FOUND else PublishRejected
        raise sort(f"RabbitMQ refuses: {error.reply_text}") from error
    except _NoAnswer as error:
        raise PublishUnconfirmed(
            "RabbitMQ did not confirm in time: it is out of memory or disk space, or does not"
            " answer"
        ) from error
    except (struct.error, ShortStringTooLong, ValueError) as error:
        line.close()  # a part of it may have been sent
        raise PublishRejected(f"the publication cannot be written as AMQP: {error!r}") from error
    except (AMQPConnectionError, ChannelWrongStateError) as error:
        line.close()
        raise _Broken(
            f"the connection to RabbitMQ broke before it had confirmed: {words(error)}"
        ) from error
    turn.connection = line


def parameters_of(url: str, heartbeat: int) -> Any:
    """How to connect to the broker at `url`; `heartbeat` is in seconds."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = heartbeat
    parameters.connection_attempts = 1
    return parameters


def user_of(parameters: Any) -> str | None:
    """The broker's user, or None: a client certificate stands for one that the broker knows."""
    return getattr(parameters.credentials, "username", None)


def connect(parameters: Any, deadline: float, make: Callable[[Any], T]) -> T:
    """What `make` opens with parameters for the first address of the host that answers in its
    share of the time; raises `BrokerUnavailable`."""
    trouble: BaseException = TimeoutError("no time was left")
    try:
        addresses = _resolve(parameters.host, parameters.port, deadline)
    except (OSError, UnicodeError) as error:
        addresses, trouble = [], error
    for tried, address in enumerate(addresses):
        left = deadline - time.monotonic()
        share = max(_MIN_CONNECT_SECONDS, left / (len(addresses) - tried))
        try:
            return make(_parameters_for(parameters, address, share))
        except (AMQPError, AMQPConnectorException, OSError) as error:
            trouble = error
    raise BrokerUnavailable(f"RabbitMQ cannot be reached: {words(trouble)}") from trouble


def _resolve(host: str, port: int, deadline: float) -> list[str]:
    """The host's addresses; raises `OSError` or `UnicodeError`.

    In a thread of its own because the system's resolver takes no time-out, and as much as half a
    minute of time; it ends by itself.
    """
    answer: Future[list[str]] = Future()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.set_result([str(address[0]) for *_, address in found])
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return list(dict.fromkeys(answer.result(max(0.0, deadline - time.monotonic()))))
    except TimeoutError:
        raise TimeoutError(f"the address of {host} could not be found in time") from None


def _parameters_for(parameters: Any, address: str, seconds: float) -> Any:
    """Those for one address of the host, which is to answer in so many seconds."""
    mine = copy.copy(parameters)
    mine.host = address
    mine.socket_timeout = mine.stack_timeout = seconds
    tls = parameters.ssl_options
    if tls is not None:
        # The certificate is still the one of the name.
        mine.ssl_options = pika.SSLOptions(tls.context, tls.server_hostname or parameters.host)
    return mine


class _Line:
    """One connection with one AMQP channel in confirm mode, used by one thread at a time."""

    def __init__(self, parameters: Any, deadline: float) -> None:
        self._connection = pika.BlockingConnection(parameters)
        try:
            with self._until(deadline):
                self._channel: BlockingChannel = self._connection.channel()
                self._channel.confirm_delivery()
        except AMQPError:
            self.close()
            raise

    def publish(self, message: Message, deadline: float) -> None:
        """Return when confirmed; raises what pika raises, or `_NoAnswer`."""
        with self._until(deadline):
            self._channel.basic_publish(
                message.exchange,
                message.key,
                message.body,
                pika.BasicProperties(**message.properties),
                mandatory=True,
            )

    def is_open(self) -> bool:
        """Whether it seems so, after reading what the broker has said meanwhile."""
        try:
            # The first round of pika's loop reads that the broker has gone, the next acts on it.
            for _ in range(2):
                self._connection.process_data_events(0)
        except AMQPError:
            return False
        return bool(self._channel.is_open)

    def close(self) -> None:
        """Say goodbye if it still lives, and let go of it without waiting for an answer."""
        if self._connection.is_open:  # else pika has let go of it
            with contextlib.suppress(AMQPError), self._until(time.monotonic()):
                self._connection.close()

    @contextlib.contextmanager
    def _until(self, deadline: float) -> Iterator[None]:
        """Break the connection off, so that pika raises `_NoAnswer`, when it takes longer.

        BlockingConnection waits for confirms without limit; its own time-outs see neither a
        broker that stands still nor one behind a network that swallows everything. This is how
        it ends a blocked connection itself, for which it has no public name.
        """
        impl = self._connection._impl

        def break_off() -> None:
            # In the same round pika may have read that the broker has hung up.
            if not impl.is_closed:
                impl._terminate_stream(_NoAnswer("no answer in time"))

        timer = impl.ioloop.call_later(max(0.0, deadline - time.monotonic()), break_off)
        try:
            yield
        finally:
            impl.ioloop.remove_timeout(timer)


def words(error: BaseException) -> str:
    """What pika's error says, or the one that it wraps, sometimes twice."""
    for inner in (getattr(error, "exception", None), *error.args):
        if isinstance(inner, BaseException):
            return words(inner)
    return str(error) or type(error).__name__

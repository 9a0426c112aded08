"""The RabbitMQ broker: rooms are routing keys of one exchange, the log is a stream.

Two connections, because RabbitMQ blocks one that publishes when it runs short of memory or disk,
and reading has to go on then. This is the only file that knows pika: its callbacks become futures
in `_Channel` and `_Link`, once, and everything else awaits.
"""

import asyncio
import logging
import re
import ssl
import struct
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Literal

import pika
from pika import exceptions
from pika.adapters.asyncio_connection import AsyncioConnection

from roomline.broker import BrokerError, Listener, Start
from roomline.brokers.guarded import Guarded
from roomline.brokers.links import Backoff, Broken, OnEntry, ensure_topology, first_of
from roomline.brokers.outgoing import Outgoing
from roomline.brokers.rabbitmq_settings import RabbitMQSettings
from roomline.brokers.streamreader import StreamReader
from roomline.brokers.topology import (
    NOT_FOUND,
    NOT_PERMITTED,
    Item,
    control_topology,
    rooms_topology,
)
from roomline.wire import CONTROL_STREAM, ROOMS_EXCHANGE, ROOMS_STREAM, Envelope, properties_of

_logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.0
_TCP_OPTIONS = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 6000}
"""Have the reader notice within seconds (the last one: milliseconds) that RabbitMQ's host is not
reached any more; heartbeats take two to three times their length. Not for the publisher: under an
alarm RabbitMQ leaves what it was sent unread for longer than that."""

# pika hands over 100 KiB of a connection in one turn of the event loop, and the rest of a frame:
# what is delivered in a turn is bounded by that, and the contract tests see to it.

_DECODING = re.compile(
    r"lost: (ValueError|OverflowError|RecursionError|error|Invalid\w+|Unicode\w+)\b"
)
"""How pika tells that it could not decode what it received."""


class _StreamLog:
    """A `roomline.broker.Log`: one stream, read over a connection of its own."""

    def __init__(self, settings: RabbitMQSettings, stream: str, topology: tuple[Item, ...]) -> None:
        self._settings = settings
        self._tls = settings.tls_context()
        self._stream = stream
        self._topology = topology
        self._reading: asyncio.Task[None] | None = None

    async def start(self, listener: Listener, start: Start) -> None:
        """See `Log.start`."""
        reader = StreamReader(
            self._stream,
            lambda: self._connect(f"reader of {self._stream}", _TCP_OPTIONS),
            Guarded(listener),
            start,
            prefetch=self._settings.prefetch,
            silence=self._settings.silence,
            max_backoff=self._settings.max_backoff,
        )
        self._reading = asyncio.create_task(reader.run())
        await reader.begun

    async def close(self) -> None:
        """See `Log.close`."""
        await _end(self._reading)

    async def _connect(self, purpose: str, tcp_options: dict[str, int] | None = None) -> "_Link":
        """A connection over which the exchange and the log are known to be there."""
        settings, address = self._settings, self._settings.address
        link = await _Link.open(
            pika.ConnectionParameters(
                host=address.host,
                port=address.port,
                virtual_host=address.vhost,
                credentials=pika.PlainCredentials(address.user, address.password),
                heartbeat=settings.heartbeat,
                tcp_options=tcp_options,
                connection_attempts=1,
                socket_timeout=settings.connect_timeout,
                stack_timeout=2 * settings.connect_timeout,
                ssl_options=self._tls and pika.SSLOptions(self._tls, address.host),
                client_properties={"connection_name": f"roomline {purpose}"},
            )
        )
        try:
            await ensure_topology(link, self._topology)
        except BaseException:
            await link.close()
            raise
        return link


class RabbitMQControlLog(_StreamLog):
    """The log of revocations, as a `roomline.broker.Log`; started once."""

    def __init__(self, settings: RabbitMQSettings) -> None:
        """Reads the TLS files, if any; raises `InvalidSetting` if they cannot be used."""
        super().__init__(settings, CONTROL_STREAM, control_topology())


class RabbitMQBroker(_StreamLog):
    """See `roomline.broker.Broker`. One instance serves one event loop and is started once."""

    partitions = 1
    first_offset = 0

    def __init__(self, settings: RabbitMQSettings) -> None:
        """Reads the TLS files, if any; raises `InvalidSetting` if they cannot be used."""
        topology = rooms_topology(settings.namespaces, settings.max_age, settings.max_bytes)
        super().__init__(settings, ROOMS_STREAM, topology)
        self.publisher = settings.address.user
        self._outgoing = Outgoing(
            max_unconfirmed=settings.max_unconfirmed,
            max_waiting=settings.max_waiting,
            timeout=settings.publish_timeout,
        )
        self._publishing: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self, listener: Listener, start: Start) -> None:
        """See `Log.start`."""
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._publishing = asyncio.create_task(self._publish_for_ever(begun))
        try:
            results = await asyncio.gather(
                super().start(listener, start), begun, return_exceptions=True
            )
            for error in filter(None, results):
                raise error
        except BaseException:
            await self.close()
            raise

    def publish(self, envelope: Envelope) -> asyncio.Future[None]:
        """See `Broker.publish`."""
        return self._outgoing.publish(envelope._replace(publisher=self.publisher))

    async def close(self) -> None:
        """See `Log.close`; takes at most the time-out of publishing and two seconds."""
        if self._closed:
            return
        self._closed = True
        self._outgoing.close("the broker is closed")
        await super().close()
        await self._outgoing.drained(self._settings.publish_timeout)
        await _end(self._publishing)
        self._outgoing.connection_lost("the broker is closed")

    async def _publish_for_ever(self, begun: asyncio.Future[None]) -> None:
        backoff = Backoff(self._settings.max_backoff)
        said = ""
        while True:
            try:
                await self._publish_over_one_connection(begun, backoff)
            except Broken as broken:
                if broken.lasting and not begun.done():
                    begun.set_exception(BrokerError(str(broken)))
                    return
                if str(broken) != said:
                    said = str(broken)
                    _logger.warning("publishing is not possible: %s", said)
                self._outgoing.connection_lost(str(broken))
            except Exception as error:
                _logger.exception("publishing failed in an unforeseen way")
                self._outgoing.connection_lost(f"unforeseen: {error!r}")
            if not begun.done():
                begun.set_result(None)
            await backoff.wait()

    async def _publish_over_one_connection(
        self, begun: asyncio.Future[None], backoff: Backoff
    ) -> None:
        link = await self._connect("publisher")
        outgoing = self._outgoing
        try:
            link.on_blocked(
                lambda reason: outgoing.refuse(f"RabbitMQ takes no publications: {reason}"),
                self._accept,
            )
            self._accept()
            while True:
                channel = await link.channel()
                await channel.confirm(outgoing.confirmed, outgoing.returned)
                outgoing.channel_opened(channel.publish)
                backoff.reset()
                if not begun.done():
                    begun.set_result(None)
                broken = await asyncio.shield(channel.lost)
                if link.lost.done() or broken.code == NOT_FOUND:
                    raise broken  # with the exchange gone, the next connection declares it
                outgoing.channel_closed(broken.code, str(broken))
        finally:
            await link.close()

    def _accept(self) -> None:
        if not self._closed:
            self._outgoing.accept()


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait({task})


class _Channel:
    """See `links.Channel`."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.lost: asyncio.Future[Broken] = asyncio.get_running_loop().create_future()
        raw.add_on_close_callback(lambda _, error: self._lose(_broken(error)))
        raw.add_on_cancel_callback(
            lambda _: self._lose(Broken("RabbitMQ cancelled reading: the stream was deleted"))
        )

    def _lose(self, broken: Broken) -> None:
        if not self.lost.done():
            self.lost.set_result(broken)

    async def call(self, method: str, **arguments: Any) -> None:
        """See `links.Channel`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            getattr(self._raw, method)(**arguments, callback=lambda _: _settle(done))
        except exceptions.AMQPError as error:
            raise (self.lost.result() if self.lost.done() else _broken(error)) from None
        await first_of(done, self.lost)
        if not done.done():
            raise self.lost.result()

    async def read(
        self, stream: str, where: Literal["last", "first", "next"] | int | datetime, take: OnEntry
    ) -> None:
        """See `links.Channel`. AMQP cuts times to whole seconds: reading begins a little early."""

        def on_message(_: Any, method: Any, properties: Any, body: bytes) -> None:
            room = method.routing_key
            take(
                method.delivery_tag,
                int(properties.headers["x-stream-offset"]),  # RabbitMQ's own, never the sender's
                room if isinstance(room, str) else room.decode(errors="replace"),
                vars(properties),
                body,
            )

        await self.call(
            "basic_consume",
            queue=stream,
            on_message_callback=on_message,
            arguments={"x-stream-offset": where},
        )

    def acknowledge(self, tag: int) -> None:
        """See `links.Channel`."""
        if self._raw.is_open:
            self._raw.basic_ack(tag, multiple=True)

    async def confirm(
        self,
        answered: Callable[[int, bool, bool], None],
        returned: Callable[[str, str | None, bytes, str], None],
    ) -> None:
        """See `links.Channel`."""

        def on_answer(frame: Any) -> None:
            method = frame.method
            answered(method.delivery_tag, method.multiple, isinstance(method, pika.spec.Basic.Ack))

        def on_return(_: Any, method: Any, properties: Any, body: bytes) -> None:
            returned(method.routing_key, properties.message_id, body, method.reply_text)

        self._raw.add_on_return_callback(on_return)
        await self.call("confirm_delivery", ack_nack_callback=on_answer)

    def publish(self, envelope: Envelope) -> bool:
        """See `links.Channel`."""
        if not self._raw.is_open:
            return False
        try:
            self._raw.basic_publish(
                ROOMS_EXCHANGE,
                envelope.room,
                envelope.body,
                pika.BasicProperties(**properties_of(envelope)),
                mandatory=True,
            )
        except (exceptions.ShortStringTooLong, struct.error) as error:
            raise ValueError(repr(error)) from None
        except ValueError:  # as for text that UTF-8 cannot carry: nothing was written
            raise
        except Exception:
            # Nobody knows whether RabbitMQ will count it, and with it the delivery tags of what
            # comes after: they would be off by one. The next AMQP channel begins to count anew.
            self._raw.close()
            raise
        return True

    async def close(self) -> None:
        """See `links.Channel`."""
        if self._raw.is_open:
            self._raw.close()
            await asyncio.wait({self.lost}, timeout=_CLOSE_SECONDS)


class _Link:
    """See `links.Link`."""

    def __init__(self, parameters: Any) -> None:
        loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[Broken] = loop.create_future()
        self._raw = AsyncioConnection(
            parameters,
            on_open_callback=lambda _: self._opened.set_result(None),
            on_open_error_callback=lambda _, error: self.lost.set_result(_broken(error)),
            on_close_callback=lambda _, error: self.lost.set_result(_broken(error)),
        )

    @classmethod
    async def open(cls, parameters: Any) -> "_Link":
        """Connect; raises `Broken`."""
        link = cls(parameters)
        try:
            await first_of(link._opened, link.lost)
        except asyncio.CancelledError:
            # pika stumbles over being closed before it has connected.
            await first_of(link._opened, link.lost, patience=_CLOSE_SECONDS)
            await link.close()
            raise
        if link.lost.done():
            raise link.lost.result()
        return link

    def on_blocked(self, blocked: Callable[[str], None], unblocked: Callable[[], None]) -> None:
        """Call these when RabbitMQ stops and begins again to take publications."""
        self._raw.add_on_connection_blocked_callback(
            lambda _, frame: blocked(str(frame.method.reason))
        )
        self._raw.add_on_connection_unblocked_callback(lambda _, __: unblocked())

    async def channel(self) -> _Channel:
        """See `links.Link`."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            raw = self._raw.channel(on_open_callback=lambda _: _settle(opened))
        except exceptions.AMQPError as error:
            raise (self.lost.result() if self.lost.done() else _broken(error)) from None
        channel = _Channel(raw)
        await first_of(opened, channel.lost)
        if not opened.done():
            raise channel.lost.result()
        return channel

    async def close(self) -> None:
        """See `links.Link`."""
        if self.lost.done():
            return
        if not self._raw.is_closing:
            self._raw.close()
        await asyncio.wait({self.lost}, timeout=_CLOSE_SECONDS)
        if not self.lost.done():
            # RabbitMQ does not answer, as when it blocks the connection. pika has no public way
            # to let go of the socket.
            self._raw._terminate_stream(exceptions.ConnectionOpenAborted("closing took too long"))
            await asyncio.wait({self.lost}, timeout=_CLOSE_SECONDS)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _broken(error: BaseException) -> Broken:
    """What pika reports, for operators and for the decisions that hang on it."""
    *_, root = _causes(error)
    text = str(root)
    refused = "ConnectionClosedByBroker" in text  # and not lost by accident at that stage
    if isinstance(root, ssl.SSLCertVerificationError):
        return Broken(f"RabbitMQ's certificate is not accepted: {text}", lasting=True)
    if isinstance(root, exceptions.ProbableAuthenticationError) and refused:
        return Broken("RabbitMQ refuses the user name or the password", lasting=True)
    if isinstance(root, exceptions.ProbableAccessDeniedError) and refused:
        return Broken(f"RabbitMQ refuses the virtual host: {text}", lasting=True)
    if isinstance(root, exceptions.ChannelClosed):
        return Broken(root.reply_text, root.reply_code, lasting=root.reply_code == NOT_PERMITTED)
    if isinstance(root, exceptions.ConnectionClosed):
        return Broken(f"RabbitMQ closed the connection: {root.reply_text}", root.reply_code)
    undecodable = isinstance(root, exceptions.StreamLostError) and bool(_DECODING.search(text))
    return Broken(
        f"no connection to RabbitMQ: {type(root).__name__}: {text}", undecodable=undecodable
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those that pika has wrapped into it, the innermost last."""
    inner: Any = error
    while isinstance(inner, BaseException):
        yield inner
        several = getattr(inner, "exceptions", None) or [getattr(inner, "exception", None)]
        inner = several[-1] or (inner.args[0] if inner.args else None)

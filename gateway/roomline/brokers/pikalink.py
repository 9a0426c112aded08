"""AMQP connections over pika: the only gateway file that knows it.

Its callbacks become futures here, once, and everything else awaits.
"""

import asyncio
import ssl
import struct
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Literal

import pika
from pika import exceptions
from pika.adapters.asyncio_connection import AsyncioConnection

from roomline.brokers.links import Broken, OnEntry, OnMessage, ensure_topology, first_of
from roomline.brokers.rabbitmq_settings import RabbitMQSettings
from roomline.brokers.topology import NOT_PERMITTED, Item
from roomline.pikawords import tells_undecodable

_CLOSE_SECONDS = 1.0

# pika hands over 100 KiB of a connection in one turn of the event loop, and the rest of a frame:
# what is delivered in a turn is bounded by that, and the contract tests see to it.


async def connect(
    settings: RabbitMQSettings,
    tls: ssl.SSLContext | None,
    topology: tuple[Item, ...],
    purpose: str,
    tcp_options: dict[str, int] | None = None,
) -> "PikaLink":
    """A connection over which all of `topology` is known to be there; raises `Broken`."""
    address = settings.address
    link = await PikaLink.open(
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
            ssl_options=tls and pika.SSLOptions(tls, address.host),
            client_properties={"connection_name": f"roomline {purpose}"},
        )
    )
    try:
        await ensure_topology(link, topology)
    except BaseException:
        await link.close()
        raise
    return link


class PikaChannel:
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

    async def listen(self, queue: str, take: OnMessage) -> None:
        """See `links.Channel`."""

        def on_message(_: Any, method: Any, properties: Any, body: bytes) -> None:
            take(vars(properties), body)

        await self.call("basic_consume", queue=queue, on_message_callback=on_message, auto_ack=True)

    def publish(self, exchange: str, key: str, body: bytes, properties: dict[str, Any]) -> bool:
        """See `links.Channel`."""
        if not self._raw.is_open:
            return False
        try:
            self._raw.basic_publish(
                exchange, key, body, pika.BasicProperties(**properties), mandatory=True
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


class PikaLink:
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
    async def open(cls, parameters: Any) -> "PikaLink":
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

    @property
    def server(self) -> str:
        """What runs at the other end: product and version, as it says itself."""
        said: dict[str, Any] = self._raw.server_properties or {}
        return f"{said.get('product', 'an AMQP server')} {said.get('version', '')}".rstrip()

    def on_blocked(self, blocked: Callable[[str], None], unblocked: Callable[[], None]) -> None:
        """See `links.Link`."""
        self._raw.add_on_connection_blocked_callback(
            lambda _, frame: blocked(str(frame.method.reason))
        )
        self._raw.add_on_connection_unblocked_callback(lambda _, __: unblocked())

    async def channel(self) -> PikaChannel:
        """See `links.Link`."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            raw = self._raw.channel(on_open_callback=lambda _: _settle(opened))
        except exceptions.AMQPError as error:
            raise (self.lost.result() if self.lost.done() else _broken(error)) from None
        channel = PikaChannel(raw)
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
    undecodable = isinstance(root, exceptions.StreamLostError) and tells_undecodable(text)
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

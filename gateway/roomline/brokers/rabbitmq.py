"""The RabbitMQ broker: rooms are routing keys of one exchange, the log is a stream.

Two connections, because RabbitMQ blocks one that publishes when it runs short of memory or disk,
and reading has to go on then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from roomline.broker import Listener, Start
from roomline.brokers import pikalink
from roomline.brokers.guarded import Guarded
from roomline.brokers.links import Channel, count_connection, end
from roomline.brokers.outgoing import Outgoing
from roomline.brokers.pikalink import PikaLink
from roomline.brokers.publisherlink import PublisherLink
from roomline.brokers.rabbitmq_settings import RabbitMQSettings
from roomline.brokers.streamreader import StreamReader
from roomline.brokers.topology import Item, control_topology, rooms_topology
from roomline.wire import CONTROL_STREAM, ROOMS_EXCHANGE, ROOMS_STREAM, Envelope, properties_of

_TCP_OPTIONS = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 6000}
"""Have the reader notice within seconds (the last one: milliseconds) that RabbitMQ's host is not
reached any more; heartbeats take two to three times their length. Not for the publisher: under an
alarm RabbitMQ leaves what it was sent unread for longer than that."""


class _StreamLog:
    """A `roomline.broker.Log`: one stream, read over a connection of its own."""

    def __init__(self, settings: RabbitMQSettings, stream: str, topology: tuple[Item, ...]) -> None:
        self._settings = settings
        self._tls = settings.tls_context()
        self._stream = stream
        self._topology = topology
        self._reading: asyncio.Task[None] | None = None
        self.reconnects: dict[str, int] = {}

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
        await end(self._reading)

    async def _connect(self, purpose: str, tcp_options: dict[str, int] | None = None) -> PikaLink:
        """A connection over which the exchange and the log are known to be there."""
        link = await pikalink.connect(
            self._settings, self._tls, self._topology, purpose, tcp_options
        )
        count_connection(self.reconnects, purpose)
        return link


class RabbitMQControlLog(_StreamLog):
    """The log of revocations, as a `roomline.broker.Log`; started once."""

    def __init__(self, settings: RabbitMQSettings) -> None:
        """Reads the TLS files, if any; raises `InvalidSetting` if they cannot be used."""
        super().__init__(settings, CONTROL_STREAM, control_topology())


class RabbitMQPublisher:
    """Publishes into rooms over a connection of its own, and asks for nothing else: for users who
    may do no more. Started once."""

    def __init__(
        self,
        settings: RabbitMQSettings,
        connect: Callable[[str], Awaitable[PikaLink]] | None = None,
    ) -> None:
        """`connect` makes the connection for a purpose; by default one over which nothing was
        looked for. Reads the TLS files, if any; raises `InvalidSetting` if they cannot be used."""
        self._settings = settings
        tls = settings.tls_context()
        self._connect = connect or partial(pikalink.connect, settings, tls, ())
        self._publisher = settings.address.user
        self._outgoing = Outgoing(
            max_unconfirmed=settings.max_unconfirmed,
            max_waiting=settings.max_waiting,
            timeout=settings.publish_timeout,
        )
        self._publishing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, or raise `BrokerError` if no later attempt can succeed."""
        link = PublisherLink(
            self._outgoing,
            lambda: self._connect("publisher"),
            _send,
            max_backoff=self._settings.max_backoff,
        )
        self._publishing = asyncio.create_task(link.run())
        await link.begun

    def publish(self, envelope: Envelope) -> asyncio.Future[None]:
        """See `Broker.publish`."""
        return self._outgoing.publish(envelope._replace(publisher=self._publisher))

    def refuse(self) -> None:
        """Take nothing more."""
        self._outgoing.close("the broker is closed")

    async def close(self) -> None:
        """Takes at most the time-out of publishing."""
        self.refuse()
        await self._outgoing.drained(self._settings.publish_timeout)
        await end(self._publishing)
        self._outgoing.connection_lost("the broker is closed")


class RabbitMQBroker(_StreamLog):
    """See `roomline.broker.Broker`. One instance serves one event loop and is started once."""

    partitions = 1
    first_offset = 0

    def __init__(self, settings: RabbitMQSettings) -> None:
        """Reads the TLS files, if any; raises `InvalidSetting` if they cannot be used."""
        topology = rooms_topology(settings.namespaces, settings.max_age, settings.max_bytes)
        super().__init__(settings, ROOMS_STREAM, topology)
        self.publisher = settings.address.user
        self._publishing = RabbitMQPublisher(settings, self._connect)
        self._closed = False

    async def start(self, listener: Listener, start: Start) -> None:
        """See `Log.start`."""
        try:
            results = await asyncio.gather(
                super().start(listener, start), self._publishing.start(), return_exceptions=True
            )
            for error in filter(None, results):
                raise error
        except BaseException:
            await self.close()
            raise

    def publish(self, envelope: Envelope) -> asyncio.Future[None]:
        """See `Broker.publish`."""
        return self._publishing.publish(envelope)

    async def close(self) -> None:
        """See `Log.close`; takes at most the time-out of publishing and two seconds."""
        if self._closed:
            return
        self._closed = True
        self._publishing.refuse()
        await super().close()
        await self._publishing.close()


def _send(channel: Channel, envelope: Envelope) -> bool:
    return channel.publish(ROOMS_EXCHANGE, envelope.room, envelope.body, properties_of(envelope))

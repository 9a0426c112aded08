"""The way of requests over RabbitMQ: into the queue that workers share, back to this node's own.

One connection does both. RabbitMQ blocks it when it runs short of memory or disk: then no request
is taken, and answers, which need no acknowledgement, still come.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

from roomline.broker import BrokerError
from roomline.brokers.awaited import Awaited
from roomline.brokers.links import Broken, Channel, Link, count_connection, end
from roomline.brokers.outgoing import Outgoing
from roomline.brokers.pikalink import PikaLink, connect
from roomline.brokers.publisherlink import PublisherLink
from roomline.brokers.rabbitmq_settings import RabbitMQSettings
from roomline.brokers.topology import requests_topology
from roomline.requests import (
    NODE_QUEUE_PREFIX,
    NODES_EXCHANGE,
    REQUESTS_EXCHANGE,
    Answer,
    Request,
    answer_of,
    request_properties,
)
from roomline.wire import Envelope, shorten

_logger = logging.getLogger(__name__)


class RabbitMQRequests:
    """See `roomline.broker.Requests`. One instance serves one event loop and is started once.

    Answers count if their publisher, as validated by RabbitMQ, is one of `publishers` or the
    gateway's own user.
    """

    def __init__(self, settings: RabbitMQSettings, publishers: frozenset[str]) -> None:
        """Reads the TLS files, if any; raises `InvalidSetting` if they cannot be used."""
        self._settings = settings
        self._tls = settings.tls_context()
        self._user = settings.address.user
        self._believed = publishers | {self._user}
        self._requests: dict[str, Request] = {}
        """By id: what is underway, for what its message says beside the envelope."""
        self._awaited = Awaited()
        self._reply_to = ""
        self._outgoing = Outgoing(
            max_unconfirmed=settings.max_unconfirmed,
            max_waiting=settings.max_waiting,
            timeout=settings.publish_timeout,
        )
        self._publishing: asyncio.Task[None] | None = None
        self.reconnects: dict[str, int] = {}

    async def start(self) -> None:
        """See `Requests.start`."""
        publisher = PublisherLink(
            self._outgoing,
            self._connect,
            self._send,
            max_backoff=self._settings.max_backoff,
            prepare=self._listen,
            lost=self._awaited.fail_all,
        )
        self._publishing = asyncio.create_task(publisher.run())
        try:
            await publisher.begun
        except BaseException:
            await self.close()
            raise

    def send(self, request: Request) -> asyncio.Future[Answer]:
        """See `Requests.send`."""
        self._requests[request.id] = request
        answered = self._awaited.add(request)
        answered.add_done_callback(lambda _: self._requests.pop(request.id, None))
        sent = self._outgoing.publish(request.envelope(self._user))
        sent.add_done_callback(partial(self._sent, request.id))
        return answered

    async def close(self) -> None:
        """See `Requests.close`."""
        self._outgoing.close("this node ends")
        await end(self._publishing)
        self._outgoing.connection_lost("this node ends")
        self._awaited.fail_all("this node ends")

    async def _connect(self) -> PikaLink:
        link = await connect(self._settings, self._tls, requests_topology(), "requests")
        count_connection(self.reconnects, "requests")
        return link

    def _send(self, channel: Channel, envelope: Envelope) -> bool:
        request = self._requests.get(envelope.message_id or "")
        if request is None:
            raise ValueError("nobody waits for this request any more")
        properties = request_properties(request, self._reply_to, self._user)
        return channel.publish(REQUESTS_EXCHANGE, envelope.room, envelope.body, properties)

    def _sent(self, id: str, sent: asyncio.Future[None]) -> None:
        error = sent.exception()
        if isinstance(error, BrokerError):
            self._awaited.fail(id, error)
        elif error is not None:
            raise error

    async def _listen(self, link: Link) -> list[asyncio.Future[Broken]]:
        """Wait for answers where nobody has waited before: those to what was sent over an earlier
        connection are not waited for any more."""
        self._reply_to = NODE_QUEUE_PREFIX + secrets.token_hex(8)
        channel = await link.channel()
        await channel.call("queue_declare", queue=self._reply_to, exclusive=True)
        await channel.call(
            "queue_bind",
            queue=self._reply_to,
            exchange=NODES_EXCHANGE,
            routing_key=self._reply_to,
        )
        await channel.listen(self._reply_to, self._take)
        return [channel.lost]

    def _take(self, properties: Mapping[str, Any], body: bytes) -> None:
        answer = answer_of(body, properties)
        publisher = properties.get("user_id")
        if publisher not in self._believed:
            _logger.warning("an answer from %s is not believed", shorten(publisher))
        elif answer is None:
            _logger.warning("what %s has sent is no answer", shorten(publisher))
        elif not self._awaited.answer(*answer):
            _logger.info("an answer came too late: nobody waits for it")

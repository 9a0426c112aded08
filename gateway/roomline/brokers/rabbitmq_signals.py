"""Signals over RabbitMQ: a fanout exchange, and one exclusive queue of each node.

One connection does both. While RabbitMQ is out of reach, or blocks it when it runs short of memory
or disk, signals are lost, as signals may be.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from roomline.broker import BrokerError, check_signal
from roomline.brokers.links import Backoff, Broken, Channel, end, first_of
from roomline.brokers.pikalink import connect
from roomline.brokers.rabbitmq_settings import RabbitMQSettings
from roomline.brokers.topology import SIGNALS_EXCHANGE, signals_topology
from roomline.requests import NODE_QUEUE_PREFIX

_MAX_QUEUED: Final = 1000
"""Signals that RabbitMQ keeps for a node that does not read; the oldest give way."""

_logger = logging.getLogger(__name__)


class RabbitMQSignals:
    """See `roomline.broker.Signals`. One instance serves one event loop and is started once."""

    def __init__(self, settings: RabbitMQSettings) -> None:
        """Reads the TLS files, if any; raises `InvalidSetting` if they cannot be used."""
        self._settings = settings
        self._tls = settings.tls_context()
        self._id = secrets.token_hex(8)
        self._channel: Channel | None = None
        self._backoff = Backoff(settings.max_backoff)
        self._running: asyncio.Task[None] | None = None

    async def start(self, take: Callable[[bytes], None]) -> None:
        """See `Signals.start`."""
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run(take, begun))
        try:
            await begun
        except BaseException:
            await self.close()
            raise

    def send(self, signal: bytes) -> None:
        """See `Signals.send`."""
        check_signal(signal)
        channel = self._channel
        if channel is None:
            return
        properties = {"app_id": self._id, "delivery_mode": 1}
        try:
            channel.publish(SIGNALS_EXCHANGE, "", signal, properties)
        except Exception:
            _logger.exception("a signal could not be sent for an unforeseen reason")

    async def close(self) -> None:
        """See `Signals.close`."""
        await end(self._running)

    async def _run(self, take: Callable[[bytes], None], begun: "asyncio.Future[None]") -> None:
        said = ""
        while True:
            try:
                await self._over_one_connection(take, begun)
            except Broken as broken:
                if broken.lasting and not begun.done():
                    begun.set_exception(BrokerError(str(broken)))
                    return
                if str(broken) != said:
                    said = str(broken)
                    _logger.warning("signals are not possible: %s", said)
            except Exception:
                _logger.exception("signals failed in an unforeseen way")
            if not begun.done():
                begun.set_result(None)
            await self._backoff.wait()

    async def _over_one_connection(
        self, take: Callable[[bytes], None], begun: "asyncio.Future[None]"
    ) -> None:
        link = await connect(self._settings, self._tls, signals_topology(), "signals")
        try:
            channel = await link.channel()
            await self._listen(channel, take)
            link.on_blocked(lambda _: self._use(None), lambda: self._use(channel))
            self._use(channel)
            self._backoff.reset()
            if not begun.done():
                begun.set_result(None)
            await first_of(channel.lost)
            raise channel.lost.result()
        finally:
            self._use(None)
            await link.close()

    async def _listen(self, channel: Channel, take: Callable[[bytes], None]) -> None:
        queue = NODE_QUEUE_PREFIX + secrets.token_hex(8)
        await channel.call(
            "queue_declare", queue=queue, exclusive=True, arguments={"x-max-length": _MAX_QUEUED}
        )
        await channel.call("queue_bind", queue=queue, exchange=SIGNALS_EXCHANGE, routing_key="")

        def on_message(properties: Mapping[str, Any], body: bytes) -> None:
            if properties.get("app_id") != self._id:
                take(body)

        await channel.listen(queue, on_message)

    def _use(self, channel: Channel | None) -> None:
        self._channel = channel

"""The connection over which `Outgoing` publishes, opened anew whenever it breaks."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from roomline.broker import BrokerError
from roomline.brokers.links import Backoff, Broken, Channel, Link, first_of
from roomline.brokers.outgoing import Outgoing
from roomline.brokers.topology import NOT_FOUND
from roomline.wire import Envelope

_logger = logging.getLogger(__name__)


async def _nothing_else(_: Link) -> list[asyncio.Future[Broken]]:
    return []


class PublisherLink:
    """Has `send` write what is outgoing, on an AMQP channel in confirm mode.

    `prepare` does what else a new connection is for; when one of the futures that it returns is
    done, the connection is not good any more. `lost` is told why each connection has ended.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        connect: Callable[[], Awaitable[Link]],
        send: Callable[[Channel, Envelope], bool],
        *,
        max_backoff: float,
        prepare: Callable[[Link], Awaitable[list[asyncio.Future[Broken]]]] = _nothing_else,
        lost: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the first attempt has ended: with a `BrokerError` if none can succeed."""
        self._outgoing = outgoing
        self._connect = connect
        self._send = send
        self._prepare = prepare
        self._lost = lost
        self._backoff = Backoff(max_backoff)

    async def run(self) -> None:
        """Publish until cancelled, or until `begun` says that it is no use."""
        said = ""
        while True:
            try:
                await self._over_one_connection()
            except Broken as broken:
                if broken.lasting and not self.begun.done():
                    self.begun.set_exception(BrokerError(str(broken)))
                    return
                if str(broken) != said:
                    said = str(broken)
                    _logger.warning("publishing is not possible: %s", said)
                self._end(str(broken))
            except Exception as error:
                _logger.exception("publishing failed in an unforeseen way")
                self._end(f"unforeseen: {error!r}")
            if not self.begun.done():
                self.begun.set_result(None)
            await self._backoff.wait()

    def _end(self, reason: str) -> None:
        self._outgoing.connection_lost(reason)
        # After the callbacks of what has ended by that: it knows better what became of it.
        asyncio.get_running_loop().call_soon(self._lost, reason)

    async def _over_one_connection(self) -> None:
        link = await self._connect()
        outgoing = self._outgoing
        try:
            link.on_blocked(
                lambda reason: outgoing.refuse(f"RabbitMQ takes no publications: {reason}"),
                outgoing.accept,
            )
            watched = await self._prepare(link)
            outgoing.accept()
            while True:
                channel = await link.channel()
                await channel.confirm(outgoing.confirmed, outgoing.returned)
                outgoing.channel_opened(lambda envelope, to=channel: self._send(to, envelope))  # type: ignore[misc]
                self._backoff.reset()
                if not self.begun.done():
                    self.begun.set_result(None)
                await first_of(channel.lost, *watched)
                for future in watched:
                    if future.done():
                        raise future.result()
                broken = channel.lost.result()
                if link.lost.done() or broken.code == NOT_FOUND:
                    raise broken  # with the exchange gone, the next connection declares it
                outgoing.channel_closed(broken.code, str(broken))
        finally:
            await link.close()

"""The proxy: takes requests from Tornado's router, and ends what is under way with the node."""

import asyncio
from collections import Counter

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.iostream import IOStream
from tornado.routing import Router
from tornado.tcpclient import TCPClient

from roomline.core.address import network_of
from roomline.proxy.exchange import Exchange
from roomline.proxy.headers import Refusal
from roomline.proxy.keeper import Keeper
from roomline.proxy.settings import ProxySettings

_BUFFER_BYTES = 1 << 20
"""What is read ahead from the upstream; the head of a response is much shorter."""
_MAX_CONNECT_SECONDS = 10.0


class Proxy(Router):
    """Hands every request to one upstream, and lets the keeper hold what that wants held. Make it
    while the event loop runs, and mount it under a rule of a Tornado application."""

    def __init__(self, keeper: Keeper, settings: ProxySettings) -> None:
        self.node = keeper.node
        self.settings = settings
        self.keeper = keeper
        self._client = TCPClient()
        self._exchanges: dict[Exchange, str] = {}
        self._addresses: Counter[str] = Counter()

    def find_handler(self, request: HTTPServerRequest, **kwargs: object) -> HTTPMessageDelegate:
        return Exchange(self, request)

    async def drain(self, seconds: float) -> None:
        """Let requests that are under way end, for at most so long."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while self._exchanges and clock() < deadline:  # noqa: ASYNC110 - once
            await asyncio.sleep(0.05)

    def close(self) -> None:
        """End everything now."""
        for exchange in list(self._exchanges):
            exchange.abandon("closed")
        self._client.close()

    # What exchanges call.

    def admit(self, exchange: Exchange, address: str) -> Refusal | None:
        """Let one more request of this address be under way, or say why not."""
        if len(self._exchanges) >= self.settings.requests:
            return Refusal(503, "Too many requests are under way. Try again.")
        network = network_of(address)
        if self._addresses[network] >= self.settings.requests_per_address:
            return Refusal(429, "Too many requests of this address are under way. Try again.")
        self._exchanges[exchange] = network
        self._addresses[network] += 1
        return None

    def over(self, exchange: Exchange, how: str) -> None:
        """An exchange has ended."""
        network = self._exchanges.pop(exchange, None)
        if network is not None:
            self._addresses[network] -= 1
            if not self._addresses[network]:
                del self._addresses[network]
        self.node.counters.upstream[how] += 1

    async def connect(self) -> IOStream:
        """A new connection to the upstream. Raises `OSError`, `TimeoutError` or
        `StreamClosedError`."""
        settings = self.settings
        stream = await self._client.connect(
            settings.host,
            settings.port,
            max_buffer_size=_BUFFER_BYTES,
            timeout=min(settings.timeout, _MAX_CONNECT_SECONDS),
        )
        stream.set_nodelay(True)
        return stream

"""When a node is cut off from the broker for long and another one is not: its clients are sent to
that one, and this one takes clients again when it can read."""

import asyncio
import logging
from typing import Final

from roomline.cluster import Cluster
from roomline.node import Node
from roomline.proxy import Keeper

_LOOK_SECONDS: Final = 0.25
_KNOWN_SECONDS: Final = 2.0
"""By then the other nodes, which ask every second, know that this one opens no sessions. Clients
that leave sooner could be sent back here."""

log = logging.getLogger(__name__)


class Elsewhere:
    """Watches one node. After `timeout` seconds in which it could not read and another node could,
    its clients leave, spread over `spread` seconds.

    Both count, and not only how long it could not read: when a broker has been away for everybody
    and comes back, one node reads first, and is not sent the clients of all others.
    """

    def __init__(
        self, node: Node, keeper: Keeper, cluster: Cluster, *, timeout: float, spread: float
    ) -> None:
        self._node = node
        self._keeper = keeper
        self._cluster = cluster
        self._timeout = timeout
        self._spread = spread
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch, until `stop`."""
        self._watching = asyncio.create_task(self._watch())

    def stop(self) -> None:
        """Watch no more; what is under way is somebody else's to end."""
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            await self._until_overdue()
            log.warning(
                "this node could not read for %g s, and another one can: clients are sent elsewhere"
                " within %g s",
                self._timeout,
                self._spread,
            )
            self._node.turn_away()
            await asyncio.sleep(_KNOWN_SECONDS)
            await asyncio.gather(
                self._node.send_elsewhere(self._spread), self._keeper.drain(self._spread)
            )
            while not self._node.readings.ready:  # noqa: ASYNC110 - for as long as a fault lasts
                await asyncio.sleep(_LOOK_SECONDS)
            self._node.take_again()
            self._keeper.hold_again()
            log.info("this node can read, and takes clients again")

    async def _until_overdue(self) -> None:
        clock = asyncio.get_running_loop().time
        began: float | None = None
        while began is None or clock() - began < self._timeout:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._node.readings.cut_off or not self._cluster.membership.another_ready:
                began = None
            elif began is None:
                began = clock()

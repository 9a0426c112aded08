"""Which nodes are there: they announce themselves by signals, and count once they have answered.

A node is removed when it says that it leaves, or when it does not answer to direct probes; never
because the broker is silent.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec
from tornado.iostream import IOStream, StreamClosedError

from roomline.cluster import announcement
from roomline.cluster.announcement import Announcement, State
from roomline.cluster.links import LinkError, lost_for_good
from roomline.cluster.ring import Candidate, Contender, candidates
from roomline.core import standing
from roomline.core.standing import Standing
from roomline.wire import shorten

PROBE_PATH: Final = "/probe"
NODE_HEADER: Final = "Roomline-Node"
"""On the answer to a probe: the id of the node that answers."""
STANDING_HEADER: Final = "Roomline-Standing"
"""On the same: how it stands towards new clients."""

_MAX_NODES: Final = 200
_ANNOUNCE_SECONDS: Final = 5.0
_PROBE_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 3.0
_ATTEMPTS: Final = 3
"""Probes in a row that are not answered until a node counts as dead. One whose process has ended
is found out at once: its connection ends, and the next one is refused."""
_RETRY_SECONDS: Final = 0.5
_MAX_IDLE: Final = 32
"""Connections to a node that are kept for the next request."""
_HEAD_BYTES: Final = 4096
_STANDING: Final = re.compile(rf"\r\n{STANDING_HEADER}: (.*)\r\n".encode())

log = logging.getLogger(__name__)

Connect = Callable[[Announcement], Awaitable[IOStream]]
"""Makes a connection to a node; raises one of `LinkError`."""


class Peer:
    """Another node, from its first announcement until it is removed."""

    def __init__(self, announced: Announcement) -> None:
        self.announced = announced
        self.answered = False
        """Whether it counts as a node: it has answered to a probe."""
        self.standing = Standing()
        """What it said then."""
        self.streams: set[IOStream] = set()
        """Over which requests are handed to it now; they end with it."""
        self.watching: asyncio.Task[None] | None = None
        self._idle: list[IOStream] = []

    def reuse(self) -> IOStream | None:
        """A connection to this node over which a request may be handed to it, if one is idle."""
        while self._idle:
            stream = self._idle.pop()
            stream.set_close_callback(None)
            if not stream.closed():
                return stream
        return None

    def keep(self, stream: IOStream) -> None:
        """A connection is idle: keep it, if there are not enough."""
        if stream.closed() or not self.answered or len(self._idle) >= _MAX_IDLE:
            stream.close()
            return
        self._idle.append(stream)
        stream.set_close_callback(partial(self._forget, stream))

    def close(self) -> None:
        """End all connections over which requests are handed to it."""
        for stream in [*self.streams, *self._idle]:
            stream.close()

    def _forget(self, stream: IOStream) -> None:
        if stream in self._idle:
            self._idle.remove(stream)

    @property
    def contender(self) -> Contender:
        return _contender(self.announced, self.standing)


class Membership:
    """What this node knows of the others. `send` gives signals to the broker, `connect` makes
    connections, `standing` says how this node stands; `changed` is told how many nodes there are,
    this one included, and `parting` the id of a node that drains or leaves."""

    def __init__(
        self,
        own: Announcement,
        key: bytes,
        *,
        send: Callable[[bytes], None],
        connect: Connect,
        standing: Callable[[], Standing],
        changed: Callable[[int], None],
        parting: Callable[[str], None],
    ) -> None:
        self.own = own
        self._key = key
        self._send = send
        self._connect = connect
        self._standing = standing
        self._changed = changed
        self._parting = parting
        self._peers: dict[str, Peer] = {}
        self._gone: dict[str, None] = {}
        """Ids of nodes that have left; late announcements of theirs do not bring them back."""
        self._timer: asyncio.TimerHandle | None = None
        self._full = self._doubted = False
        self._closed = False

    @property
    def others(self) -> list[Announcement]:
        """What the other nodes that are there have last said."""
        return [peer.announced for peer in self._peers.values() if peer.answered]

    @property
    def another_ready(self) -> bool:
        """Whether another node has just said that it should be sent clients."""
        return any(peer.answered and peer.standing.ready for peer in self._peers.values())

    def start(self) -> None:
        """Announce this node, now and from time to time: signals may get lost."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_ANNOUNCE_SECONDS, self.start)
        self._send(announcement.write(self.own, self._key))

    def say(self, state: State) -> None:
        """This node drains, or leaves."""
        self.own = msgspec.structs.replace(self.own, state=state)
        self._send(announcement.write(self.own, self._key))

    async def close(self) -> None:
        """Stop probing and announcing."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        watching = [peer.watching for peer in self._peers.values() if peer.watching]
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        for peer in self._peers.values():
            peer.answered = False
            peer.close()

    def __len__(self) -> int:
        """How many nodes there are, this one included."""
        return 1 + sum(peer.answered for peer in self._peers.values())

    def candidates(self, session_id: str) -> list[Candidate]:
        """The nodes to ask for a session, see `roomline.cluster.ring`."""
        own = _contender(self.own, self._standing())
        contenders = [peer.contender for peer in self._peers.values() if peer.answered]
        return candidates(session_id, [own, *contenders])

    def peer(self, id: str) -> Peer | None:
        """The node with this id, if it is there."""
        peer = self._peers.get(id)
        return peer if peer is not None and peer.answered else None

    def unreachable(self, peer: Peer, error: BaseException) -> None:
        """A connection to a node could not be made."""
        if lost_for_good(error):
            self._remove(peer, f"it cannot be reached: {error}")

    def take(self, signal: bytes) -> None:
        """A signal has come."""
        said = announcement.read(signal, self._key)
        if said is None:
            if not self._doubted:
                log.warning("a signal is not believed: it is not signed with this cluster's key")
            self._doubted = True  # once is enough: whoever sends it will go on to
            return
        if self._closed or said.id == self.own.id:
            return
        if said.state is State.LEFT:
            self._parting(said.id)
        if said.id in self._gone:
            return
        peer = self._peers.get(said.id)
        if said.state is State.LEFT:
            self._forget(said.id)
            if peer is not None:
                self._remove(peer, "it has left")
        elif peer is None:
            self._meet(said)
        elif said.later_than(peer.announced):
            peer.announced = said
            self._parting(said.id)

    def _meet(self, said: Announcement) -> None:
        if len(self._peers) >= _MAX_NODES:
            if not self._full:
                log.error("there are %d nodes, no more are known to each other", _MAX_NODES)
            self._full = True
            return
        peer = self._peers[said.id] = Peer(said)
        peer.watching = asyncio.create_task(self._watch(peer))
        # It has begun after this node did, or this node after it: tell it, too.
        self._send(announcement.write(self.own, self._key))

    def _forget(self, id: str) -> None:
        self._gone[id] = None
        if len(self._gone) > _MAX_NODES:
            del self._gone[next(iter(self._gone))]

    def _remove(self, peer: Peer, why: str) -> None:
        if self._peers.get(peer.announced.id) is not peer:
            return
        del self._peers[peer.announced.id]
        if peer.answered:
            log.info("node %s is not there any more: %s", shorten(peer.announced.name), why)
        peer.answered = False
        if peer.watching is not None:
            peer.watching.cancel()
        peer.close()
        self._changed(len(self))

    # Probes.

    async def _watch(self, peer: Peer) -> None:
        failures = 0
        while failures < _ATTEMPTS:
            try:
                stream = await self._connect(peer.announced)
                with contextlib.closing(stream):
                    ended = asyncio.Event()
                    while not ended.is_set():
                        peer.standing = await _probe(stream, peer.announced.id) or peer.standing
                        failures = 0
                        self._answered(peer)
                        stream.set_close_callback(ended.set)
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(ended.wait(), _PROBE_SECONDS)
            except LinkError as error:
                failures += 1
                peer.standing = msgspec.structs.replace(peer.standing, ready=False)
                if lost_for_good(error):
                    break
                await asyncio.sleep(_RETRY_SECONDS)
        self._remove(peer, "it does not answer to probes")

    def _answered(self, peer: Peer) -> None:
        if not peer.answered:
            peer.answered = True
            log.info("node %s is there", shorten(peer.announced.name))
            self._changed(len(self))


def _contender(said: Announcement, standing: Standing) -> Contender:
    opens = said.state is State.OPEN and standing.opens
    return Contender(said.id, max(said.since, standing.since), draining=not opens)


async def _probe(stream: IOStream, id: str) -> Standing | None:
    """How the node stands, if it says so. Raises one of `LinkError`; `ConnectionRefusedError` if
    another node answers."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await stream.write(f"GET {PROBE_PATH} HTTP/1.1\r\nHost: node\r\n\r\n".encode())
            head = await stream.read_until(b"\r\n\r\n", max_bytes=_HEAD_BYTES)
    except StreamClosedError:
        raise ConnectionResetError("the connection for probes has ended") from None
    if f"\r\n{NODE_HEADER}: {id}\r\n".encode() not in head:
        raise ConnectionRefusedError("another node answers there")
    said = _STANDING.search(head)
    return standing.read(said[1]) if said else None

"""The node: the only coordinator. It runs the effects of sessions and fans out the log.

A publication travels to the broker and comes back through the log before anybody sees it: the
node never short-cuts, so that every node shows the same order.
"""

import asyncio
import contextlib
import heapq
import itertools
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import msgspec

from roomline.broker import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    PublishRejected,
    PublishUnconfirmed,
)
from roomline.core import messages
from roomline.core import session as effects
from roomline.core.codec import ProtocolError, decode, encode
from roomline.core.codes import Disconnect, ErrorCode, Unsubscribed
from roomline.core.counters import Counters
from roomline.core.limits import Allowances, NodeLimits
from roomline.core.link import Link
from roomline.core.messages import Command
from roomline.core.outbox import Encoded, Outbox
from roomline.core.policy import Policy
from roomline.core.position import Position
from roomline.core.rooms import Page, Rooms
from roomline.core.session import Session
from roomline.wire import Envelope

log = logging.getLogger(__name__)

_TICK = 0.25
"""Seconds between two looks at deadlines. Tokens and time-outs need no finer clock."""


_READ_THE_LOG = messages.Connect | messages.Subscribe | messages.History
"""Commands whose answer depends on what has been read of the log."""
_NEED_THE_LOG = _READ_THE_LOG | messages.Refresh
"""Commands that a node refuses while it is cut off: a revocation might be waiting in the log."""


class LiveSession:
    """A session with its link and its outbox: what the transport knows as its `Peer`."""

    __slots__ = (
        "_node",
        "closed",
        "held",
        "link",
        "outbox",
        "sent",
        "session",
        "unconfirmed",
        "watched",
    )

    def __init__(self, node: "Node", link: Link, session: Session, outbox: Outbox) -> None:
        self._node = node
        self.link = link
        self.session = session
        self.outbox = outbox
        self.sent = 0
        """Messages without an id that were queued to this session."""
        self.unconfirmed = 0
        self.held = 0
        """Commands that wait for the node to read further."""
        self.watched = math.inf
        """When the node looks at this session's deadline next."""
        self.closed = False

    def receive(self, text: str) -> None:
        self._node.receive(self, text)

    def refuse(self, code: int, reason: str) -> None:
        self._node.refused(self, code, reason)

    def gone(self) -> None:
        self._node.gone(self)

    def push(self, message: Encoded) -> None:
        """Queue a message without an id. The path that every delivery takes."""
        self.sent += 1
        self.queue(message)

    def queue(self, message: Encoded) -> None:
        """Queue any message."""
        if not self.outbox.items:
            self._node.wants_flush(self)
        if not self.outbox.put(message):
            self._node.overflowed(self)


class _Held(NamedTuple):
    """A command that waits until the node has read far enough."""

    live: LiveSession
    command: Command
    deadline: float


class Node:
    """One gateway process between its transports and the broker.

    It is the transports' `Application` and the broker's `Listener`. `name` is shown to clients;
    `clock` gives seconds since the epoch; `publishers` are the broker users whose statements
    about sender and kind count, beside the broker's own.
    """

    def __init__(
        self,
        broker: Broker,
        policy: Policy,
        limits: NodeLimits,
        *,
        name: str,
        publishers: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.counters = Counters()
        self.sessions: set[LiveSession] = set()
        self.rooms = Rooms(
            policy.namespaces, publishers | {broker.publisher}, limits, broker.first_offset
        )
        self._broker = broker
        self._policy = policy
        self._limits = limits
        self._clock = clock
        self._new_rooms = Allowances(limits.new_rooms_per_minute / 60, limits.new_rooms_burst)
        self._caught_up = False
        self._cut_off_since: float | None = None
        self._draining = False
        self._flush_wanted: list[LiveSession] = []
        self._overflowed: set[LiveSession] = set()
        self._flush_scheduled = False
        self._held: list[_Held] = []
        self._awaited = math.inf
        """The lowest offset that a held command waits for."""
        self._deadlines: list[tuple[float, int, LiveSession]] = []
        self._tiebreak = itertools.count()
        self._left = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin to read the log from its oldest entry. Raises `BrokerError` if that can never
        work; clients are served once the log has been read."""
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_TICK, self._tick)
        await self._broker.start(self, "first")

    async def close(self) -> None:
        """Stop at once. Sessions are closed, unconfirmed publications get a bounded time."""
        for live in list(self.sessions):
            self._disconnect(live, Disconnect.DRAINING)
        if self._timer is not None:
            self._timer.cancel()
        await self._broker.close()

    async def drain(self, seconds: float) -> None:
        """Send every client elsewhere, spread over `seconds`; returns when they have left.

        Sessions are served as before until then. Whoever stays is closed at the end.
        """
        self._draining = True
        leaving = list(self.sessions)
        for place, live in enumerate(leaving):
            after = int(1000 * 0.8 * seconds * place / len(leaving))
            self._push(live, messages.Reconnect(after_ms=after))
        if self.sessions:
            self._left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), seconds)
        for live in list(self.sessions):
            self._disconnect(live, Disconnect.DRAINING)
        # One turn for the close frames to be written.
        await asyncio.sleep(0.05)

    @property
    def status(self) -> str:
        """``ready``, or why this node should not be sent clients now."""
        if self._draining:
            return "draining"
        if self._cut_off_since is not None:
            return "the log cannot be read"
        return "ready" if self._caught_up else "catching up with the log"

    @property
    def ready(self) -> bool:
        """Whether this node should be sent clients."""
        return self.status == "ready"

    # What the HTTP API asks.

    def publish(self, envelope: Envelope) -> asyncio.Future[None]:
        """Append to the log; ends like `Broker.publish`. Gives the envelope an id and a time if
        it has none."""
        future = self._broker.publish(
            envelope._replace(
                message_id=envelope.message_id or secrets.token_hex(16),
                time=envelope.time or int(self._clock() * 1000),
            )
        )
        future.add_done_callback(self._count_publish)
        return future

    def history(self, room: str, limit: int) -> tuple[str, list[str]]:
        """The node's position and the room's latest publications as texts; raises
        `ProtocolError` for a bad or unknown room."""
        self._policy.namespace(room)
        page = self._page(room, None, False, limit)
        return page.position, [item.message.text for item in page.publications]

    # What transports call (`Application` and, through `LiveSession`, `Peer`).

    def open(self, link: Link) -> LiveSession:
        """A new client."""
        now = self._clock()
        session = Session(
            secrets.token_urlsafe(12), secrets.token_hex(16), self._policy, self._limits, now
        )
        live = LiveSession(self, link, session, Outbox(self._limits.outbox_bytes))
        self.sessions.add(live)
        self.counters.sessions_opened[link.transport] += 1
        if self._draining:
            self._disconnect(live, Disconnect.DRAINING)
        else:
            self._watch(live)
        return live

    def receive(self, live: LiveSession, text: str) -> None:
        """One message of a client."""
        if live.closed:
            return
        now = self._clock()
        try:
            command = decode(text)
        except ProtocolError as error:
            self._run(live, live.session.refuse(error, now))
            return
        self.counters.commands[type(command).__name__.lower()] += 1
        if self._cut_off_long(now) and isinstance(command, _NEED_THE_LOG):
            reason = "this node cannot read the log now"
            self._fail(live, command.id, ErrorCode.UNAVAILABLE, reason)
        elif self._must_wait(live, command):
            self._hold(live, command, now)
        else:
            self._handle(live, command, now)

    def refused(self, live: LiveSession, code: int, reason: str) -> None:
        """The transport closes a client for what it sent."""
        self.counters.disconnects[code] += 1
        log.info("session %s is closed: %d %s", live.session.id, code, reason)

    def gone(self, live: LiveSession) -> None:
        """A client has left."""
        self._leave(live)
        self.sessions.discard(live)
        if not self.sessions:
            self._left.set()

    def wants_flush(self, live: LiveSession) -> None:
        """An outbox has its first message: it is written at the end of this turn of the loop,
        together with whatever else comes in it."""
        self._flush_wanted.append(live)
        self._schedule_flush()

    def overflowed(self, live: LiveSession) -> None:
        """An outbox is full. The client is disconnected at the end of this turn, because rooms
        must not change while one of them pushes."""
        self._overflowed.add(live)
        self._schedule_flush()

    # What the broker calls (`Listener`).

    def deliver(self, partition: int, offset: int, envelope: Envelope) -> None:
        self.counters.entries += 1
        room = self.rooms.append(partition, offset, envelope, self._clock())
        if room is None:
            self.counters.repeats += 1
        else:
            self.counters.pushes += len(room.subscribers)
        if offset >= self._awaited:
            self._schedule_flush()

    def caught_up(self) -> None:
        self._caught_up = True
        self._cut_off_since = None
        log.info("caught up with the log at %s", self.rooms.index.last)
        self._release_held()

    def cut_off(self, reason: str) -> None:
        if self._cut_off_since is None:
            self._cut_off_since = self._clock()
            self.counters.cut_offs += 1
        log.warning("the log cannot be read: %s", reason)

    def log_reset(self, reason: str) -> None:
        self.counters.log_resets += 1
        log.error("the log is another one now, subscriptions end: %s", reason)
        self._caught_up = False
        self.rooms.clear()
        for live in list(self.sessions):
            for room in list(live.session.subscriptions):
                self._run(live, live.session.end(room, Unsubscribed.LOG_RESET))

    # Commands that must wait.

    def _must_wait(self, live: LiveSession, command: Command) -> bool:
        if isinstance(command, messages.Ping):
            return False
        # Later commands wait behind a held one, so that a client's commands keep their order.
        return live.held > 0 or not self._readable_for(command)

    def _readable_for(self, command: Command) -> bool:
        """Whether the node has read as far as this command needs."""
        if not isinstance(command, _READ_THE_LOG):
            return True
        return self._caught_up and _awaited_offset(command) <= self.rooms.index.last.offset

    def _hold(self, live: LiveSession, command: Command, now: float) -> None:
        if live.held >= self._limits.held or len(self._held) >= self._limits.held_in_total:
            self._fail(live, command.id, ErrorCode.CATCHING_UP, "too many commands wait already")
            return
        live.held += 1
        self._held.append(_Held(live, command, now + self._limits.hold_timeout))
        self._awaited = min(self._awaited, _awaited_offset(command))

    def _release_held(self) -> None:
        """Handle the commands that can be handled now, or that have waited long enough."""
        now = self._clock()
        waiting, self._held = self._held, []
        self._awaited = math.inf
        blocked: set[LiveSession] = set()
        for held in waiting:
            live, command, deadline = held
            if live.closed:
                continue
            expired = now >= deadline
            if not expired and (live in blocked or not self._readable_for(command)):
                blocked.add(live)
                self._held.append(held)
                self._awaited = min(self._awaited, _awaited_offset(command))
                continue
            live.held -= 1
            if self._caught_up:
                # A position that is still ahead is in no log that this node can read; the
                # index says so.
                self._handle(live, command, now)
            else:
                self._fail(
                    live, command.id, ErrorCode.CATCHING_UP, "this node is still reading the log"
                )

    # Effects.

    def _handle(self, live: LiveSession, command: Command, now: float) -> None:
        self._run(live, live.session.handle(command, now))
        self._watch(live)

    def _run(self, live: LiveSession, todo: Iterable[effects.Effect]) -> None:
        for effect in todo:
            if live.closed:
                return
            match effect:
                case effects.Reply(message):
                    self._send(live, message)
                case effects.Attach():
                    self._attach(live, effect)
                case effects.Append():
                    self._append(live, effect)
                case effects.Detach(room):
                    self._detach(live, room)
                case effects.Welcome():
                    self._welcome(live, effect)
                case effects.Recall(id, room, limit):
                    position, texts = self.history(room, limit)
                    raw = [msgspec.Raw(text.encode()) for text in texts]
                    self._send(
                        live,
                        messages.HistoryReply(
                            id=id, room=room, position=position, publications=raw
                        ),
                    )
                case effects.Report(id):
                    position = str(self.rooms.index.last)
                    self._send(live, messages.Pong(id=id, sent=live.sent, position=position))
                case effects.Close(disconnect):
                    self._disconnect(live, disconnect)

    def _welcome(self, live: LiveSession, effect: effects.Welcome) -> None:
        position = str(self.rooms.index.last)
        automatic = []
        for name in effect.rooms:
            room = self.rooms.room(name)
            room.subscribers[live] = None
            automatic.append(messages.AutomaticRoom(room=name, position=position, head=room.head))
        namespaces = self._policy.namespaces.values()
        self._send(
            live,
            messages.Connected(
                id=effect.id,
                version=messages.PROTOCOL_VERSION,
                session=live.session.id,
                user=effect.user,
                node=self.name,
                limits=messages.Limits(
                    message_bytes=self._limits.message_bytes,
                    subscriptions=self._limits.subscriptions,
                    history=max((namespace.history for namespace in namespaces), default=0),
                ),
                expires_in=effect.expires_in,
                rooms=automatic,
            ),
        )

    def _attach(self, live: LiveSession, effect: effects.Attach) -> None:
        since = Position.parse(effect.since) if effect.since is not None else None
        malformed = effect.since is not None and since is None
        page = self._page(effect.room, since, malformed, effect.history)
        if not page.more:
            self.rooms.room(effect.room).subscribers[live] = None
        recovered = None
        if effect.since is not None:
            recovered = page.doubt is None
            outcome = "recovered" if page.doubt is None else page.doubt.code
            self.counters.recoveries[outcome] += 1
        self._send(
            live,
            messages.Subscribed(
                id=effect.id,
                room=effect.room,
                position=page.position,
                head=page.head,
                publications=[msgspec.Raw(p.message.text.encode()) for p in page.publications],
                recovered=recovered,
                reason=page.doubt.code if page.doubt else None,
                more=page.more,
            ),
        )

    def _append(self, live: LiveSession, effect: effects.Append) -> None:
        envelope = effect.envelope
        if envelope.room not in self.rooms and not self._new_rooms.take(
            effect.principal, self._clock()
        ):
            reason = f"too many new rooms: {self._limits.new_rooms_per_minute:g} a minute"
            self._fail(live, effect.id, ErrorCode.LIMIT_REACHED, reason)
            return
        if live.unconfirmed >= self._limits.unconfirmed:
            reason = f"at most {self._limits.unconfirmed} publications may wait for confirmation"
            self._fail(live, effect.id, ErrorCode.RATE_LIMITED, reason)
            return
        live.unconfirmed += 1
        future = self.publish(envelope)
        future.add_done_callback(partial(self._published, live, effect.id, envelope.room))

    def _published(
        self, live: LiveSession, id: int, room: str, future: asyncio.Future[None]
    ) -> None:
        live.unconfirmed -= 1
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or isinstance(error, BrokerUnavailable | PublishUnconfirmed):
            reason = "the broker has not confirmed it: try again with the same key"
            self._fail(live, id, ErrorCode.UNAVAILABLE, reason)
        elif isinstance(error, BrokerError):
            self._fail(live, id, ErrorCode.REJECTED, "the broker refuses this publication")
        elif error is not None:
            raise error
        else:
            self._send(live, messages.Published(id=id, room=room))

    def _count_publish(self, future: asyncio.Future[None]) -> None:
        error = None if future.cancelled() else future.exception()
        match error:
            case None:
                outcome = "unconfirmed" if future.cancelled() else "confirmed"
            case PublishRejected():
                outcome = "rejected"
            case BrokerUnavailable():
                outcome = "unavailable"
            case _:
                outcome = "unconfirmed"
        self.counters.publishes[outcome] += 1
        if error is not None:
            log.warning("a publication was not confirmed: %s", error)

    def _detach(self, live: LiveSession, room: str) -> None:
        if room in self.rooms:
            self.rooms.room(room).subscribers.pop(live, None)
            self.rooms.leave(room, self._clock())

    def _page(self, room: str, since: Position | None, malformed: bool, history: int) -> Page:
        # Half the outbox, so that a page and what comes meanwhile fit together.
        return self.rooms.page(room, since, malformed, history, self._limits.outbox_bytes // 2)

    # Sending and closing.

    def _send(self, live: LiveSession, message: messages.Message) -> None:
        if live.closed:
            return
        if isinstance(message, messages.Error):
            self.counters.errors[message.code] += 1
        encoded = Encoded(encode(message))
        if isinstance(message, messages.Push):
            live.push(encoded)
        else:
            live.queue(encoded)

    def _push(self, live: LiveSession, push: messages.Push) -> None:
        self._send(live, push)

    def _fail(self, live: LiveSession, id: int, code: ErrorCode, reason: str) -> None:
        self._send(
            live,
            messages.Error(id=id, code=code.code, reason=reason, temporary=code.temporary),
        )

    def _flush(self) -> None:
        self._flush_scheduled = False
        wanted, self._flush_wanted = self._flush_wanted, []
        for live in wanted:
            live.link.flush()
        overflowed, self._overflowed = self._overflowed, set()
        for live in overflowed:
            # What it has not read would be in its way: it comes back and recovers.
            live.outbox.take()
            self._disconnect(live, Disconnect.SLOW)
        if self._caught_up and self.rooms.index.last.offset >= self._awaited:
            self._release_held()

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _disconnect(self, live: LiveSession, disconnect: Disconnect) -> None:
        if live.closed:
            return
        self._leave(live)
        self.counters.disconnects[disconnect.code] += 1
        log.info("session %s is disconnected: %s", live.session.id, disconnect.reason)
        live.link.close(disconnect.code, disconnect.reason)

    def _leave(self, live: LiveSession) -> None:
        """Take a session out of all rooms; it gets nothing more."""
        if not live.closed:
            live.closed = True
            for room in live.session.subscriptions:
                self._detach(live, room)

    # Time.

    def _cut_off_long(self, now: float) -> bool:
        since = self._cut_off_since
        return since is not None and now - since > self._limits.unreadable_timeout

    def _watch(self, live: LiveSession) -> None:
        """Have `_tick` look at a session when its deadline comes."""
        deadline = live.session.deadline
        if deadline is None or deadline >= live.watched or live.closed:
            return
        live.watched = deadline
        heapq.heappush(self._deadlines, (deadline, next(self._tiebreak), live))
        if len(self._deadlines) > 2 * len(self.sessions) + 1000:
            # Sessions that have left would otherwise stay until their tokens expire.
            self._deadlines = [entry for entry in self._deadlines if not entry[2].closed]
            heapq.heapify(self._deadlines)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK, self._tick)
        now = self._clock()
        while self._deadlines and self._deadlines[0][0] <= now:
            live = heapq.heappop(self._deadlines)[2]
            live.watched = math.inf
            if not live.closed:
                self._run(live, live.session.tick(now))
                self._watch(live)
        if self._held:
            self._release_held()
        self.rooms.expire(now)


def _awaited_offset(command: Command) -> int:
    """The offset that must have been read before `command` can be answered; -1: any will do."""
    since = command.since if isinstance(command, messages.Subscribe) else None
    position = Position.parse(since) if since is not None else None
    return -1 if position is None else position.offset

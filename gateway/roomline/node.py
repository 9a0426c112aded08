"""The node: the only coordinator. It runs the effects of sessions and fans out the log.

A publication travels to the broker and comes back through the log before anybody sees it: the
node never short-cuts, so that every node shows the same order.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from msgspec import Raw

from roomline.broker import Broker, Log
from roomline.control import Control
from roomline.core import messages
from roomline.core import session as effects
from roomline.core.codec import ProtocolError, decode
from roomline.core.codes import Disconnect, ErrorCode, Unsubscribed
from roomline.core.counters import Counters
from roomline.core.deadlines import Deadlines
from roomline.core.history import Publication
from roomline.core.limits import NodeLimits
from roomline.core.link import Link
from roomline.core.messages import Command
from roomline.core.outbox import Outbox
from roomline.core.policy import Policy
from roomline.core.position import Position
from roomline.core.rooms import Page, Rooms
from roomline.core.session import Session
from roomline.live import Flusher, LiveSession
from roomline.publishing import Publishing
from roomline.reading import Reading
from roomline.waiting import WaitingCommands
from roomline.wire import Envelope

log = logging.getLogger(__name__)

_TICK = 0.25
"""Seconds between two looks at deadlines. Tokens and time-outs need no finer clock."""

_READ_THE_LOG = messages.Connect | messages.Subscribe | messages.History
"""Commands whose answer depends on what has been read of the log."""
_NEED_THE_LOG = _READ_THE_LOG | messages.Refresh
"""Commands that a node refuses while it is cut off: a revocation might be waiting in the log."""

_INTERNAL_ERROR = (1011, "internal error")
"""The close code of RFC 6455 for what is our fault."""
_CATCHING_UP = "this node is still reading the log"
_REVOCATIONS = "this node is still reading revocations"
_AHEAD = "this node has not read the log up to that position"
_UNREAD = "this client has not read what was sent to it"


class Node:
    """One gateway process between its transports and the broker.

    It is the transports' `Application` and the broker's `Listener`. `control` is the log of
    revocations, which become part of `policy`. `name` is shown to clients; `publishers` are the
    broker users whose statements about sender and kind, and whose revocations, count, beside
    the broker's own. `clock` gives seconds since the epoch, `timer` those of a clock that nobody
    sets.
    """

    def __init__(
        self,
        broker: Broker,
        policy: Policy,
        limits: NodeLimits,
        *,
        control: Log,
        name: str,
        publishers: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.counters = Counters()
        self.sessions: set[LiveSession] = set()
        publishers |= {broker.publisher}
        self.rooms = Rooms(policy.namespaces, publishers, limits, broker.first_offset)
        self._broker = broker
        self._control_log = control
        self._policy = policy
        self._limits = limits
        self._clock = clock
        self._timer = timer
        self._publishing = Publishing(broker, self.rooms, limits, self.counters, clock, timer)
        self._flusher = Flusher(self._disconnect_slow)
        self._waiting = WaitingCommands(limits)
        self._deadlines: Deadlines[LiveSession] = Deadlines()
        self._log = Reading(timer, limits.unreadable_timeout)
        self._revocations = Reading(timer, limits.unreadable_timeout)
        self.control = Control(
            policy.revocations,
            self._revocations,
            publishers,
            revoked=self._revoke,
            caught_up=self._release_waiting,
            clock=clock,
        )
        self._draining = False
        self._all_left = asyncio.Event()
        self._next_tick: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin to read the log and revocations from their oldest entries. Raises `BrokerError`
        if that can never work; clients are served once both have been read."""
        self._next_tick = asyncio.get_running_loop().call_later(_TICK, self._tick)
        results = await asyncio.gather(
            self._broker.start(self, "first"),
            self._control_log.start(self.control, "first"),
            return_exceptions=True,
        )
        for error in results:
            if error is not None:
                raise error

    async def drain(self, seconds: float) -> None:
        """Send every client elsewhere, spread over `seconds`; returns when they have left.

        Sessions are served as before until then. Whoever stays is closed at the end.
        """
        self._draining = True
        leaving = list(self.sessions)
        for place, live in enumerate(leaving):
            # The last fifth is for those who are told last to leave in.
            after = int(1000 * 0.8 * seconds * place / len(leaving))
            live.send(messages.Reconnect(after_ms=after))
        if self.sessions:
            self._all_left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_left.wait(), seconds)
        self._disconnect_all()

    async def close(self) -> None:
        """Stop at once. Sessions are closed, unconfirmed publications get a bounded time."""
        self._draining = True
        self._disconnect_all()
        if self._next_tick is not None:
            self._next_tick.cancel()
        await asyncio.gather(self._broker.close(), self._control_log.close())

    @property
    def status(self) -> str:
        """``ready``, or why this node should not be sent clients now."""
        if self._draining:
            return "draining"
        if self._log.cut_off:
            return "the log cannot be read"
        if self._revocations.cut_off:
            return "revocations cannot be read"
        if not self._log.caught_up:
            return "catching up with the log"
        return "ready" if self._revocations.caught_up else "catching up with revocations"

    @property
    def ready(self) -> bool:
        """Whether this node should be sent clients."""
        return self.status == "ready"

    # What the HTTP API asks.

    def publish(self, envelope: Envelope) -> asyncio.Future[None]:
        """Append to the log; ends like `Broker.publish`. Gives the envelope an id and a time if
        it has none."""
        return self._publishing.publish(envelope)

    def history(self, room: str, limit: int) -> tuple[str, list[str]]:
        """The node's position and the room's latest publications as texts; raises
        `ProtocolError` for a bad or unknown room."""
        self._policy.namespace(room)
        page = self._page(room, None, limit, Outbox(self._limits.outbox_bytes))
        return page.position, [item.message.text for item in page.publications]

    # What transports call: `Application`, and `Peer` through `LiveSession`.

    def open(self, link: Link) -> LiveSession:
        """A new client."""
        now = self._clock()
        session = Session(
            secrets.token_urlsafe(12), secrets.token_hex(16), self._policy, self._limits, now
        )
        live = LiveSession(self, self._flusher, link, session, Outbox(self._limits.outbox_bytes))
        self.sessions.add(live)
        self.counters.sessions_opened[link.transport] += 1
        if self._draining:
            self._disconnect(live, Disconnect.DRAINING)
        self._deadlines.watch(live)
        return live

    def receive(self, live: LiveSession, text: str) -> None:
        """One message of a client."""
        if live.closed or live.overflowed:
            return
        now = self._clock()
        try:
            command = decode(text)
        except ProtocolError as error:
            self._run(live, live.session.refuse(error, now))
            return
        self.counters.commands[type(command).__name__.lower()] += 1
        if refusal := live.session.admit(command, now):
            self._run(live, refusal)
            return
        # A ping asks how things stand now. All else keeps its order.
        queued = live in self._waiting and not isinstance(command, messages.Ping)
        if not queued and self._answer(live, command, False):
            return
        if not self._waiting.add(live, command, len(text), self._timer()):
            self._fail(live, command.id, ErrorCode.CATCHING_UP, "too many commands wait already")

    def refused(self, live: LiveSession, code: int, reason: str) -> None:
        """The transport closes a client for what it sent."""
        self.counters.disconnects[code] += 1
        log.info("session %s is closed: %d %s", live.session.id, code, reason)

    def gone(self, live: LiveSession) -> None:
        """A client has left."""
        self._leave(live)
        self.sessions.discard(live)
        if not self.sessions:
            self._all_left.set()

    # What the broker calls: `Listener`.

    def deliver(self, partition: int, offset: int, envelope: Envelope) -> None:
        """One log entry: to everybody in its room."""
        self.counters.entries += 1
        room = self.rooms.append(partition, offset, envelope, self._clock())
        if room is None:
            self.counters.repeats += 1
        else:
            self.counters.pushes += len(room.subscribers)

    def caught_up(self) -> None:
        """The log has been read."""
        self._log.reached()
        log.info("caught up with the log at %s", self.rooms.index.last)
        self._release_waiting()

    def cut_off(self, reason: str) -> None:
        """The log cannot be read for now."""
        if self._log.lost():
            self.counters.cut_offs += 1
        log.warning("the log cannot be read: %s", reason)

    def log_reset(self, reason: str) -> None:
        """The log is another one: nobody can be continued."""
        self.counters.log_resets += 1
        log.error("the log is another one now, subscriptions end: %s", reason)
        self._log.begun_anew()
        self.rooms.clear()
        for live in list(self.sessions):
            with self._sparing_others(live):
                for room in list(live.session.subscriptions):
                    self._run(live, live.session.end(room, Unsubscribed.LOG_RESET))

    # What `Control` tells.

    def _revoke(self, users: frozenset[str], rooms: Mapping[str, bool]) -> None:
        """End what these revocations end; the policy knows them by now."""
        now = self._clock()
        for live in list(self.sessions):
            session = live.session
            user = session.principal.user if session.principal else None
            if (user and user.id in users) or not rooms.keys().isdisjoint(session.subscriptions):
                with self._sparing_others(live):
                    self._run(live, session.revoke(rooms, now))

    # Commands and their effects.

    def _release_waiting(self) -> None:
        self._waiting.release(self._timer(), self._answer_waiting)

    def _answer_waiting(self, live: LiveSession, command: Command, overdue: bool) -> bool:
        with self._sparing_others(live):
            return self._answer(live, command, overdue)
        return True

    def _answer(self, live: LiveSession, command: Command, overdue: bool) -> bool:
        """Answer a command, unless it can be answered better soon and is not `overdue`."""
        cut_off = self._log.cut_off_long or self._revocations.cut_off_long
        if cut_off and isinstance(command, _NEED_THE_LOG):
            self._fail(live, command.id, ErrorCode.UNAVAILABLE, "this node cannot read the log now")
            return True
        obstacle = self._obstacle(live, command)
        if obstacle is None or (overdue and obstacle is _AHEAD and not self._log.cut_off):
            # A position that is still ahead of a node that reads is in no log, and the index
            # will say so.
            self._run(live, live.session.handle(command, self._clock()))
            self._deadlines.watch(live)
            return True
        if overdue:
            self._fail(live, command.id, ErrorCode.CATCHING_UP, obstacle)
        return overdue

    def _obstacle(self, live: LiveSession, command: Command) -> str | None:
        """Why a command cannot be answered now."""
        if isinstance(command, messages.Ping):
            return None
        if live.outbox.size > live.outbox.limit // 2:
            # Replies, pages above all, are for clients that read them.
            return _UNREAD
        if isinstance(command, _NEED_THE_LOG) and not self._revocations.caught_up:
            return _REVOCATIONS
        if not isinstance(command, _READ_THE_LOG):
            return None
        if not self._log.caught_up:
            return _CATCHING_UP
        since = command.since if isinstance(command, messages.Subscribe) else None
        position = Position.parse(since) if since is not None else None
        return _AHEAD if position is not None and self.rooms.index.ahead(position) else None

    @contextlib.contextmanager
    def _sparing_others(self, live: LiveSession) -> Iterator[None]:
        """A defect met by one session, in a loop over many, ends that session alone."""
        try:
            yield
        except Exception:
            log.exception("session %s has met a defect", live.session.id)
            self._leave(live)
            live.link.close(*_INTERNAL_ERROR)

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
                    self._publishing.append(live, effect, partial(self._send, live))
                case effects.Detach(room):
                    self._detach(live, room)
                case effects.Welcome():
                    self._welcome(live, effect)
                case effects.Recall():
                    self._recall(live, effect)
                case effects.Report(id):
                    position = str(self.rooms.index.last)
                    live.send(messages.Pong(id=id, sent=live.sent, position=position))
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
        live.send(
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
            )
        )

    def _attach(self, live: LiveSession, effect: effects.Attach) -> None:
        page = self._page(effect.room, effect.since, effect.history, live.outbox)
        if not page.more:
            self.rooms.room(effect.room).subscribers[live] = None
        reason = page.doubt.code if page.doubt else None
        if effect.since is not None:
            self.counters.recoveries[reason or "recovered"] += 1
        live.send(
            messages.Subscribed(
                id=effect.id,
                room=effect.room,
                position=page.position,
                head=page.head,
                publications=_raw(page.publications),
                recovered=None if effect.since is None else page.doubt is None,
                reason=reason,
                more=page.more,
            )
        )

    def _recall(self, live: LiveSession, effect: effects.Recall) -> None:
        page = self._page(effect.room, None, effect.limit, live.outbox)
        live.send(
            messages.HistoryReply(
                id=effect.id,
                room=effect.room,
                position=page.position,
                publications=_raw(page.publications),
            )
        )

    def _detach(self, live: LiveSession, room: str) -> None:
        if room in self.rooms:
            self.rooms.room(room).subscribers.pop(live, None)
            self.rooms.leave(room, self._clock())

    def _page(self, room: str, since: str | None, history: int, outbox: Outbox) -> Page:
        # Half of what is free, so that a page and what comes meanwhile fit together.
        return self.rooms.page(room, since, history, (outbox.limit - outbox.size) // 2)

    # Sending and closing.

    def _send(self, live: LiveSession, message: messages.Message) -> None:
        if isinstance(message, messages.Error):
            self.counters.errors[message.code] += 1
        live.send(message)

    def _fail(self, live: LiveSession, id: int, code: ErrorCode, reason: str) -> None:
        self._send(live, messages.error(id, code, reason))

    def _disconnect_slow(self, live: LiveSession) -> None:
        # What it has not read would be in its way: it comes back and recovers.
        live.outbox.take()
        self._disconnect(live, Disconnect.SLOW)

    def _disconnect_all(self) -> None:
        for live in list(self.sessions):
            self._disconnect(live, Disconnect.DRAINING)

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
            self._waiting.leave(live)
            for room in live.session.subscriptions:
                self._detach(live, room)

    # Time.

    def _tick(self) -> None:
        self._next_tick = asyncio.get_running_loop().call_later(_TICK, self._tick)
        now = self._clock()
        for live in self._deadlines.due(now):
            with self._sparing_others(live):
                self._run(live, live.session.tick(now))
                self._deadlines.watch(live)
        self._release_waiting()
        self.rooms.expire(now)
        self._policy.revocations.forget(now)


def _raw(publications: list[Publication]) -> list[Raw]:
    return [Raw(item.message.text.encode()) for item in publications]

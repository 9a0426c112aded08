"""The node: the only coordinator. It has the commands of sessions answered, and fans out the log.

A publication travels to the broker and comes back through the log before anybody sees it: the
node never short-cuts, so that every node shows the same order.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial

from roomline.asking import Asking
from roomline.broker import Broker, Log, Requests
from roomline.commands import Commands
from roomline.control import Control
from roomline.core import messages
from roomline.core.codec import ProtocolError, decode
from roomline.core.codes import Disconnect, ErrorCode, Unsubscribed
from roomline.core.counters import Counters
from roomline.core.deadlines import Deadlines
from roomline.core.incidents import Incidents
from roomline.core.limits import NodeLimits
from roomline.core.link import Link
from roomline.core.outbox import Outbox
from roomline.core.policy import Policy
from roomline.core.rooms import Rooms
from roomline.core.session import Effect, Session
from roomline.core.shares import Shares
from roomline.core.standing import Standing
from roomline.draining import Draining
from roomline.effects import Effects, about, room_of
from roomline.guests import Guests
from roomline.live import Flusher, LiveSession
from roomline.publishing import Publishing, outcome_of
from roomline.readings import READY, Readings
from roomline.waiting import WaitingCommands
from roomline.wire import Envelope, utf8_length

log = logging.getLogger(__name__)

_TICK = 0.25
"""Seconds between two looks at deadlines. Tokens and time-outs need no finer clock."""


class Node:
    """One gateway process between its transports and the broker.

    It is the transports' `Application` and the broker's `Listener`. `control` is the log of
    revocations, which become part of `policy`. `name` is shown to clients; without `requests` none
    are offered; `publishers` are the broker users whose statements about sender and kind, and
    whose revocations, count, beside the broker's own. `clock` gives seconds since the epoch,
    `timer` those of a clock that nobody sets.
    """

    def __init__(
        self,
        broker: Broker,
        policy: Policy,
        limits: NodeLimits,
        *,
        control: Log,
        name: str,
        requests: Requests | None = None,
        publishers: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.counters = Counters()
        self.incidents = Incidents()
        self.sessions: set[LiveSession] = set()
        self._publishers = publishers = publishers | {broker.publisher}
        self.rooms = Rooms(policy.namespaces, publishers, limits, broker.first_offset)
        self._broker = broker
        self._control_log = control
        self._policy = policy
        self._limits = limits
        self._clock = clock
        self._timer = timer
        self._shares = Shares(limits, timer())
        self._publishing = Publishing(
            broker, self.rooms, limits, self._shares, self.counters, clock, timer
        )
        self._asking = Asking(requests, limits, self.counters, clock)
        waiting = WaitingCommands(limits)
        self._effects = Effects(
            name,
            self.rooms,
            policy,
            limits,
            shares=self._shares,
            publishing=self._publishing,
            asking=self._asking,
            waiting=waiting,
            counters=self.counters,
            incidents=self.incidents,
            clock=clock,
        )
        self._flusher = Flusher(self._effects.disconnect_slow)
        self._deadlines: Deadlines[LiveSession] = Deadlines()
        self.readings = Readings(self.rooms, limits, timer)
        self._log = self.readings.log
        self._commands = Commands(
            self.readings, self._effects, waiting, self._deadlines, clock, timer
        )
        self.guests = Guests(self.rooms, policy, limits, self.readings.unreadable, clock)
        self.control = Control(
            policy.revocations,
            self.readings.revocations,
            publishers,
            revoked=self._revoke,
            caught_up=self._commands.release,
            clock=clock,
        )
        self._draining = Draining(self.sessions, self._effects.disconnect)
        self._opens_since = 0
        self._next_tick: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin to read the log and revocations from their oldest entries. Raises `BrokerError`
        if that can never work; clients are served once both have been read."""
        self._next_tick = asyncio.get_running_loop().call_later(_TICK, self._tick)
        results = await asyncio.gather(
            self._broker.start(self, "first"),
            self._control_log.start(self.control, "first"),
            self._asking.start(),
            return_exceptions=True,
        )
        for error in results:
            if error is not None:
                raise error

    async def drain(self, seconds: float) -> None:
        """Take no new clients, and send those that are here elsewhere: see `Draining.send`."""
        self._draining.for_good = True
        await self._draining.send(seconds)

    def turn_away(self) -> None:
        """Take no new clients until `take_again`, because this node cannot read."""
        self._draining.for_now = True

    async def send_elsewhere(self, seconds: float) -> None:
        """Send those that are here elsewhere: see `Draining.send`."""
        self.counters.sent_elsewhere += 1
        self.incidents.add(self._clock(), "sent_elsewhere")
        await self._draining.send(seconds)

    def take_again(self) -> None:
        """Take new clients again. There must be none from before."""
        self._opens_since = int(1000 * self._clock())
        self._draining.for_now = False

    async def close(self) -> None:
        """Stop at once. Sessions are closed, unconfirmed publications get a bounded time."""
        self._draining.close()
        if self._next_tick is not None:
            self._next_tick.cancel()
        await asyncio.gather(self._asking.close(), self._broker.close(), self._control_log.close())

    @property
    def status(self) -> str:
        """``ready``, or why this node should not be sent clients now."""
        if self._draining.for_good or (self._draining.for_now and self.readings.ready):
            return "draining"
        return self.readings.status

    @property
    def ready(self) -> bool:
        """Whether this node should be sent clients."""
        return self.status == READY

    @property
    def standing(self) -> Standing:
        """What other nodes are told of this one."""
        return Standing(self.ready, not self._draining.under_way, self._opens_since)

    # What the HTTP API asks.

    def publish(self, envelope: Envelope) -> asyncio.Future[None]:
        """Append to the log; ends like `Broker.publish`. Gives the envelope an id and a time if
        it has none."""
        future = self._publishing.publish(envelope)
        future.add_done_callback(partial(self._note_outcome, envelope.room))
        return future

    def _note_outcome(self, room: str, future: asyncio.Future[None]) -> None:
        if (outcome := outcome_of(future)) != "confirmed":
            self.incidents.add(self._clock(), outcome, room=room)

    def history(self, room: str, limit: int) -> tuple[str, list[str]]:
        """The node's position and the room's latest publications as texts; raises
        `ProtocolError` for a bad or unknown room."""
        self._policy.namespace(room)
        page = self.rooms.page(room, None, limit, self._limits.outbox_bytes // 2)
        return page.position, [item.message.text for item in page.publications]

    @property
    def position(self) -> str | None:
        """Where this node stands in the log; None until it has read it."""
        return str(self.rooms.index.last) if self._log.caught_up else None

    # What is measured.

    @property
    def unconfirmed(self) -> int:
        """Publications of which it is not known yet what has become."""
        return self._publishing.unconfirmed

    @property
    def reconnects(self) -> dict[str, int]:
        """How often each connection to the broker has been made again."""
        sources = (self._broker, self._control_log, self._asking)
        return {what: count for one in sources for what, count in one.reconnects.items()}

    # What the inspector asks.

    def find(self, session: str) -> LiveSession | None:
        """The session with this id, if it is here. It looks at every session."""
        return next((live for live in self.sessions if live.session.id == session), None)

    def remove(self, live: LiveSession) -> None:
        """Disconnect a client that is not to come back."""
        self._effects.disconnect(live, Disconnect.REMOVED)

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
        if self._draining.under_way:
            self._effects.disconnect(live, Disconnect.DRAINING)
        self._deadlines.watch(live)
        return live

    def receive(self, live: LiveSession, text: str) -> None:
        """One message of a client."""
        # A refusal must not come before the push that explains it.
        self.control.tell()
        if live.closed or live.overflowed:
            return
        now, size = self._clock(), utf8_length(text)
        try:
            command = decode(text)
        except ProtocolError as error:
            self._effects.run(live, live.session.refuse(error, now))
            return
        self.counters.commands[type(command).__name__.lower()] += 1
        if refusal := self._admit(live, command, size, now):
            self._effects.run(live, refusal, room_of(command))
            return
        self._commands.take(live, command, size)

    def _admit(
        self, live: LiveSession, command: messages.Command, size: int, now: float
    ) -> list[Effect]:
        """What a command meets that is one too many, for its session or for its address."""
        if refusal := live.session.admit(command, size, now):
            return refusal
        address, code = live.link.address, ErrorCode.RATE_LIMITED
        excess = self._shares.command(address, size, self._timer())
        if excess is None and isinstance(command, messages.Subscribe):
            if command.room in live.session.subscriptions or self._shares.may_subscribe(address):
                return []
            excess, code = "too many subscriptions", ErrorCode.LIMIT_REACHED
        if excess is None:
            return []
        reason = f"{excess} from this address, or at this node: later, or elsewhere"
        return live.session.refuse(ProtocolError(code, reason, command.id), now)

    def refused(self, live: LiveSession, code: int, reason: str) -> None:
        """The transport closes a client for what it sent."""
        self.counters.disconnects[code] += 1
        self.incidents.add(self._clock(), f"{code} {reason}", session=live.session.id)
        log.info("the session is closed: %d %s", code, reason, extra=about(live))

    def gone(self, live: LiveSession) -> None:
        """A client has left."""
        self._effects.leave(live)
        self.sessions.discard(live)
        self._draining.left()

    # What the broker calls: `Listener`.

    def deliver(self, partition: int, offset: int, envelope: Envelope) -> None:
        """One log entry: to everybody in its room."""
        self.counters.entries += 1
        room = self.rooms.append(partition, offset, envelope, self._clock())
        if room is None:
            self.counters.repeats += 1
        else:
            self.counters.pushes += len(room.subscribers)
            # What somebody types by hand as its time says nothing of us.
            trusted = envelope.publisher in self._publishers
            if trusted and envelope.time is not None and self._log.caught_up:
                # The clocks of publishers that are ahead of ours make it no shorter than nothing.
                lag = max(0.0, self._clock() - envelope.time / 1000)
                self.counters.delivery_lag.observe(lag)

    def caught_up(self) -> None:
        """The log has been read."""
        self._log.reached()
        log.info("caught up with the log at %s", self.rooms.index.last)
        self._commands.release()

    def cut_off(self, reason: str) -> None:
        """The log cannot be read for now."""
        if self._log.lost():
            self.counters.cut_offs += 1
            self.incidents.add(self._clock(), "cut_off")
        log.warning("the log cannot be read: %s", reason)

    def log_reset(self, reason: str) -> None:
        """The log is another one: nobody can be continued."""
        self.counters.log_resets += 1
        self.incidents.add(self._clock(), Unsubscribed.LOG_RESET.code)
        log.error("the log is another one now, subscriptions end: %s", reason)
        self._log.begun_anew()
        self.rooms.clear()
        for live in list(self.sessions):
            with self._effects.sparing_others(live):
                for room in list(live.session.subscriptions):
                    self._effects.run(live, live.session.end(room, Unsubscribed.LOG_RESET))
        self.guests.end_all(Unsubscribed.LOG_RESET)

    # What `Control` tells.

    def _revoke(self, users: frozenset[str], rooms: Mapping[str, bool]) -> None:
        """End what these revocations end; the policy knows them by now."""
        now = self._clock()
        for live in list(self.sessions):
            session = live.session
            user = session.principal.user if session.principal else None
            if (user and user.id in users) or not rooms.keys().isdisjoint(session.subscriptions):
                with self._effects.sparing_others(live):
                    self._effects.run(live, session.revoke(rooms, now))
        self.guests.revoke(users, rooms)

    # Time.

    def _tick(self) -> None:
        self._next_tick = asyncio.get_running_loop().call_later(_TICK, self._tick)
        now = self._clock()
        for live in self._deadlines.due(now):
            with self._effects.sparing_others(live):
                self._effects.run(live, live.session.tick(now))
                self._deadlines.watch(live)
        self._commands.release()
        self.rooms.expire(now)
        self._policy.revocations.forget(now)

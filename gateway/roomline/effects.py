"""Runs the effects of sessions: what a client is told, which rooms it is in, and how it ends."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from msgspec import Raw

from roomline.asking import Asking
from roomline.core import messages
from roomline.core import session as effects
from roomline.core.codes import Disconnect, ErrorCode
from roomline.core.counters import Counters
from roomline.core.history import Publication
from roomline.core.incidents import Incidents
from roomline.core.limits import NodeLimits
from roomline.core.messages import Command
from roomline.core.outbox import Outbox
from roomline.core.policy import Policy
from roomline.core.rooms import Page, Rooms
from roomline.core.shares import Shares
from roomline.live import LiveSession
from roomline.publishing import Publishing
from roomline.waiting import WaitingCommands

log = logging.getLogger(__name__)

_INTERNAL_ERROR = (1011, "internal error")
"""The close code of RFC 6455 for what is our fault."""


class Effects:
    """What the sessions of one node do to its rooms, its counters, and the way to the broker.

    `name` is the node's, `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        rooms: Rooms,
        policy: Policy,
        limits: NodeLimits,
        *,
        shares: Shares,
        publishing: Publishing,
        asking: Asking,
        waiting: WaitingCommands,
        counters: Counters,
        incidents: Incidents,
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._rooms = rooms
        self._policy = policy
        self._limits = limits
        self._shares = shares
        self._publishing = publishing
        self._asking = asking
        self._waiting = waiting
        self._counters = counters
        self._incidents = incidents
        self._clock = clock

    def run(
        self, live: LiveSession, todo: Iterable[effects.Effect], room: str | None = None
    ) -> None:
        """`room` is the one that the command was about, if it was about one."""
        for effect in todo:
            if live.closed:
                return
            match effect:
                case effects.Reply(message):
                    self._send(live, message, room)
                case effects.Attach():
                    self._attach(live, effect)
                case effects.Append():
                    answer = partial(self._send, live, room=effect.envelope.room)
                    self._publishing.append(live, effect, answer)
                case effects.Ask():
                    self._asking.ask(live, effect, partial(self.run, live))
                case effects.Detach(left):
                    self._detach(live, left)
                case effects.Welcome():
                    self._welcome(live, effect)
                case effects.Recall():
                    self._recall(live, effect)
                case effects.Report(id):
                    position = str(self._rooms.index.last)
                    live.send(messages.Pong(id=id, sent=live.sent, position=position))
                case effects.Close(disconnect):
                    self.disconnect(live, disconnect)
        if not live.closed:
            self._count_subscriptions(live, len(live.session.subscriptions))

    def fail(self, live: LiveSession, command: Command, code: ErrorCode, reason: str) -> None:
        """Answer a command with an error."""
        self._send(live, messages.error(command.id, code, reason), room_of(command))

    def disconnect(self, live: LiveSession, disconnect: Disconnect) -> None:
        """Close a session, after what waits in its outbox."""
        if live.closed:
            return
        self.leave(live)
        self._counters.disconnects[disconnect.code] += 1
        told = f"{disconnect.code} {disconnect.reason}"
        self._incidents.add(self._clock(), told, session=live.session.id)
        log.info("the session is disconnected: %s", disconnect.reason, extra=about(live))
        live.link.close(disconnect.code, disconnect.reason)

    def disconnect_slow(self, live: LiveSession) -> None:
        """Close a session that has not read what was sent to it."""
        # That would be in its way: it comes back and recovers.
        live.outbox.take()
        self.disconnect(live, Disconnect.SLOW)

    def leave(self, live: LiveSession) -> None:
        """Take a session out of all rooms; it gets nothing more."""
        if not live.closed:
            live.closed = True
            self._count_subscriptions(live, 0)
            self._waiting.leave(live)
            for room in live.session.subscriptions:
                self._detach(live, room)

    @contextlib.contextmanager
    def sparing_others(self, live: LiveSession) -> Iterator[None]:
        """A defect met by one session, in a loop over many, ends that session alone."""
        try:
            yield
        except Exception:
            log.exception("the session has met a defect", extra=about(live))
            self.leave(live)
            live.link.close(*_INTERNAL_ERROR)

    # Single effects.

    def _welcome(self, live: LiveSession, effect: effects.Welcome) -> None:
        if effect.transport is not None:
            self._counters.count_transports(effect.transport)
            live.report = effect.transport
        position = str(self._rooms.index.last)
        automatic = []
        for name in effect.rooms:
            room = self._rooms.room(name)
            room.subscribers[live] = None
            automatic.append(messages.AutomaticRoom(room=name, position=position, head=room.head))
        namespaces = self._policy.namespaces.values()
        live.send(
            messages.Connected(
                id=effect.id,
                version=messages.PROTOCOL_VERSION,
                session=live.session.id,
                user=effect.user,
                node=self._name,
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
            self._rooms.room(effect.room).subscribers[live] = None
        reason = page.doubt.code if page.doubt else None
        if effect.since is not None:
            outcome = reason or "recovered"
            self._counters.recoveries[outcome] += 1
            log.debug("the session comes back: %s", outcome, extra=about(live, effect.room))
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
        self._rooms.leave(room, live, self._clock())

    def _send(self, live: LiveSession, message: messages.Message, room: str | None = None) -> None:
        if isinstance(message, messages.Error):
            self._counters.errors[message.code] += 1
            self._incidents.add(self._clock(), message.code, room=room, session=live.session.id)
            # Not the reason, which may repeat what the client has sent.
            log.debug("a command is rejected: %s", message.code, extra=about(live))
        live.send(message)

    def _page(self, room: str, since: str | None, history: int, outbox: Outbox) -> Page:
        # Half of what is free, so that a page and what comes meanwhile fit together.
        return self._rooms.page(room, since, history, (outbox.limit - outbox.size) // 2)

    def _count_subscriptions(self, live: LiveSession, count: int) -> None:
        if more := count - live.subscriptions:
            live.subscriptions = count
            self._shares.subscribed(live.link.address, more)


def about(live: LiveSession, room: str | None = None) -> dict[str, str | None]:
    """The fields of a log record about a session, and a room."""
    return {"session": live.session.id, "room": room}


def room_of(command: Command) -> str | None:
    """The room that a command is about, if it is about one."""
    return getattr(command, "room", None)


def _raw(publications: list[Publication]) -> list[Raw]:
    return [Raw(item.message.text.encode()) for item in publications]

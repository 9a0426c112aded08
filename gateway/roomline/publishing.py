"""Publishing for clients: what they may have on its way, and what they are told became of it."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from functools import partial

from roomline.broker import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    PublishRejected,
    PublishUnconfirmed,
)
from roomline.core import messages
from roomline.core.address import network_of
from roomline.core.codes import ErrorCode
from roomline.core.counters import Counters
from roomline.core.limits import Allowances, NodeLimits
from roomline.core.rooms import Rooms
from roomline.core.session import Append
from roomline.core.shares import Shares
from roomline.live import LiveSession
from roomline.wire import Envelope

log = logging.getLogger(__name__)

Answer = Callable[[messages.Message], None]
"""Sends a client one message."""


class Publishing:
    """The way of all publications of one node to the broker.

    `clock` gives seconds since the epoch, `timer` those of a clock that nobody sets.
    """

    def __init__(
        self,
        broker: Broker,
        rooms: Rooms,
        limits: NodeLimits,
        shares: Shares,
        counters: Counters,
        clock: Callable[[], float],
        timer: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._rooms = rooms
        self._limits = limits
        self._shares = shares
        self._counters = counters
        self._clock = clock
        self._timer = timer
        self._new_rooms = Allowances(limits.new_rooms_per_minute / 60, limits.new_rooms_burst)
        self._rooms_underway: set[str] = set()
        self.unconfirmed = 0
        """Publications of which it is not known yet what has become."""

    def publish(self, envelope: Envelope) -> asyncio.Future[None]:
        """Append to the log; ends like `Broker.publish`. Gives the envelope an id and a time if
        it has none."""
        self.unconfirmed += 1
        future = self._broker.publish(
            envelope._replace(
                message_id=envelope.message_id or secrets.token_hex(16),
                time=envelope.time or int(self._clock() * 1000),
            )
        )
        future.add_done_callback(partial(self._count, envelope.room))
        return future

    def append(self, live: LiveSession, effect: Append, answer: Answer) -> None:
        """Publish for a client, which is told the outcome: ``published`` or an error."""
        room, now = effect.envelope.room, self._timer()
        beginner = self._beginner(live, room)
        if live.unconfirmed >= self._limits.unconfirmed:
            reason = f"at most {self._limits.unconfirmed} publications may wait for confirmation"
            answer(messages.error(effect.id, ErrorCode.RATE_LIMITED, reason))
        elif beginner is not None and not self._new_rooms.has(beginner, now):
            reason = f"at most {self._limits.new_rooms_per_minute:g} new rooms a minute"
            answer(messages.error(effect.id, ErrorCode.RATE_LIMITED, reason))
        elif excess := self._shares.publication(live.link.address, now):
            reason = f"{excess} from this address, or at this node: later, or elsewhere"
            answer(messages.error(effect.id, ErrorCode.RATE_LIMITED, reason))
        else:
            if beginner is not None:
                self._new_rooms.take(beginner, now)
                self._rooms_underway.add(room)
            live.unconfirmed += 1
            future = self.publish(effect.envelope)
            future.add_done_callback(partial(self._published, live, effect.id, room, answer))

    def _beginner(self, live: LiveSession, room: str) -> str | None:
        """Whose allowance of new rooms a publication takes; None: the room is not a new one."""
        if self._rooms.in_log(room) or room in self._rooms_underway:
            return None
        principal = live.session.principal
        if principal is not None and principal.user is not None:
            return principal.id
        # Anonymous clients call themselves what they like; addresses are harder to come by.
        return network_of(live.link.address)

    def _published(
        self, live: LiveSession, id: int, room: str, answer: Answer, future: asyncio.Future[None]
    ) -> None:
        live.unconfirmed -= 1
        self._rooms_underway.discard(room)
        match outcome_of(future):
            case "confirmed":
                answer(messages.Published(id=id, room=room))
            case "rejected":
                reason = "the broker refuses this publication"
                answer(messages.error(id, ErrorCode.REJECTED, reason))
            case _:
                reason = "the broker has not confirmed it: try again with the same key"
                answer(messages.error(id, ErrorCode.UNAVAILABLE, reason))

    def _count(self, room: str, future: asyncio.Future[None]) -> None:
        self.unconfirmed -= 1
        outcome = outcome_of(future)
        self._counters.publishes[outcome] += 1
        if outcome == "rejected":
            log.warning("a publication was refused: %s", future.exception(), extra={"room": room})


def outcome_of(future: asyncio.Future[None]) -> str:
    """What became of a publish: ``confirmed``, ``rejected``, ``unavailable``, ``unconfirmed``."""
    if future.cancelled():
        return "unconfirmed"
    match future.exception():
        case None:
            return "confirmed"
        case PublishRejected():
            return "rejected"
        case BrokerUnavailable():
            return "unavailable"
        case PublishUnconfirmed():
            return "unconfirmed"
        case BrokerError() as error:
            raise AssertionError(f"no kind of publish error: {error!r}")
        case error:
            raise error

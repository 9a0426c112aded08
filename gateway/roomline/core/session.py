"""The state machine of one client: (state, command, now) -> effects.

::

    new --connect--> connected --(disconnect effect, or the client leaves)--> gone

A session knows who it acts for, which rooms it is subscribed to, and what it may still ask. It
does nothing itself: it answers with effects, which the node runs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from roomline.core import messages
from roomline.core.codec import ProtocolError
from roomline.core.codes import Disconnect, ErrorCode, Unsubscribed
from roomline.core.limits import NodeLimits, TokenBucket
from roomline.core.messages import Command
from roomline.core.policy import Access, Policy, Principal
from roomline.requests import DEFAULT_TIMEOUT
from roomline.wire import (
    DataTooLarge,
    Envelope,
    InvalidData,
    Sender,
    body_of,
    message_id_of,
    shorten,
)

_MALFORMED_PER_SECOND = 1
_MALFORMED_BURST = 20
_MODERATION_TIMEOUT = 8
"""Seconds: less than clients wait for the reply to ``publish`` before they try again."""
_FLOOD_FACTOR = 5
"""Refused commands may come at this many times the accepted rate before it is a flood."""


class Reply(NamedTuple):
    """Send this message."""

    message: messages.Message


class Welcome(NamedTuple):
    """Make the automatic rooms live and reply ``connected``."""

    id: int
    user: messages.User | None
    expires_in: int | None
    rooms: list[str]
    transport: messages.TransportReport | None = None


class Attach(NamedTuple):
    """Reply ``subscribed`` with the first page, and make the room live after the last one."""

    id: int
    room: str
    since: str | None
    history: int


class Detach(NamedTuple):
    """The room is live no more."""

    room: str


class Append(NamedTuple):
    """Publish, and reply ``published`` when the broker has confirmed."""

    id: int
    envelope: Envelope


class Ask(NamedTuple):
    """Let a handler answer, which `roomline.core.answers` makes a reply of; or, before a
    publication, let it pass, change or refuse that. `timeout` is in seconds."""

    id: int
    name: str
    body: bytes
    sender: Sender | None
    timeout: float
    publication: Envelope | None = None


class Recall(NamedTuple):
    """Reply ``history``."""

    id: int
    room: str
    limit: int


class Report(NamedTuple):
    """Reply ``pong``."""

    id: int


class Close(NamedTuple):
    """Disconnect the client."""

    disconnect: Disconnect


Effect = Reply | Welcome | Attach | Detach | Append | Ask | Recall | Report | Close


class Session:
    """One client. `id` is what others may see of it; `client` its principal when anonymous and
    the client names none itself. Times are in seconds since the epoch."""

    def __init__(
        self, id: str, client: str, policy: Policy, limits: NodeLimits, now: float
    ) -> None:
        self.id = id
        self.principal: Principal | None = None
        self.subscriptions: dict[str, Access] = {}
        self._client = client
        self._policy = policy
        self._limits = limits
        self._connect_by = now + limits.connect_timeout
        self._commands = TokenBucket(limits.commands_per_second, limits.commands_burst, now)
        self._publications = TokenBucket(
            limits.publications_per_second, limits.publications_burst, now
        )
        self._bytes = TokenBucket(limits.bytes_per_second, limits.bytes_burst, now)
        self._malformed = TokenBucket(_MALFORMED_PER_SECOND, _MALFORMED_BURST, now)
        self._refused = TokenBucket(
            _FLOOD_FACTOR * limits.commands_per_second, _FLOOD_FACTOR * limits.commands_burst, now
        )

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called next, in seconds since the epoch."""
        if self.principal is None:
            return self._connect_by
        times = [access.expires for access in self.subscriptions.values()]
        return min(
            (time for time in (self.principal.expires, *times) if time is not None), default=None
        )

    def tick(self, now: float) -> list[Effect]:
        """What time brings: a connect that never came, tokens that expire."""
        if self.principal is None:
            return [Close(Disconnect.CONNECT_TIMEOUT)] if now >= self._connect_by else []
        if self.principal.expires is not None and now >= self.principal.expires:
            return [Close(Disconnect.TOKEN_EXPIRED)]
        expired = [
            room
            for room, access in self.subscriptions.items()
            if access.expires is not None and now >= access.expires
        ]
        return [effect for room in expired for effect in self.end(room, Unsubscribed.TOKEN_EXPIRED)]

    def admit(self, command: Command, size: int, now: float) -> list[Effect]:
        """Count a command of so many bytes as it arrives. Nothing to do: it may be handled,
        now or later."""
        if not self._bytes.take(now, size):
            reason = f"at most {self._limits.bytes_per_second:g} bytes a second"
        elif not self._commands.take(now):
            reason = f"at most {self._limits.commands_per_second:g} commands a second"
        else:
            return []
        return self.refuse(ProtocolError(ErrorCode.RATE_LIMITED, reason, command.id), now)

    def handle(self, command: Command, now: float) -> list[Effect]:
        """Carry out a command that was admitted."""
        try:
            if self.principal is None and not isinstance(command, messages.Connect):
                raise ProtocolError(ErrorCode.NOT_CONNECTED, "the first command must be connect")
            return _HANDLERS[type(command)](self, command, now)
        except ProtocolError as error:
            error.id = command.id
            return self.refuse(error, now)

    def refuse(self, error: ProtocolError, now: float) -> list[Effect]:
        """Answer a command that could not be read or carried out; repeated abuse disconnects."""
        if error.code in _MALFORMED_CODES and not self._malformed.take(now):
            return [Close(Disconnect.BAD_PROTOCOL)]
        if error.code is ErrorCode.RATE_LIMITED and not self._refused.take(now):
            return [Close(Disconnect.FLOOD)]
        return [Reply(messages.error(error.id, error.code, error.reason))]

    def end(self, room: str, code: Unsubscribed) -> list[Effect]:
        """End a subscription and tell the client why."""
        del self.subscriptions[room]
        push = messages.UnsubscribedPush(room=room, code=code.code, reason=code.meaning)
        return [Detach(room), Reply(push)]

    def revoke(self, rooms: Mapping[str, bool], now: float) -> list[Effect]:
        """What revocations bring that the policy knows by now: of the user, or of `rooms`, each
        with whether it was closed. Automatic rooms stay."""
        if self.principal is None:
            return []
        if self._policy.revoked(self.principal):
            return [Close(Disconnect.REVOKED)]
        effects: list[Effect] = []
        automatic = self._policy.automatic_rooms(self.principal)
        for room, access in list(self.subscriptions.items()):
            closed = rooms.get(room, False)
            if room in automatic:
                continue
            if closed and not self._policy.needs_token(room):
                effects += self.end(room, Unsubscribed.ROOM_CLOSED)
            elif not self._policy.still_reads(self.principal, room, access, now):
                code = Unsubscribed.ROOM_CLOSED if closed else Unsubscribed.RIGHTS_CHANGED
                effects += self.end(room, code)
        return effects

    def _connect(self, command: messages.Connect, now: float) -> list[Effect]:
        if self.principal is not None:
            raise ProtocolError(ErrorCode.ALREADY_CONNECTED, "this session has connected before")
        if command.version != messages.PROTOCOL_VERSION:
            raise ProtocolError(
                ErrorCode.BAD_VERSION,
                f"version is {shorten(command.version)}, accepted is {messages.PROTOCOL_VERSION}",
            )
        principal = self._policy.authenticate(command.token, command.client or self._client, now)
        self.principal = principal
        rooms = self._policy.automatic_rooms(principal)
        self.subscriptions.update(dict.fromkeys(rooms, Access()))
        expires_in = _expires_in(principal, now)
        return [Welcome(command.id, principal.user, expires_in, rooms, command.transport)]

    def _subscribe(self, command: messages.Subscribe, now: float) -> list[Effect]:
        access = self._policy.check_read(self._who, command.room, command.token, now)
        effects: list[Effect] = []
        if command.room in self.subscriptions:
            effects.append(Detach(command.room))
        elif len(self.subscriptions) >= self._limits.subscriptions:
            raise ProtocolError(
                ErrorCode.LIMIT_REACHED, f"at most {self._limits.subscriptions} subscriptions"
            )
        self.subscriptions[command.room] = access
        effects.append(Attach(command.id, command.room, command.since, command.history or 0))
        return effects

    def _unsubscribe(self, command: messages.Unsubscribe, now: float) -> list[Effect]:
        self._policy.namespace(command.room)
        if self.subscriptions.pop(command.room, None) is None:
            raise ProtocolError(
                ErrorCode.NOT_SUBSCRIBED, f"this session is not subscribed to {command.room!r}"
            )
        reply = messages.UnsubscribedReply(id=command.id, room=command.room)
        return [Detach(command.room), Reply(reply)]

    def _publish(self, command: messages.Publish, now: float) -> list[Effect]:
        who = self._who
        self._policy.check_write(who, command.room, self.subscriptions.get(command.room), now)
        if not self._publications.take(now):
            raise ProtocolError(
                ErrorCode.RATE_LIMITED,
                f"at most {self._limits.publications_per_second:g} publications a second",
            )
        key = command.key
        envelope = Envelope(
            room=command.room,
            body=_body(command.data),
            message_id=message_id_of(who.id, command.room, key) if key else None,
            time=int(now * 1000),
            sender=_sender(who),
            key=key,
        )
        moderator = self._policy.namespace(command.room).moderate
        if moderator is None:
            return [Append(command.id, envelope)]
        asked = _body({"room": command.room, "data": command.data, "key": key})
        return [
            Ask(command.id, moderator, asked, envelope.sender, _MODERATION_TIMEOUT, envelope),
        ]

    def accepted(self, id: int, envelope: Envelope, now: float) -> list[Effect]:
        """What a moderator has let pass is published, if the client still may."""
        room = envelope.room
        try:
            self._policy.check_write(self._who, room, self.subscriptions.get(room), now)
        except ProtocolError as error:
            error.id = id
            return self.refuse(error, now)
        return [Append(id, envelope)]

    def _request(self, command: messages.Request, now: float) -> list[Effect]:
        timeout = command.timeout or DEFAULT_TIMEOUT
        body = _body(command.data)
        return [Ask(command.id, command.name, body, _sender(self._who), timeout)]

    def _history(self, command: messages.History, now: float) -> list[Effect]:
        if command.room not in self.subscriptions:
            self._policy.check_read(self._who, command.room, None, now)
        return [Recall(command.id, command.room, command.limit)]

    def _refresh(self, command: messages.Refresh, now: float) -> list[Effect]:
        old = self._who
        new = self._policy.authenticate(command.token, self._client, now)
        if new.id != old.id:
            raise ProtocolError(
                ErrorCode.TOKEN_INVALID, "the token is for another user than this session's"
            )
        self.principal = new
        effects: list[Effect] = []
        for room, access in list(self.subscriptions.items()):
            if not self._policy.still_reads(new, room, access, now):
                effects += self.end(room, Unsubscribed.FORBIDDEN)
        reply = messages.Refreshed(id=command.id, expires_in=_expires_in(new, now))
        return [*effects, Reply(reply)]

    def _presence(self, command: messages.Presence, now: float) -> list[Effect]:
        raise ProtocolError(ErrorCode.UNSUPPORTED, "presence is not offered by this gateway")

    def _ping(self, command: messages.Ping, now: float) -> list[Effect]:
        return [Report(command.id)]

    @property
    def _who(self) -> Principal:
        if self.principal is None:
            raise AssertionError("handle lets only connect through before there is a principal")
        return self.principal


_MALFORMED_CODES = {ErrorCode.BAD_REQUEST, ErrorCode.UNKNOWN_COMMAND}

_HANDLERS: dict[type[Command], Callable[[Session, Any, float], list[Effect]]] = {
    messages.Connect: Session._connect,
    messages.Subscribe: Session._subscribe,
    messages.Publish: Session._publish,
    messages.Unsubscribe: Session._unsubscribe,
    messages.Presence: Session._presence,
    messages.History: Session._history,
    messages.Refresh: Session._refresh,
    messages.Request: Session._request,
    messages.Ping: Session._ping,
}


def _body(data: Any) -> bytes:
    try:
        return body_of(data)
    except DataTooLarge as error:
        raise ProtocolError(ErrorCode.TOO_LARGE, str(error)) from None
    except InvalidData as error:
        raise ProtocolError(ErrorCode.BAD_REQUEST, str(error)) from None


def _sender(who: Principal) -> Sender | None:
    return Sender(who.user.id, who.user.name) if who.user else None


def _expires_in(principal: Principal, now: float) -> int | None:
    return None if principal.expires is None else max(0, int(principal.expires - now))

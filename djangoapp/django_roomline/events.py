"""Events: signals of Django and of the project, published as sentences to rooms that it chose.

``ROOMLINE["EVENTS"]`` says where each goes; `register_event` adds one. Telling of an event never
breaks or holds up what has caused it: what fails is logged and counted in `dropped`. It is for
people who watch; what must not be lost takes the transactional outbox, as ``ROOMLINE["OUTBOX"]``
says for events as for everything else.
"""

import contextlib
import logging
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Final

from django.conf import settings as django_settings
from django.db import transaction
from django.dispatch import Signal
from django.utils import translation
from roomline.wire import Kind, check_room, shorten

from django_roomline import conf
from django_roomline.conf_values import EVENT_NAME
from django_roomline.exceptions import PublishError, PublishRejected, PublishReturned
from django_roomline.publishing import Publisher, current_publisher, publish

MAX_TEXT: Final = 1000
"""Characters of an event's sentence."""
REST_SECONDS: Final = 10.0
"""How long no event is tried after the broker has failed one: nobody waits for it again."""
WINDOW_SECONDS: Final = 60.0

dropped: Counter[str] = Counter()
"""How often this process could not publish an event of each name: broker away, or an error."""

_logger = logging.getLogger("django_roomline")

Publication = tuple[str, dict[str, Any]]


class Limit:
    """At most `count` within any minute, in this process. Without a lock: threads may add one."""

    def __init__(self, count: int) -> None:
        self._told: deque[float] = deque(maxlen=count)
        self._suppressed = 0

    def allow(self, now: float) -> bool:
        """Whether one more may be told of at `now` (seconds, monotonic); notes it."""
        if len(self._told) == self._told.maxlen and now - self._told[0] < WINDOW_SECONDS:
            self._suppressed += 1
            return False
        self._told.append(now)
        return True

    def take_suppressed(self) -> int:
        """How many were not allowed since this was asked last."""
        count, self._suppressed = self._suppressed, 0
        return count


@dataclass(frozen=True)
class Event:
    """One sort of event. `text` and `data` are called with the arguments of its signal."""

    name: str
    text: Callable[..., str | None]
    data: Callable[..., Mapping[str, Any]] | None
    room: str | None
    kind: Kind = "system"
    limit: Limit | None = None

    def rooms(self) -> Sequence[str]:
        """Where it is published: what the project says, else its own room, if it has one."""
        return conf.current().events.get(self.name, () if self.room is None else (self.room,))


_sources: dict[str, tuple[Signal, Any]] = {}
"""The signal and sender of each event that is registered."""


def register_event(
    name: str,
    signal: Signal,
    text: Callable[..., str | None],
    *,
    data: Callable[..., Mapping[str, Any]] | None = None,
    room: str | None = None,
    sender: Any = None,
    kind: Kind = "system",
    per_minute: int | None = None,
) -> Event:
    """Publish an event whenever a signal is sent: for ``AppConfig.ready``.

    `text` makes the sentence that people read, `data` what programs read beside it, as a dict of
    JSON; both are called with the arguments of the signal, in the language of ``LANGUAGE_CODE``.
    A text of None is no event. `room` is where it goes unless ``ROOMLINE["EVENTS"]`` says
    something else; None: nowhere. `sender` is the signal's. `per_minute` bounds how many of them
    one process publishes in a minute; the next one then says how many were ``suppressed``.

    The publication's data are ``{"event": name, "text": ..., **data}``. Raises `ValueError` for a
    name that is not lower-case words joined by ``_`` or is one of another signal's events, and for
    a limit below 1; `roomline.wire.InvalidName` for the room.
    """
    if not re.fullmatch(EVENT_NAME, name):
        raise ValueError(f"event {shorten(name)} is not accepted: a-z, 0-9 and _, a letter first")
    if per_minute is not None and per_minute < 1:
        raise ValueError(f"per_minute is {per_minute}: 1 or more is accepted, or None")
    event = Event(
        name=name,
        text=text,
        data=data,
        room=None if room is None else check_room(room),
        kind=kind,
        limit=None if per_minute is None else Limit(per_minute),
    )

    def receive(sender: Any, **arguments: Any) -> None:
        tell(event, [{"sender": sender, **arguments}], arguments.get("using"))

    source = signal, sender
    if _sources.setdefault(name, source) != source:
        raise ValueError(f"event {shorten(name)} is one of another signal: choose another name")
    # Tests that change INSTALLED_APPS let every app get ready again.
    signal.disconnect(sender=sender, dispatch_uid=(__name__, name))
    signal.connect(receive, sender=sender, weak=False, dispatch_uid=(__name__, name))
    return event


def known() -> Sequence[str]:
    """The names of all events that are registered."""
    return sorted(_sources)


def tell(event: Event, happenings: Iterable[Mapping[str, Any]], using: str | None) -> None:
    """Publish what has happened when the transaction of the database `using` commits.

    `happenings` are arguments for the event's functions, which are called now. Raises nothing.
    """
    try:
        rooms = event.rooms()
        if rooms:
            # What fails in the database must not spoil a transaction that is not ours.
            inside = transaction.get_connection(using).in_atomic_block
            with transaction.atomic(using) if inside else contextlib.nullcontext():
                bodies = _bodies(event, happenings)
                _publish(event, [(room, body) for body in bodies for room in rooms], using)
    except Exception as error:
        _drop(event, 1, error)


def _bodies(event: Event, happenings: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    bodies = []
    with translation.override(django_settings.LANGUAGE_CODE):
        for arguments in happenings:
            text = event.text(**arguments)
            if text is None or not (event.limit is None or event.limit.allow(monotonic())):
                continue
            body = {} if event.data is None else dict(event.data(**arguments))
            if event.limit is not None and (count := event.limit.take_suppressed()):
                body["suppressed"] = count
            bodies.append(body | {"event": event.name, "text": str(text)[:MAX_TEXT]})
    return bodies


def _publish(event: Event, publications: Sequence[Publication], using: str | None) -> None:
    if conf.current().outbox:
        for room, body in publications:
            publish(room, body, event.kind, outbox=True, using=using)
    elif publications:
        transaction.on_commit(partial(_send, event, publications), using)


_rest: tuple[Publisher | None, float] = None, 0.0
"""What has failed last, and until when (monotonic) no event is tried with it."""


def _send(event: Event, publications: Sequence[Publication]) -> None:
    """Publish at once, for as long as one publication may take. Raises nothing."""
    global _rest
    try:
        publisher = current_publisher()
        deadline = monotonic() + conf.current().publish_timeout
    except Exception as error:  # pika is not installed, say
        _drop(event, len(publications), error)
        return
    for number, (room, body) in enumerate(publications):
        now = monotonic()
        resting, until = _rest
        if resting is publisher and now < until:
            _drop(event, len(publications) - number, "the broker has failed just before")
            return
        if number and now > deadline:
            _drop(event, len(publications) - number, "the others have taken all the time there is")
            return
        try:
            publish(room, body, event.kind, on_commit=False)
        except Exception as error:
            _drop(event, 1, error)
            own = (PublishReturned, PublishRejected)  # of this room or this publication
            if isinstance(error, PublishError) and not isinstance(error, own):
                _rest = publisher, monotonic() + REST_SECONDS


def _drop(event: Event, count: int, reason: Exception | str) -> None:
    dropped[event.name] += count
    _logger.warning(
        "event %s was not published %d times (%d so far): %s",
        event.name,
        count,
        dropped[event.name],
        reason,
        exc_info=None if isinstance(reason, PublishError | str) else reason,
    )

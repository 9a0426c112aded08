"""The ``ROOMLINE`` setting: read and validated here, nowhere else.

Example::

    ROOMLINE = {
        "BROKER": "amqps://web:secret@rabbitmq.example.com/",
        "KEYS": {"2026-01": "a secret of at least 32 bytes, shared with the gateway"},
        "ENDPOINTS": ["https://live.example.com/roomline"],
    }

`FIELDS` is the list of all keys with what each accepts.
"""

import functools
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string
from roomline.tokens import MAX_LIFETIME, Grants, Keyring
from roomline.wire import CONTROL_NAMESPACE, InvalidName, check_room, namespace_of, shorten

OVERRIDE_VARIABLE: Final = "DJANGO_ROOMLINE_OVERRIDE"
"""The environment variable by which ``runroomline`` tells the development server which broker and
ports it chose: a JSON object whose members replace those of ``ROOMLINE``."""

EMBEDDED: Final = "embedded:"
EVENT_NAME: Final = r"[a-z][a-z0-9_]{0,49}"
EMBEDDED_PUBLISHER: Final = "roomline"
"""The publisher's name in the embedded log, where no broker validates one."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """What the archive must know of the gateways, to store what their clients see."""

    publishers: frozenset[str] = frozenset()
    dedup_window: int = 10_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """The validated setting; `FIELDS` says what each attribute means."""

    broker: str
    keys: Keyring
    secrets: Mapping[str, str]
    endpoints: tuple[str, ...]
    policy: Callable[[Any, str, str], bool] | None
    grants: Callable[[Any], Grants] | None
    token_lifetime: int
    guests: bool
    publish_timeout: float
    outbox: bool
    archive: Archive | None
    events: Mapping[str, tuple[str, ...]]
    gateway: Mapping[str, str]

    @property
    def embedded_path(self) -> str | None:
        """The file of the embedded log, or None when the broker is RabbitMQ."""
        return self.broker.removeprefix(EMBEDDED) if self.broker.startswith(EMBEDDED) else None

    @property
    def broker_user(self) -> str:
        """The name under which this project publishes, as the broker validates it."""
        if self.embedded_path is not None:
            return EMBEDDED_PUBLISHER
        return unquote(urlsplit(self.broker).username or "guest")

    def connect_sources(self) -> tuple[str, ...]:
        """What a Content-Security-Policy's ``connect-src`` must allow for the endpoints.

        The websocket origins are spelled out because not every browser lets ``http:`` sources,
        or ``'self'``, stand for them. Endpoints on the page's own origin are not in here.
        """
        sources = []
        for endpoint in self.endpoints:
            if "://" in endpoint:
                scheme, rest = endpoint.split("://", 1)
                host = rest.split("/", 1)[0]
                sources += [f"{scheme}://{host}", f"{scheme.replace('http', 'ws')}://{host}"]
        return tuple(dict.fromkeys(sources))


class Problem(NamedTuple):
    """One thing wrong with the setting. `check` is the id of the system check that reports it."""

    check: str
    text: str
    hint: str


def _broker(value: Any) -> str:
    if isinstance(value, str):
        if value.startswith(EMBEDDED):
            if Path(value.removeprefix(EMBEDDED)).is_absolute():
                return value
            raise ValueError(f"is {shorten(value)}, and its path is not absolute")
        # No message has the value in it, nor what urlsplit says of it: that may be a password.
        try:
            parts = urlsplit(value)
            scheme, host, _port = parts.scheme, parts.hostname, parts.port
        except ValueError:
            raise ValueError("is not an address with a valid host and port") from None
        if scheme in ("amqp", "amqps") and host:
            return value
        raise ValueError(f"has scheme {shorten(scheme)} and host {shorten(host)}")
    raise ValueError(f"is of type {type(value).__name__}, not text")


def _secrets(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError(f"is of type {type(value).__name__}, not a dict")
    for kid, secret in value.items():
        if not isinstance(kid, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", kid):
            # It might be a secret that was put in the wrong place.
            raise ValueError("has a key id that is not 1 to 100 characters of A-Z a-z 0-9 _ . -")
        if not isinstance(secret, str) or not re.fullmatch(r"[^\s,]+", secret):
            raise ValueError(f"has a secret for {shorten(kid)} with a blank or comma, or not text")
    try:
        Keyring(value)
    except ValueError as error:
        raise ValueError(f"is not accepted: {error}") from None
    return dict(value)


def _endpoints(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"is {shorten(value)}, not a list of at least one address")
    for endpoint in value:
        if not isinstance(endpoint, str):
            raise ValueError(f"has {shorten(endpoint)}, which is not text")
        if not re.fullmatch(
            r"(https?://[A-Za-z0-9.-]+(:\d+)?|https?://\[[0-9A-Fa-f:.]+\](:\d+)?)?"
            r"(/[A-Za-z0-9_.~-]+)+",
            endpoint,
        ):
            raise ValueError(f"has {shorten(endpoint)}, which is not an address with a path")
    return tuple(value)


def _function(value: Any) -> Callable[..., Any] | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"is {shorten(value)}, not a dotted path")
    try:
        function = import_string(value)
    except ImportError as error:
        raise ValueError(f"is {shorten(value)}, which cannot be imported: {error}") from None
    if not callable(function):
        raise ValueError(f"is {shorten(value)}, which is not a function")
    found: Callable[..., Any] = function
    return found


def _lifetime(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 30 <= value <= MAX_LIFETIME:
        raise ValueError(f"is {shorten(value)}")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is {shorten(value)}")
    return value


def _timeout(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value <= 60:
        raise ValueError(f"is {shorten(value)}")
    return float(value)


def _archive(value: Any) -> Archive | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"is of type {type(value).__name__}, not a dict")
    for name in value:
        if name not in ("PUBLISHERS", "DEDUP_WINDOW"):
            raise ValueError(f"has {shorten(name)}")
    publishers = value.get("PUBLISHERS", ())
    if not isinstance(publishers, list | tuple | set | frozenset) or not all(
        isinstance(name, str) and name for name in publishers
    ):
        raise ValueError(f"has PUBLISHERS {shorten(publishers)}")
    window = value.get("DEDUP_WINDOW", Archive.dedup_window)
    if isinstance(window, bool) or not isinstance(window, int) or not 0 <= window <= 1_000_000:
        raise ValueError(f"has DEDUP_WINDOW {shorten(window)}")
    return Archive(publishers=frozenset(publishers), dedup_window=window)


def _events(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise ValueError(f"is of type {type(value).__name__}, not a dict")
    events: dict[str, tuple[str, ...]] = {}
    for name, rooms in value.items():
        if not isinstance(name, str) or not re.fullmatch(EVENT_NAME, name):
            raise ValueError(f"has the name {shorten(name)}")
        listed = [] if rooms is None else [rooms] if isinstance(rooms, str) else rooms
        if not isinstance(listed, list | tuple):
            raise ValueError(f"has {shorten(rooms)} for {name}")
        events[name] = tuple(_event_room(name, room) for room in listed)
    return events


def _event_room(name: str, room: Any) -> str:
    try:
        if namespace_of(check_room(room)) != CONTROL_NAMESPACE:
            return str(room)
    except (InvalidName, TypeError):
        raise ValueError(f"has {shorten(room)} for {name}, which is not a room") from None
    raise ValueError(f"has {shorten(room)} for {name}: rooms in control steer gateways")


def _gateway(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError(f"is of type {type(value).__name__}, not a dict")
    for name, text in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError(f"has the name {shorten(name)}")
        if not isinstance(text, str):
            raise ValueError(f"has {shorten(text)} for {name}, which is not text")
    return dict(value)


_REQUIRED: Final = object()


class Field(NamedTuple):
    """One key of ``ROOMLINE``: its check id, its reader, its default, and what it accepts."""

    check: str
    read: Callable[[Any], Any]
    default: Any
    accepted: str


FIELDS: Final[Mapping[str, Field]] = {
    "BROKER": Field(
        "roomline.E002",
        _broker,
        _REQUIRED,
        "The gateway's broker: embedded:/absolute/path/of/the.log, or"
        " amqp://user:password@host:port/vhost, or the same with amqps.",
    ),
    "KEYS": Field(
        "roomline.E003",
        _secrets,
        _REQUIRED,
        "A dict of key id to secret (32 bytes or more), the same as the gateway's. The first one"
        " signs tokens. Make one with: python -c 'import secrets; print(secrets.token_hex(32))'",
    ),
    "ENDPOINTS": Field(
        "roomline.E004",
        _endpoints,
        _REQUIRED,
        "Where browsers find the gateway: a list of addresses such as"
        " https://live.example.com/roomline, or of paths such as /roomline on the page's own host.",
    ),
    "POLICY": Field(
        "roomline.E005",
        _function,
        None,
        "The dotted path of a function (user, room, action) -> bool that decides for rooms without"
        " a model; action is read or write. None: nobody may.",
    ),
    "GRANTS": Field(
        "roomline.E013",
        _function,
        None,
        "The dotted path of a function (user) -> roomline.tokens.Grants that says what a user may"
        " read and write by patterns such as orders.**. None: rooms are granted one by one.",
    ),
    "TOKEN_LIFETIME": Field(
        "roomline.E006",
        _lifetime,
        600,
        f"How many seconds a token is good for: a whole number from 30 to {MAX_LIFETIME}.",
    ),
    "GUESTS": Field(
        "roomline.E007",
        _switch,
        False,
        "True or False: whether visitors who are not logged in get a token, under a random id that"
        " is kept in their Django session.",
    ),
    "PUBLISH_TIMEOUT": Field(
        "roomline.E008",
        _timeout,
        5.0,
        "How many seconds one publish() may take at most: a number from 0.1 to 60.",
    ),
    "OUTBOX": Field(
        "roomline.E012",
        _switch,
        False,
        "True or False: whether publish() writes to the transactional outbox, from where"
        " roomline_relay publishes, unless a call says otherwise.",
    ),
    "ARCHIVE": Field(
        "roomline.E014",
        _archive,
        None,
        "None: no archive. Else a dict with the gateways' settings of the same names, as far as"
        " they are not the defaults: PUBLISHERS, a list of broker users, and DEDUP_WINDOW, a whole"
        " number from 0 to 1000000. The user in BROKER is one of the publishers in any case.",
    ),
    "EVENTS": Field(
        "roomline.E015",
        _events,
        {},
        "Where events are published: a dict of event name to a room, a list of rooms, or None for"
        ' nowhere; for instance {"login": "admin.log", "admin_log": None}.',
    ),
    "GATEWAY": Field(
        "roomline.E009",
        _gateway,
        {},
        "Settings of the development gateway that runroomline starts: a dict of names as in its"
        ' environment, without ROOMLINE_, to text; for instance {"NAMESPACES": "chat:read=token"}.',
    ),
}


def read(raw: Any) -> tuple[dict[str, Any], list[Problem]]:
    """The values of a ``ROOMLINE`` dict by key, and what is wrong with it."""
    if not isinstance(raw, Mapping):
        text = f"ROOMLINE is of type {type(raw).__name__}, not a dict."
        return {}, [Problem("roomline.E001", text, f"Its keys are {', '.join(FIELDS)}.")]
    values: dict[str, Any] = {}
    problems = [
        Problem(
            "roomline.E001",
            f"ROOMLINE has {shorten(key)}, which is not one of its keys.",
            f"Its keys are {', '.join(FIELDS)}.",
        )
        for key in raw
        if key not in FIELDS
    ]
    for key, field in FIELDS.items():
        value = raw.get(key, field.default)
        if value is _REQUIRED:
            problems.append(Problem(field.check, f"ROOMLINE has no {key}.", field.accepted))
            continue
        try:
            values[key] = field.read(value)
        except ValueError as error:
            text = f"{key} in ROOMLINE {error}."
            problems.append(Problem(field.check, text, field.accepted))
    return values, problems


def raw() -> Any:
    """The project's dict with what ``runroomline`` replaced in it."""
    given = getattr(django_settings, "ROOMLINE", None)
    override = os.environ.get(OVERRIDE_VARIABLE)
    if override and isinstance(given, Mapping):
        return {**given, **json.loads(override)}
    return given


@functools.cache
def current() -> Settings:
    """The validated setting; raises `ImproperlyConfigured` with everything that is wrong."""
    values, problems = read(raw())
    if problems:
        raise ImproperlyConfigured(
            "\n".join(f"{problem.text} {problem.hint} ({problem.check})" for problem in problems)
        )
    return Settings(
        broker=values["BROKER"],
        keys=Keyring(values["KEYS"]),
        secrets=values["KEYS"],
        endpoints=values["ENDPOINTS"],
        policy=values["POLICY"],
        grants=values["GRANTS"],
        token_lifetime=values["TOKEN_LIFETIME"],
        guests=values["GUESTS"],
        publish_timeout=values["PUBLISH_TIMEOUT"],
        outbox=values["OUTBOX"],
        archive=values["ARCHIVE"],
        events=values["EVENTS"],
        gateway=values["GATEWAY"],
    )


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "ROOMLINE":
        current.cache_clear()


# Sent by `override_settings` in tests only.
setting_changed.connect(_forget)

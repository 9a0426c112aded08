"""The ``ROOMLINE`` setting: read here, nowhere else; `conf_values` says what each key accepts.

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from roomline.sqlitelog import PUBLISHER
from roomline.tokens import MAX_LIFETIME, Grants, Keyring
from roomline.wire import shorten

from django_roomline import conf_values
from django_roomline.conf_values import EMBEDDED, Archive

OVERRIDE_VARIABLE: Final = "DJANGO_ROOMLINE_OVERRIDE"
"""The environment variable by which ``runroomline`` tells the development server which broker and
ports it chose: a JSON object whose members replace those of ``ROOMLINE``."""


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
    publish_in_tests: bool
    archive: Archive | None
    events: Mapping[str, tuple[str, ...]]
    gateway_users: frozenset[str]
    inspectors: tuple[str, ...]
    gateway: Mapping[str, str]

    @property
    def embedded_path(self) -> str | None:
        """The file of the embedded log, or None when the broker is RabbitMQ."""
        return self.broker.removeprefix(EMBEDDED) if self.broker.startswith(EMBEDDED) else None

    @property
    def broker_user(self) -> str:
        """The name under which this project publishes, as the broker validates it."""
        if self.embedded_path is not None:
            return PUBLISHER
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
        conf_values.broker,
        _REQUIRED,
        "The gateway's broker: embedded:/absolute/path/of/the.log, or"
        " amqp://user:password@host:port/vhost, or the same with amqps.",
    ),
    "KEYS": Field(
        "roomline.E003",
        conf_values.secrets,
        _REQUIRED,
        "A dict of key id to secret (32 bytes or more), the same as the gateway's. The first one"
        " signs tokens. Make one with: python -c 'import secrets; print(secrets.token_hex(32))'",
    ),
    "ENDPOINTS": Field(
        "roomline.E004",
        conf_values.endpoints,
        _REQUIRED,
        "Where browsers find the gateway: a list of addresses such as"
        " https://live.example.com/roomline, or of paths such as /roomline on the page's own host.",
    ),
    "POLICY": Field(
        "roomline.E005",
        conf_values.function,
        None,
        "The dotted path of a function (user, room, action) -> bool that decides for rooms without"
        " a model; action is read or write. None: nobody may.",
    ),
    "GRANTS": Field(
        "roomline.E013",
        conf_values.function,
        None,
        "The dotted path of a function (user) -> roomline.tokens.Grants that says what a user may"
        " read and write by patterns such as orders.**. None: rooms are granted one by one.",
    ),
    "TOKEN_LIFETIME": Field(
        "roomline.E006",
        conf_values.lifetime,
        600,
        f"How many seconds a token is good for: a whole number from 30 to {MAX_LIFETIME}.",
    ),
    "GUESTS": Field(
        "roomline.E007",
        conf_values.switch,
        False,
        "True or False: whether visitors who are not logged in get a token, under a random id that"
        " is kept in their Django session.",
    ),
    "PUBLISH_TIMEOUT": Field(
        "roomline.E008",
        conf_values.timeout,
        5.0,
        "How many seconds one publish() may take at most: a number from 0.1 to 60.",
    ),
    "OUTBOX": Field(
        "roomline.E012",
        conf_values.switch,
        False,
        "True or False: whether publish() writes to the transactional outbox, from where"
        " roomline_relay publishes, unless a call says otherwise.",
    ),
    "PUBLISH_IN_TESTS": Field(
        "roomline.E022",
        conf_values.switch,
        False,
        "True or False: whether publications reach the broker also in Django's test environment,"
        " where they are checked and go nowhere otherwise.",
    ),
    "ARCHIVE": Field(
        "roomline.E014",
        conf_values.archive,
        None,
        "None: no archive. Else a dict with the gateways' settings of the same names, as far as"
        " they are not the defaults: PUBLISHERS, a list of broker users, and DEDUP_WINDOW, a whole"
        " number from 0 to 1000000. The user in BROKER is one of the publishers in any case.",
    ),
    "EVENTS": Field(
        "roomline.E015",
        conf_values.events,
        {},
        "Where events are published: a dict of event name to a room, a list of rooms, or None for"
        ' nowhere; for instance {"login": "admin.log", "admin_log": None}.',
    ),
    "GATEWAY_USERS": Field(
        "roomline.E016",
        conf_values.gateway_users,
        (),
        "A list of the RabbitMQ users that gateways log in as, where that is not the user in"
        " BROKER: only their requests are believed. On the embedded log it does not matter.",
    ),
    "INSPECTORS": Field(
        "roomline.E019",
        conf_values.inspectors,
        (),
        "A list of the addresses of the gateways' inspectors, such as http://10.0.0.5:8002/inspect,"
        " for links in the admin. They are for people: no token is part of them.",
    ),
    "GATEWAY": Field(
        "roomline.E009",
        conf_values.gateway,
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
        publish_in_tests=values["PUBLISH_IN_TESTS"],
        archive=values["ARCHIVE"],
        events=values["EVENTS"],
        gateway_users=values["GATEWAY_USERS"],
        inspectors=values["INSPECTORS"],
        gateway=values["GATEWAY"],
    )


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "ROOMLINE":
        current.cache_clear()


# Sent by `override_settings` in tests only.
setting_changed.connect(_forget)

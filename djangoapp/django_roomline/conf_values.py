"""What the values of ``ROOMLINE`` must look like: each function reads one and says what is wrong.

They raise `ValueError`, whose text goes on after the name of the key: "is 7", "has no host".
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.utils.module_loading import import_string
from roomline.tokens import MAX_LIFETIME, Keyring
from roomline.wire import CONTROL_NAMESPACE, InvalidName, check_room, namespace_of, shorten

EMBEDDED: Final = "embedded:"
_PAGE: Final = r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?(/[A-Za-z0-9_.~-]+)+"
EVENT_NAME: Final = r"[a-z][a-z0-9_]{0,49}"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """What the archive must know of the gateways, to store what their clients see."""

    publishers: frozenset[str] = frozenset()
    dedup_window: int = 10_000


def broker(value: Any) -> str:
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


def secrets(value: Any) -> dict[str, str]:
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


def endpoints(value: Any) -> tuple[str, ...]:
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


def function(value: Any) -> Callable[..., Any] | None:
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


def lifetime(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 30 <= value <= MAX_LIFETIME:
        raise ValueError(f"is {shorten(value)}")
    return value


def switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is {shorten(value)}")
    return value


def timeout(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value <= 60:
        raise ValueError(f"is {shorten(value)}")
    return float(value)


def archive(value: Any) -> Archive | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"is of type {type(value).__name__}, not a dict")
    for name in value:
        if name not in ("PUBLISHERS", "DEDUP_WINDOW"):
            raise ValueError(f"has {shorten(name)}")
    publishers = value.get("PUBLISHERS", ())
    if not _are_names(publishers):
        raise ValueError(f"has PUBLISHERS {shorten(publishers)}")
    window = value.get("DEDUP_WINDOW", Archive.dedup_window)
    if isinstance(window, bool) or not isinstance(window, int) or not 0 <= window <= 1_000_000:
        raise ValueError(f"has DEDUP_WINDOW {shorten(window)}")
    return Archive(publishers=frozenset(publishers), dedup_window=window)


def events(value: Any) -> dict[str, tuple[str, ...]]:
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


def gateway_users(value: Any) -> frozenset[str]:
    if not _are_names(value):
        raise ValueError(f"is {shorten(value)}")
    return frozenset(value)


def inspectors(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"is {shorten(value)}, not a list of addresses")
    for place, address in enumerate(value, 1):
        # Without user and query, where somebody might put a secret: everybody of the staff sees it.
        if not isinstance(address, str) or not re.fullmatch(_PAGE, address):
            raise ValueError(f"has an address {place} that is not http or https, a host and a path")
    return tuple(value)


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(name, str) and name for name in value
    )


def gateway(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError(f"is of type {type(value).__name__}, not a dict")
    for name, text in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError(f"has the name {shorten(name)}")
        if not isinstance(text, str):
            raise ValueError(f"has {shorten(text)} for {name}, which is not text")
    return dict(value)

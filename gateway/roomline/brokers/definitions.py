"""RabbitMQ definitions (what ``load_definitions`` reads): the topology, and users with few rights.

::

    gateway  publishes into rooms and asks handlers; reads both logs and the answers; tells other
             gateways where it is
    django   publishes into rooms and tells revocations; answers requests; reads the rooms' log
    ops      publishes into rooms by hand, not as the admin's log; reads the rooms' log
    monitor  looks at figures

None of them may declare anything, but a gateway its own queues. Nobody has a password
here: a user whose hash is empty cannot log in, until whoever starts the broker fills it in.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from roomline.brokers.topology import (
    SIGNALS_EXCHANGE,
    Binding,
    Exchange,
    Item,
    Queue,
    Stream,
    control_topology,
    requests_topology,
    rooms_topology,
    signals_topology,
)
from roomline.requests import (
    DEAD_REQUESTS,
    MAX_NAME_LENGTH,
    NAME_PATTERN,
    NODE_QUEUE_PREFIX,
    NODES_EXCHANGE,
    REQUESTS_EXCHANGE,
    REQUESTS_QUEUE,
)
from roomline.wire import (
    CONTROL_NAMESPACE,
    CONTROL_STREAM,
    MAX_ROOM_BYTES,
    ROOMS_EXCHANGE,
    ROOMS_STREAM,
)

MAX_WAITING_REQUESTS: Final = 100_000
MAX_WAITING_ANSWERS: Final = 10_000
"""What a node that does not read its own queues lets RabbitMQ hold."""

_NONE: Final = "^$"
_OWN_QUEUES: Final = rf"{re.escape(NODE_QUEUE_PREFIX)}[0-9a-f]+"
_REQUEST_KEYS: Final = rf"\A(?=.{{1,{MAX_NAME_LENGTH}}}\z){NAME_PATTERN}\z"
_ADMIN_NAMESPACE: Final = "admin"
"""Its rooms read as if Django itself had said it."""
_HASHING: Final = {"hashing_algorithm": "rabbit_password_hashing_sha256"}
_POLICIES: Final = (
    # A request that finds no room is refused, and its client hears so.
    {
        "name": "requests",
        "pattern": f"^{re.escape(REQUESTS_QUEUE)}$",
        "apply-to": "queues",
        "priority": 0,
        "definition": {"max-length": MAX_WAITING_REQUESTS, "overflow": "reject-publish"},
    },
    {
        "name": "answers",
        "pattern": f"^{_OWN_QUEUES}$",
        "apply-to": "queues",
        "priority": 0,
        "definition": {"max-length": MAX_WAITING_ANSWERS},
    },
)


@dataclass(frozen=True)
class User:
    """Who may do what: regular expressions over names, and for topic exchanges over the routing
    keys that may be written."""

    name: str
    tags: tuple[str, ...] = ()
    configure: str = _NONE
    write: str = _NONE
    read: str = _NONE
    keys: Mapping[str, str] = field(default_factory=dict)


def users(namespaces: Iterable[str]) -> tuple[User, ...]:
    """The four users, for rooms of these namespaces."""
    rooms = tuple(namespaces)
    return (
        User(
            "gateway",
            configure=_any(own_queues=True),
            write=_any(ROOMS_EXCHANGE, REQUESTS_EXCHANGE, SIGNALS_EXCHANGE, own_queues=True),
            read=_any(
                ROOMS_STREAM, CONTROL_STREAM, NODES_EXCHANGE, SIGNALS_EXCHANGE, own_queues=True
            ),
            keys={ROOMS_EXCHANGE: _keys(rooms), REQUESTS_EXCHANGE: _REQUEST_KEYS},
        ),
        User(
            "django",
            write=_any(ROOMS_EXCHANGE, REQUESTS_EXCHANGE, NODES_EXCHANGE),
            read=_any(ROOMS_STREAM, REQUESTS_QUEUE, DEAD_REQUESTS),
            keys={
                ROOMS_EXCHANGE: _keys((*rooms, CONTROL_NAMESPACE)),
                REQUESTS_EXCHANGE: _REQUEST_KEYS,
            },
        ),
        User(
            "ops",
            tags=("management",),
            write=_any(ROOMS_EXCHANGE),
            read=_any(ROOMS_STREAM),
            keys={ROOMS_EXCHANGE: _keys(name for name in rooms if name != _ADMIN_NAMESPACE)},
        ),
        User("monitor", tags=("monitoring",)),
    )


def definitions(
    namespaces: Iterable[str], max_age: int, max_bytes: int, vhost: str
) -> dict[str, Any]:
    """Everything that has to be there, for one virtual host; retention in seconds and bytes."""
    namespaces = tuple(namespaces)
    everybody = users(namespaces)
    # Both logs hang on one exchange, which is to be named once.
    items: tuple[Item, ...] = tuple(
        dict.fromkeys((*rooms_topology(namespaces, max_age, max_bytes), *control_topology()))
    )
    where = {"vhost": vhost}
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {"name": user.name, "tags": list(user.tags), "password_hash": "", **_HASHING}
            for user in everybody
        ],
        "permissions": [
            {
                "user": user.name,
                "configure": user.configure,
                "write": user.write,
                "read": user.read,
                **where,
            }
            for user in everybody
        ],
        "topic_permissions": [
            {"user": user.name, "exchange": exchange, "write": keys, "read": _NONE, **where}
            for user in everybody
            for exchange, keys in user.keys.items()
        ],
        "policies": [policy | where for policy in _POLICIES],
    } | _declarations(items + requests_topology() + signals_topology(), where)


def _declarations(items: Iterable[Item], where: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    declared: dict[str, list[dict[str, Any]]] = {"exchanges": [], "queues": [], "bindings": []}
    lasting = where | {"durable": True, "auto_delete": False}
    for item in items:
        match item:
            case Exchange(name, type):
                exchange = {"name": name, "type": type, "internal": False, "arguments": {}}
                declared["exchanges"].append(exchange | lasting)
            case Stream(name) | Queue(name):
                queue = {"name": name, "arguments": dict(item.arguments)}
                declared["queues"].append(queue | lasting)
            case Binding(exchange, stream, key, headers):
                binding = {
                    "source": exchange,
                    "destination": stream,
                    "destination_type": "queue",
                    "routing_key": key,
                    "arguments": dict(headers or {}),
                }
                declared["bindings"].append(binding | where)
    return declared


def _any(*names: str, own_queues: bool = False) -> str:
    """What matches one of these names, or a node's own queues."""
    alternatives = [re.escape(name) for name in names] + [_OWN_QUEUES] * own_queues
    return rf"\A(?:{'|'.join(alternatives)})\z"


def _keys(namespaces: Iterable[str]) -> str:
    """The rooms of these namespaces. Readers over AMQP stumble over keys that are too long."""
    words = "|".join(namespaces)
    return rf"\A(?=.{{1,{MAX_ROOM_BYTES}}}\z)(?:{words})(?:\.[A-Za-z0-9_-]+)*\z"

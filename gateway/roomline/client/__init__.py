"""A Python client of Roomline's client protocol, for tests, tools and users (asyncio).

::

    async with Client("http://127.0.0.1:8700/realtime", token=get_token) as client:
        lobby = await client.subscribe("chat.lobby", history=20)
        await client.publish("chat.lobby", {"text": "hello"})
        async for publication in lobby:
            print(publication.sender, publication.data)

Without an event loop, `BlockingClient` does most of it with calls that wait.

Three layers, each usable alone: `Client` keeps going across connections and nodes; `Session` is
one connected session, as commands and pushes; `Connection` is one SockJS session, as texts.
"""

try:
    import msgspec  # noqa: F401 - only to see that it is there
    import tornado  # noqa: F401 - only to see that it is there
except ImportError as error:
    raise ImportError(
        "roomline.client needs tornado and msgspec: install them with"
        " python -m pip install 'roomline[server]'"
    ) from error

from roomline.client.blocking import BlockingClient, BlockingSubscription
from roomline.client.client import Client
from roomline.client.connection import TRANSPORTS, Connection, Transport, open_connection
from roomline.client.errors import (
    ClientError,
    CommandRefused,
    ConnectionClosed,
    ConnectionFailed,
    NoAnswer,
    SubscriptionEnded,
    TokenUnavailable,
)
from roomline.client.session import Publication, Push, Session
from roomline.client.subscription import Subscription

__all__ = [
    "TRANSPORTS",
    "BlockingClient",
    "BlockingSubscription",
    "Client",
    "ClientError",
    "CommandRefused",
    "Connection",
    "ConnectionClosed",
    "ConnectionFailed",
    "NoAnswer",
    "Publication",
    "Push",
    "Session",
    "Subscription",
    "SubscriptionEnded",
    "TokenUnavailable",
    "Transport",
    "open_connection",
]

"""The public address, as browsers reach it through whatever proxies are before the gateway."""

import asyncio
import json
import secrets
import socket
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from http.client import HTTPException
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from roomline.cli.doctor.findings import Finding, ok, problem, warning
from roomline.client import (
    ClientError,
    Session,
    open_connection,
)
from roomline.client.connection import TRANSPORTS, Connection, Transport
from roomline.config import Settings
from roomline.core.messages import Connected
from roomline.tokens import sign_connection

_SECONDS: Final = 5.0
"""A browser's client gives a transport about as long before it tries the next."""
_SLOW_SECONDS: Final = 1.0
_USER: Final = "roomline-doctor"
_SENDS: Final = 6
"""With two nodes and no way between them, one time in 32 all requests would reach the same."""

_WHAT_TO_DO: Final[dict[Transport, str]] = {
    "websocket": "let the proxy pass the upgrade: HTTP/1.1 to the gateway, and the headers Upgrade"
    " and Connection",
    "xhr-streaming": "let the proxy not buffer responses below the endpoint (nginx:"
    " proxy_buffering off), and speak HTTP/1.1 to the gateway",
    "eventsource": "let the proxy not buffer or compress responses below the endpoint (nginx:"
    " proxy_buffering off)",
    "xhr-polling": "let the proxy pass POST below the endpoint, and wait for longer than the"
    " setting heartbeat",
}


class _Info(NamedTuple):
    """The two answers of ``/info`` that are compared."""

    entropy: Any
    websocket: bool


async def look_at_address(url: str, settings: Settings) -> AsyncIterator[Finding]:
    """Open a session over each transport that is on offer, and see how long things take."""
    url = url.rstrip("/")
    try:
        first, second = [await asyncio.to_thread(_info, url) for _ in range(2)]
    except (OSError, ValueError, HTTPException) as error:
        yield problem(
            "address",
            f"{url}/info does not answer as a gateway does: {error}",
            f"hand everything below {settings.prefix} to the gateway's port, and end the URL"
            " with that",
        )
        return
    if first.entropy == second.entropy:
        yield problem(
            "address",
            f"{url}/info answers twice with the same number: something caches it",
            "cache nothing below the endpoint",
        )
    for transport in TRANSPORTS:
        if transport in settings.transports:
            yield await _look_at_transport(url, transport)
    yield await _look_at_origin(url)
    yield await _look_at_client_address(url, settings)


def _info(url: str) -> _Info:
    with urllib.request.urlopen(f"{url}/info", timeout=_SECONDS) as answer:  # noqa: S310 - the operator's own
        said = json.load(answer)
    if not isinstance(said, dict) or "entropy" not in said:
        raise ValueError("it is JSON, but not the gateway's")
    return _Info(said["entropy"], bool(said.get("websocket")))


async def _look_at_transport(url: str, transport: Transport) -> Finding:
    """How long it takes until the first frame, and until a small one that follows, has come."""
    advice = _WHAT_TO_DO[transport]
    started = time.monotonic()
    try:
        connection = await open_connection(url, transport, within=_SECONDS)
    except ClientError as error:
        late = time.monotonic() - started >= _SECONDS
        why = "nothing has come: something holds it back" if late else str(error)
        return problem("address", f"{transport} does not work: {why}", advice)
    opened = time.monotonic() - started
    try:
        started = time.monotonic()
        for _ in range(_SENDS):
            await _echo(connection)
        answered = (time.monotonic() - started) / _SENDS
    except TimeoutError:
        return problem(
            "address",
            f"over {transport} the first frame came after {opened:.2f} s, and a small one after it"
            f" not within {_SECONDS:g} s: something holds it back",
            advice,
        )
    except ClientError as error:
        return problem(
            "address",
            f"over {transport} a session opens, and then breaks: {error}. Requests of one session"
            " may reach nodes that do not know it",
            "let the nodes find each other, or let the balancer send a session's requests, whose"
            " paths begin alike, to one node",
        )
    finally:
        await connection.close()
    says = (
        f"{transport} works: the first frame after {opened:.2f} s, an answer after {answered:.2f} s"
    )
    if max(opened, answered) > _SLOW_SECONDS:
        return warning("address", says, advice)
    return ok("address", says)


async def _echo(connection: Connection) -> None:
    """Say something that the gateway has to refuse, and hear that it does."""
    async with asyncio.timeout(_SECONDS):
        await connection.send_text('{"id":1,"type":"ping"}')
        await connection.receive()


async def _look_at_origin(url: str) -> Finding:
    """Whether a page of the very same address may connect."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    try:
        connection = await open_connection(
            url, "xhr-polling", within=_SECONDS, headers={"Origin": origin}
        )
    except ClientError as error:
        return problem(
            "address",
            f"a page of {origin} may not connect to its own server: {error}",
            "let the proxy pass Host and set X-Forwarded-Proto, and name it in the setting"
            " trusted_proxies; or name the origin in origins",
        )
    await connection.close()
    return ok("address", f"pages of {origin} may connect")


async def _look_at_client_address(url: str, settings: Settings) -> Finding:
    """Whether the gateway knows clients by their own addresses."""
    if not settings.api_tokens:
        return warning(
            "address",
            "whose address the gateway takes clients for cannot be seen: it has no api_tokens",
            "configure one, here and there, and look again",
        )
    try:
        async with asyncio.timeout(2 * _SECONDS):
            connection = await open_connection(url, "websocket", within=_SECONDS)
            session = Session(connection, on_push=lambda _: None)
            try:
                connected = await _connect(session, settings)
                seen = await asyncio.to_thread(_seen_by_node, connected.session, settings)
            finally:
                await session.close()
    except (ClientError, TimeoutError, OSError, ValueError) as error:
        return warning(
            "address",
            "whose address the gateway takes clients for could not be seen:"
            f" {error or 'no answer in time'}",
            "run this command beside the only node that the address leads to, with its settings",
        )
    own = _own_address(url)
    if seen == own:
        return ok("address", f"the gateway knows clients by their own address (here {own})")
    return warning(
        "address",
        f"the gateway takes this client, whose address is {own}, for {seen}",
        f"if {seen} is a proxy, let it set X-Forwarded-For and name it in the setting"
        " trusted_proxies, or else all its clients together may have only sessions_per_address"
        " sessions; if it is how the world sees this machine, all is well",
    )


async def _connect(session: Session, settings: Settings) -> Connected:
    if settings.keys is not None:
        token = sign_connection(settings.keys, _USER, now=time.time(), lifetime=60)
        return await session.connect(token=token)
    return await session.connect(client=secrets.token_hex(16))


def _seen_by_node(session: str, settings: Settings) -> str:
    """The address that this node has for a session; raises `OSError`."""
    host = settings.internal_host
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    place = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(
        f"http://{place}:{settings.internal_port}/api/sessions/{session}",
        headers={"Authorization": f"Bearer {settings.api_tokens[0]}"},
    )
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
        address: str = json.load(answer)["address"]
        return address


def _own_address(url: str) -> str:
    """The address of this machine on the way there. Nothing is sent."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    family, kind, _, _, place = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(place)
        address: str = probe.getsockname()[0]
        return address

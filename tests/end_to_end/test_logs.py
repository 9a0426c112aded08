"""What a node logs at its most talkative: about which session and room, and never what was said."""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from roomline.client import ConnectionClosed
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from tests.support.definitions import Defined, defined, rabbitmq, rabbitmq_vhost
from tests.support.gateway import Gateway
from tests.support.talk import Talk
from tests.support.tokens import API_TOKEN, connection_token, room_token
from tests.support.until import until

__all__ = ["defined", "rabbitmq", "rabbitmq_vhost"]

CANARY = "canary-in-the-log"
"""What clients say."""
RULES = "chat:read=public,write=public;club:read=token,write=token;shop:read=public,write=public"


@pytest.fixture(params=["text", "json"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(
        f"embedded:{tmp_path}/log.sqlite3",
        LOG_LEVEL="debug",
        LOG_FORMAT=request.param,
        NAMESPACES=RULES,
        REQUESTS="true",
        COMMANDS_PER_SECOND="20",
        COMMANDS_BURST="20",
    )
    with closing(gateway):
        gateway.start()
        yield gateway


@pytest.mark.slow
async def test_neither_tokens_nor_what_was_said(gateway: Gateway):
    secret_words = [CANARY]
    token = connection_token("ann", read=("club.**",), write=("club.**",))
    secret_words += [token, *token.split("."), API_TOKEN]
    async with Talk.to(gateway.url, token=token) as talk:
        session = talk.connected.session
        await talk.publish("chat.lobby", CANARY)
        await until(lambda: gateway.metric("roomline_log_entries_total"), within=20)
        await talk.subscribe("chat.lobby", since=f"0.1.{secrets.token_hex(6)}")
        await talk.publish("chat.lobby", {"text": CANARY}, key=CANARY)
        assert (await talk.publication()).data == {"text": CANARY}
        for name in (f"chat.{CANARY} ", f"nowhere.{CANARY}"):
            await talk.refused_any("publish", room=name, data=CANARY)
        in_room = room_token("somebody-else", "club.a")
        secret_words += in_room.split(".")
        await talk.refused_any("subscribe", room="club.a", token=in_room)
        await talk.refused_any("refresh", token=f"{token}{CANARY}")
        await talk.refused_any("publish", room="user.1", data=CANARY)
        await talk.refused_any(CANARY)
        request = {"name": "orders.cancel", "data": {"text": CANARY}, "timeout": 1}
        await talk.refused("request_timeout", "request", **request)
    expired = connection_token("ann", age=7200)
    secret_words += expired.split(".")
    for bad in (expired, f"{token}x", CANARY):
        async with Talk.to(gateway.url, connect=False) as talk:
            await talk.refused_any("connect", version=1, token=bad)
    async with Talk.to(gateway.url, token=token) as talk:
        await talk.connection.send_text(json.dumps(CANARY * 5000))
        assert (await talk.closed()).code == 3501
    async with Talk.to(gateway.url, "xhr-streaming", connect=False) as talk:
        with suppress(ConnectionClosed):
            for _ in range(200):  # no JSON, again and again, until it is too much
                await talk.connection.send_text(f'{{"{CANARY}')
        assert (await talk.closed()).code == 3500
    async with Talk.to(gateway.url, token=token) as talk:
        flooding = talk.connected.session
        texts = [
            json.dumps({"id": number, "type": "publish", "room": "chat.b", "data": CANARY})
            for number in range(1000)
        ]
        with suppress(ConnectionClosed):
            for at in range(0, len(texts), 20):
                await talk.connection.send_text(*texts[at : at + 20])
        assert (await talk.closed(within=20)).code == 3502
    await post(f"{gateway.url}/000/{secrets.token_hex(4)}/xhr_send", f'["{CANARY}')
    opened = f"{gateway.url}/000/{secrets.token_hex(4)}"
    await post(f"{opened}/xhr", "")
    assert (await post(f"{opened}/xhr_send", f'["{CANARY}')).code == 500
    api = "/api/rooms/chat.lobby/publications"
    assert gateway.get(api, token=API_TOKEN, body={"data": CANARY}).status == 201
    assert gateway.get(api, token=CANARY, body={"data": CANARY}).status == 401
    assert gateway.get(api, token=API_TOKEN, body=f'{{"{CANARY}'.encode()).status == 400
    # Somebody comes and stays until the end, so that there is somebody to be disconnected.
    async with Talk.to(gateway.url, token=token):
        await asyncio.to_thread(gateway.terminate)

    log = gateway.log
    for word in secret_words:
        assert word not in log, [line for line in log.splitlines() if word in line]
    assert tells(log, "a command is rejected: forbidden", session, None)
    assert tells(log, "the session comes back: not_in_log", session, "chat.lobby")
    assert tells(log, "the session is disconnected: flood", flooding, None)


async def post(url: str, body: str) -> HTTPResponse:
    client = AsyncHTTPClient(force_instance=True)
    with closing(client):
        return await client.fetch(url, method="POST", body=body, raise_error=False)


def tells(log: str, message: str, session: str | None, room: str | None) -> bool:
    """Whether there is such a record, with these fields and no others."""
    about = {
        name: value for name, value in (("session", session), ("room", room)) if value is not None
    }
    for line in log.splitlines():
        if line.startswith("{"):
            fields = json.loads(line)
            if message in fields["message"]:
                found = {name: fields[name] for name in ("session", "room") if name in fields}
                if found == about:
                    return True
        elif line.endswith(message + "".join(f" {name}={value}" for name, value in about.items())):
            return True
    return False


async def test_what_rabbitmq_refuses_is_told_with_the_room_and_without_the_text(defined: Defined):
    """Its definitions know of no namespace `shop`."""
    gateway = Gateway(
        defined.url("gateway"), LOG_LEVEL="debug", LOG_FORMAT="json", NAMESPACES=RULES
    )
    with closing(gateway):
        gateway.start()
        async with Talk.to(gateway.url) as talk:
            refused = await talk.refused_any("publish", room="shop.a", data=CANARY)
            assert refused.code == "rejected"
            message = "a publication was refused: RabbitMQ refuses this publication"
            deadline = time.monotonic() + 20
            await until(lambda: message in gateway.log or time.monotonic() > deadline, within=30)
        [line] = [line for line in gateway.log.splitlines() if message in line]
        assert json.loads(line)["room"] == "shop.a"
        assert CANARY not in gateway.log
        assert "passwörd" not in gateway.log

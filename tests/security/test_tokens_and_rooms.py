"""Tokens that are forged, rooms that are nobody's, texts that would rather be something else."""

import ast
import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import roomline
from roomline.tokens import CONNECTION_AUDIENCE, MAX_LIFETIME, ROOM_AUDIENCE

from tests.end_to_end.test_processes import port_of
from tests.support.gateway import Gateway
from tests.support.rabbitmq import free_ports
from tests.support.raw_http import answer, head
from tests.support.talk import Talk
from tests.support.tokens import API_TOKEN, SECRETS, connection_token
from tests.transport.clients import ask

pytestmark = pytest.mark.timeout(60)

KID = "2026-b"


def made(
    header: dict[str, Any] | None = None,
    secret: str = SECRETS[KID],
    digest: Callable[[], Any] = hashlib.sha256,
    *,
    raw: str | None = None,
    **claims: Any,
) -> str:
    """A token from its parts, past every check of a library that signs. A claim that is None is
    left out; `raw` stands for all of them."""
    now = int(time.time())
    whole = {"sub": "ann", "aud": CONNECTION_AUDIENCE, "iat": now, "exp": now + 60} | claims
    payload = json.dumps({name: value for name, value in whole.items() if value is not None})
    first = json.dumps({"alg": "HS256", "kid": KID, "typ": "JWT"} | (header or {}))
    signed = f"{coded(first)}.{coded(payload if raw is None else raw)}"
    return f"{signed}.{coded(hmac.new(secret.encode(), signed.encode(), digest).digest())}"


def coded(part: str | bytes) -> str:
    data = part.encode() if isinstance(part, str) else part
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(algorithm: str) -> str:
    return made({"alg": algorithm}).rpartition(".")[0] + "."


FAR = 2**52
TOKENS: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned("none"),
    "alg None": lambda: unsigned("None"),
    "alg none, signed": lambda: made({"alg": "none"}),
    "alg of keys in pairs": lambda: made({"alg": "RS256"}),
    "alg of curves": lambda: made({"alg": "ES256"}),
    "longer digest": lambda: made({"alg": "HS512"}, digest=hashlib.sha512),
    "no alg": lambda: made({"alg": None}),
    "alg that is a list": lambda: made({"alg": ["HS256", "none"]}),
    "key in the header": lambda: made({"jwk": {"kty": "oct", "k": coded("x" * 32)}}, "x" * 32),
    "key at an address": lambda: made({"jku": "http://127.0.0.1:1/keys"}, "x" * 32),
    "critical extension": lambda: made({"crit": ["exp"]}),
    "detached payload": lambda: made({"b64": False, "crit": ["b64"]}),
    "kid of a file": lambda: made({"kid": "../../../../dev/null"}, ""),
    "kid of a query": lambda: made({"kid": "' UNION SELECT 'x' --"}, "x"),
    "kid of a command": lambda: made({"kid": "|id"}),
    "kid unknown": lambda: made({"kid": "2027-a"}),
    "kid empty": lambda: made({"kid": ""}, ""),
    "kid missing": lambda: made({"kid": None}),
    "kid that is a list": lambda: made({"kid": [KID]}),
    "kid that is an object": lambda: made({"kid": {KID: KID}}),
    "kid with an end of line": lambda: made({"kid": f"{KID}\n"}),
    "signed by nobody": lambda: made(secret="another-secret-that-is-long-enough-for-it"),
    "signed with the kid": lambda: made(secret=KID),
    "another audience": lambda: made(aud="other"),
    "a room's audience": lambda: made(aud=ROOM_AUDIENCE, room="chat.a"),
    "no audience": lambda: made(aud=None),
    "no expiry": lambda: made(exp=None),
    "no issue": lambda: made(iat=None),
    "no subject": lambda: made(sub=None),
    "expires far away": lambda: made(exp=FAR),
    "lives too long": lambda: made(exp=int(time.time()) + MAX_LIFETIME + 1),
    "issued in the future": lambda: made(iat=int(time.time()) + 3600, exp=int(time.time()) + 7200),
    "issued and expiring far away": lambda: made(iat=FAR - 60, exp=FAR),
    "not good before tomorrow": lambda: made(nbf=int(time.time()) + 86_400),
    "not good before some text": lambda: made(nbf="tomorrow"),
    "expiry as text": lambda: made(exp="9999999999"),
    "expiry that is true": lambda: made(exp=True),
    "expiry without a number": lambda: made(exp=float("nan")),
    "expiry without an end": lambda: made(exp=float("inf")),
    "expiry beyond numbers": lambda: made(raw='{"exp":1e999,"iat":0,"sub":"a","aud":"roomline"}'),
    "expiry of many digits": lambda: made(raw='{"exp":' + "9" * 5000 + ',"iat":0}'),
    "subject with a dot": lambda: made(sub="ann.bob"),
    "subject with a star": lambda: made(sub="*"),
    "subject that is a number": lambda: made(sub=1),
    "subject that is a list": lambda: made(sub=["ann"]),
    "subject with an end of line": lambda: made(sub="ann\n"),
    "rights with a star": lambda: made(read=["chat.*"]),
    "rights with a hash": lambda: made(read=["#"]),
    "rights to everything": lambda: made(read=[".**"]),
    "rights that are text": lambda: made(read="chat.**"),
    "rights within rights": lambda: made(read=[["chat.**"]]),
    "claims that are a list": lambda: made(raw="[]"),
    "claims in claims": lambda: made(raw='{"a":' * 3000 + "1" + "}" * 3000),
    "a list of lists": lambda: made(raw="[" * 20_000),
    "no JSON": lambda: made(raw="{"),
    "a token in a token": lambda: made(raw=connection_token()),
    "two parts": lambda: made().rpartition(".")[0],
    "four parts": lambda: made() + ".x",
    "padding": lambda: made() + "==",
    "many dots": lambda: "." * 5000,
    "huge": lambda: "a" * 60_000,
    "huge claims": lambda: made(name="x" * 40_000, sub="a" * 65),
    "zero bytes": lambda: made().replace(".", "\0.", 1),
    "nothing": lambda: "",
    "blank": lambda: " ",
}


@pytest.mark.parametrize("case", TOKENS)
async def test_tokens_that_nobody_gave(node: Gateway, port: int, case: str) -> None:
    """Refused as a client's and as a reader's, in a sentence, without a trace of them in the
    log."""
    token = TOKENS[case]()
    async with Talk.to(node.url, connect=False) as talk:
        refused = await talk.refused_any("connect", version=1, token=token)
        assert refused.code in ("token_invalid", "token_expired", "bad_request", "too_large")
        assert not refused.temporary
        assert len(refused.reason) < 1000
        for secret in SECRETS.values():
            assert secret not in refused.reason
        await talk.refused("not_connected", "subscribe", room="chat.a")
    if len(token) < 8000 and "\0" not in token:
        path = "/roomline/rooms/chat.a/events"
        said = answer(port, head("GET", path, f"Authorization: Bearer {token}"))
        assert said is not None
        assert said.status == 401
    if len(token) > 20:
        assert token[:200] not in node.log
        assert token.rpartition(".")[2][:200] not in node.log or len(token.rpartition(".")[2]) < 20


async def test_the_same_token_when_it_is_right(node: Gateway) -> None:
    """What the attacks above begin from is good."""
    async with Talk.to(node.url, token=made()) as talk:
        assert talk.connected.user is not None


# Rooms.

NO_ROOMS = [
    *("#", "*", "chat.#", "chat.*", "*.lobby", "#.lobby", "chat.lobby.#", "chat.**"),
    *("", ".", "..", ".chat", "chat.", "chat..lobby", " ", "chat. lobby", "chat.lobby "),
    *("chat.lobby\n", "chat.lobby\r\nX: y", "chat.\0", "chat/lobby", "chat.lobby#", "chat.%23"),
    *("chat.\u202elobby", "ch\u0430t.lobby", "chat.\uff03", "chat.\U0001f600"),
    *("chat." + "x" * 196, "x" * 60_000, "chat." * 39 + "."),
]
RESERVED = ["control", "control.users.ann", "signals", "signals.a", "requests.a", "answers.a"]
DENIED = ("forbidden", "room_unknown", "room_token_required", "not_subscribed")
RESERVED += ["rooms", "amq.topic", "system.notices", "admin.log", "user.ann", "nowhere.a"]


@pytest.mark.parametrize("room", NO_ROOMS, ids=lambda room: ascii(room[:24]))
async def test_what_is_no_room(node: Gateway, port: int, internal: int, room: str) -> None:
    """By every command, and every other way to name one."""
    async with Talk.to(node.url) as talk:
        for kind, fields in COMMANDS.items():
            refused = await talk.refused_any(kind, room=room, **fields)
            assert refused.code in ("room_invalid", "bad_request"), kind
    if len(room) < 1000:
        coded_room = "".join(f"%{byte:02X}" for byte in room.encode())
        events = answer(port, head("GET", f"/roomline/rooms/{coded_room}/events"))
        assert events is not None
        assert events.status == 400
        for method, lines in (("GET", []), ("POST", ["Content-Length: 10"])):
            path = f"/api/rooms/{coded_room}/publications"
            request = head(method, path, f"Authorization: Bearer {API_TOKEN}", *lines)
            said = answer(internal, request + (b'{"data":1}' if lines else b""))
            assert said is not None
            assert said.status == 400
            assert json.loads(said.body)["code"] == "room_invalid"


COMMANDS: dict[str, dict[str, Any]] = {
    "subscribe": {},
    "publish": {"data": 1},
    "history": {},
}


@pytest.mark.parametrize("room", RESERVED)
async def test_rooms_that_are_not_a_clients(node: Gateway, room: str) -> None:
    """Anonymous, and with a token for everything of chat, nobody writes them."""
    for token in (None, connection_token("bob", read=("chat.**",), write=("chat.**",))):
        async with Talk.to(node.url, token=token) as talk:
            refused = await talk.refused_any("publish", room=room, data=1)
            assert refused.code in DENIED, token
            if room != "system.notices":
                for kind in ("subscribe", "history"):
                    refused = await talk.refused_any(kind, room=room)
                    assert refused.code in DENIED, kind


@pytest.mark.parametrize("room", ["control", "control.users.ann", "signals.a", "requests.a"])
async def test_rooms_that_are_not_the_http_apis(internal: int, room: str) -> None:
    bearer = {"Authorization": f"Bearer {API_TOKEN}"}
    path = f"/api/rooms/{room}/publications"
    for method, body in (("POST", '{"data":1}'), ("GET", "")):
        said = await ask(internal, method, path, body, bearer)
        assert said.status in (403, 404)


@pytest.mark.parametrize("room", ["chat.#", "*", "", "chat..a", "control.users.ann", "signals.a"])
def test_rooms_that_are_not_an_operators(node: Gateway, room: str) -> None:
    command = [sys.executable, "-m", "roomline", "publish", room, "1"]
    environment = os.environ | {
        "ROOMLINE_BROKER": node.broker,
        "ROOMLINE_NAMESPACES": "chat:read=public,write=public",
    }
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert ran.returncode in (1, 2)
    assert ran.stdout == ""
    assert ran.stderr.startswith("roomline: ")
    assert "Traceback" not in ran.stderr


# Data.


@pytest.mark.parametrize(
    "data",
    [
        *("1e999", "-1e999", "NaN", "Infinity", "-Infinity", "[" * 5000 + "]" * 5000),
        *("01", "+1", "0x1", "1_0", "'a'", '"\t"', '"\\x00"', "nul", "[1,]", '{"a":1,}', "{1:1}"),
        '{"a":' * 5000,
    ],
    ids=lambda data: data[:12],
)
async def test_data_that_is_no_json(node: Gateway, internal: int, data: str) -> None:
    async with Talk.to(node.url) as talk:
        text = '{"id":99,"type":"publish","room":"chat.data","data":' + data + "}"
        await talk.connection.send_text(text)
        refused = await talk.refused_any("subscribe", room="#")
        assert refused.code == "room_invalid", "and the session goes on"
    bearer = {"Authorization": f"Bearer {API_TOKEN}"}
    path = "/api/rooms/chat.data/publications"
    said = await ask(internal, "POST", path, f'{{"data":{data}}}', bearer)
    assert said.status == 400
    history = await ask(internal, "GET", path, headers=bearer)
    assert json.loads(history.body)["publications"] == []


async def test_huge_numbers_and_names_that_come_twice(node: Gateway) -> None:
    """Every subscriber reads the same, whatever its parser would have made of the original."""
    async with Talk.to(node.url) as talk:
        await talk.subscribe("chat.numbers")
        text = '{"id":99,"type":"publish","room":"control.x","room":"chat.numbers",'
        text += '"data":{"a":1,"a":2,"__proto__":{"b":1},"n":' + "9" * 40 + "}}"
        await talk.connection.send_text(text)
        publication = await talk.publication()
        assert publication.room == "chat.numbers"
        assert publication.data["a"] == 2
        assert publication.data["n"] == pytest.approx(1e40)


# The log.

TRICKS = [
    "\n2026-01-01T00:00:00.000Z ERROR roomline.node: forged",
    "\r\nforged",
    "\x1b[2J\x1b[31mforged",
    "\x9b31mforged",
    "\u202eforged\u2066",
    "\u2028forged",
    "\x07\x08forged",
]


@pytest.mark.parametrize("trick", TRICKS, ids=ascii)
async def test_nobody_writes_the_log(node: Gateway, port: int, trick: str) -> None:
    """At its most talkative, it has neither their lines nor what they said."""
    async with Talk.to(node.url, token=connection_token("ann", name=trick)) as talk:
        await talk.publish("chat.log", {"text": "a-secret-message" + trick}, key="k")
        await talk.refused_any("subscribe", room=trick)
        await talk.refused_any("connect", version=1, token="a-secret-token" + trick)
        await talk.refused_any(trick)
    said = trick.encode().decode("latin1").replace("\r", "").replace("\n", "")
    answer(port, head("GET", "/roomline/rooms/chat.a/events", f"Authorization: {said}"))
    answer(port, head("GET", "/roomline/info", f"Origin: {said}", f"User-Agent: {said}"))
    answer(port, head("GET", "/" + said.replace(" ", "")))
    assert "forged" not in node.log
    assert "a-secret" not in node.log
    assert all(char.isprintable() or char == "\n" for char in node.log)


# The two ports.


@pytest.mark.parametrize(
    "path",
    [
        *("/metrics", "/metrics/", "//metrics", "/roomline/metrics", "/roomline/../metrics"),
        *("/healthz", "/readyz", "/api/rooms/chat.a/publications"),
        "/roomline/api/rooms/chat.a/publications",
    ],
)
def test_the_internal_ports_paths_are_not_on_the_public_one(port: int, path: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        bearer = f"Authorization: Bearer {API_TOKEN}"
        said = answer(port, head(method, path, bearer, "Content-Length: 0", host="127.0.0.1:8002"))
        assert said is not None
        assert said.status == 404
        assert b"roomline_" not in said.body


@pytest.mark.parametrize(
    "path",
    [
        *("/roomline", "/roomline/info", "/roomline/rooms/chat.a/events", "/roomline/websocket"),
        *("/roomline/000/a/xhr", "/roomline/000/a/websocket", "/roomline/iframe.html"),
    ],
)
def test_the_public_ports_paths_are_not_on_the_internal_one(internal: int, path: str) -> None:
    for method in ("GET", "POST"):
        said = answer(internal, head(method, path, "Content-Length: 0"))
        assert said is not None
        assert said.status == 404


@pytest.mark.slow
def test_the_border_is_the_same_between_several_processes(tmp_path: Path) -> None:
    """Whichever of them answers."""
    several = Gateway(
        f"embedded:{tmp_path}/rooms.sqlite3", PROCESSES="2", INTERNAL_PORT=str(free_ports(2))
    )
    several.start()
    try:
        public = port_of(several.url)
        for path in ("/metrics", "/healthz", "/api/rooms/chat.a/publications"):
            for _ in range(10):
                said = answer(public, head("GET", path, f"Authorization: Bearer {API_TOKEN}"))
                assert said is not None
                assert said.status == 404
        assert len(several.internals) == 2
        for internal in several.internals:
            for path in ("/roomline", "/roomline/info", "/roomline/000/a/xhr"):
                said = answer(int(internal.rpartition(":")[2]), head("GET", path))
                assert said is not None
                assert said.status == 404
            assert several.get("/metrics", at=internal).status == 200
    finally:
        several.close()


async def test_the_http_api_lets_no_page_in(internal: int) -> None:
    """A browser on the operator's machine is no way to it."""
    origin = {"Origin": "https://page.example", "Access-Control-Request-Headers": "authorization"}
    for path in ("/api/rooms/chat.a/publications", "/metrics"):
        for method in ("OPTIONS", "GET", "POST"):
            said = await ask(internal, method, path, headers=origin)
            assert not [name for name in said.headers if name.startswith("access-control-")]


def test_secrets_are_compared_in_constant_time() -> None:
    """By reading: no module compares with == what is named a token or a secret; the one that
    compares bearer tokens asks hmac."""
    folder = Path(roomline.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        for found in ast.walk(ast.parse(path.read_text())):
            if isinstance(found, ast.Compare) and any(
                isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn)
                for operator in found.ops
            ):
                sides = {ast.unparse(side) for side in (found.left, *found.comparators)}
                assert not sides & SECRET_NAMES, f"{path.name}:{found.lineno}"
    assert "hmac.compare_digest" in (folder / "http" / "bearer.py").read_text()


SECRET_NAMES = {
    "token",
    "self._tokens",
    "api_tokens",
    "secret",
    "known",
    "cluster_key",
    "mac",
    "tag",
}

"""Who may connect, read and write: tokens, their end and renewal, rules of namespaces."""

import asyncio
import time
from collections.abc import Callable, Iterator

import jwt
import pytest
from roomline.client import Client
from roomline.client.session import publications_of
from roomline.core.messages import UnsubscribedPush
from roomline.tokens import CONNECTION_AUDIENCE, Keyring, sign_room

from tests.end_to_end.conftest import Gateways
from tests.support.gateway import Gateway
from tests.support.talk import Talk
from tests.support.tokens import API_TOKEN, KEYS, SECRETS, connection_token, room_token

pytestmark = pytest.mark.timeout(30)

RULES = ";".join(
    [
        "open:read=public,write=public",
        "members:read=authenticated,write=authenticated",
        "club:read=token,write=token",
        "news:read=public,write=none",
        "inbox:read=none,write=public",
    ]
)
MANY = ("open.**", "members.**", "club.**", "news.**", "inbox.**", "user.**", "system.**")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all tests here that need no settings of their own."""
    gateway = Gateway(f"embedded:{tmp_path_factory.mktemp('access')}/log.sqlite3", NAMESPACES=RULES)
    gateway.start()
    yield gateway
    gateway.close()


async def test_a_token_says_who_connects(node: Gateway) -> None:
    token = connection_token("ann", name="Ann Ö.", lifetime=600)
    async with Talk.to(node.url, token=token) as talk:
        assert talk.connected.user is not None
        assert (talk.connected.user.id, talk.connected.user.name) == ("ann", "Ann Ö.")
        assert talk.connected.expires_in in (599, 600)
        await talk.subscribe("open.room")
        await talk.publish("open.room", "hi")
        publication = await talk.publication()
        assert publication.sender == talk.connected.user
    async with Talk.to(node.url, client="c" * 32) as anonymous:
        await anonymous.subscribe("open.room")
        await anonymous.publish("open.room", "hi")
        publication = await anonymous.publication()
        assert publication.sender is None or publication.sender.id != "ann"


def forged() -> str:
    return connection_token(keys=Keyring({"2026-b": "another secret that is long enough to sign"}))


def unsigned() -> str:
    claims = {"sub": "ann", "aud": CONNECTION_AUDIENCE, "iat": 0, "exp": 2**40}
    return jwt.encode(claims, None, algorithm="none", headers={"kid": "2026-b"})


def with_bad_user() -> str:
    now = int(time.time())
    return KEYS.sign({"sub": "a b", "aud": CONNECTION_AUDIENCE, "iat": now, "exp": now + 60})


@pytest.mark.parametrize(
    ("make_token", "code"),
    [  # made when they are needed: they age while other tests run
        (lambda: "not a token", "token_invalid"),
        (lambda: "e30.e30.e30", "token_invalid"),
        (forged, "token_invalid"),
        (lambda: connection_token(keys=Keyring({"unknown": "x" * 32})), "token_invalid"),
        (lambda: connection_token()[:-2] + "xx", "token_invalid"),
        (lambda: connection_token(lifetime=60, age=61), "token_expired"),
        (lambda: connection_token(age=-120), "token_invalid"),
        (lambda: room_token("ann", "open.room"), "token_invalid"),
        (unsigned, "token_invalid"),
        (with_bad_user, "token_invalid"),
    ],
    ids=[
        "text", "empty-parts", "forged", "unknown-key", "damaged", "expired", "of-the-future",
        "a-room-token", "unsigned", "bad-user",
    ],
)  # fmt: skip
async def test_bad_tokens_are_refused(
    node: Gateway, make_token: Callable[[], str], code: str
) -> None:
    token = make_token()
    async with Talk.to(node.url, connect=False) as talk:
        refused = await talk.refused(code, "connect", version=1, token=token)
        assert not refused.temporary
        assert all(secret not in refused.reason for secret in SECRETS.values())
        await talk.refused("not_connected", "subscribe", room="open.room")
        # A better one is still welcome.
        await talk.connect(token=connection_token())


async def test_anonymous_clients_are_refused_when_off(embedded: str, gateways: Gateways) -> None:
    node = gateways(embedded, ANONYMOUS="false")
    async with Talk.to(node.url, connect=False) as talk:
        await talk.refused("token_required", "connect", version=1)
        await talk.refused("token_required", "connect", version=1, client="c" * 32)
        connected = await talk.connect(token=connection_token("ann"))
        assert connected.user is not None


async def test_keys_rotate(embedded: str, gateways: Gateways) -> None:
    """A key that is being retired still verifies; one that is gone does not."""
    node = gateways(embedded)
    old = Keyring({"2026-a": SECRETS["2026-a"]})
    for keys in (KEYS, old):
        async with Talk.to(node.url, token=connection_token(keys=keys)) as talk:
            assert talk.connected.user is not None
    later = gateways(embedded, KEYS=f"2026-b:{SECRETS['2026-b']}")
    async with Talk.to(later.url, connect=False) as talk:
        await talk.refused("token_invalid", "connect", version=1, token=connection_token(keys=old))
        await talk.connect(token=connection_token())


async def test_an_expired_session_is_disconnected(node: Gateway) -> None:
    async with Talk.to(node.url, token=connection_token(lifetime=2)) as talk:
        assert talk.connected.expires_in in (1, 2)
        await talk.subscribe("open.room")
        closed = await talk.closed(within=4)
        assert (closed.code, closed.reason) == (3004, "token expired")
        assert not closed.final


async def test_refresh_prolongs(node: Gateway) -> None:
    async with Talk.to(node.url, token=connection_token(lifetime=2)) as talk:
        refreshed = await talk.refresh(connection_token(lifetime=600))
        assert refreshed.expires_in in (599, 600)
        await asyncio.sleep(2.5)
        await talk.ping()


async def test_a_bad_refresh_changes_nothing(node: Gateway) -> None:
    async with Talk.to(node.url, token=connection_token(lifetime=600)) as talk:
        await talk.refused("token_invalid", "refresh", token="nonsense")
        await talk.refused("token_expired", "refresh", token=connection_token(lifetime=9, age=10))
        # Somebody else's token does not turn this session into theirs.
        for token in (connection_token("bob"), room_token("ann", "open.room")):
            refused = await talk.refused_any("refresh", token=token)
            assert refused.code in ("token_invalid", "forbidden")
        await talk.subscribe("open.room")


async def test_a_refreshed_token_may_take_rooms_away(node: Gateway) -> None:
    both = connection_token(read=("club.one", "club.two"))
    async with Talk.to(node.url, token=both) as talk:
        await talk.subscribe("club.one")
        await talk.subscribe("club.two")
        await talk.refresh(connection_token(read=("club.two",)))
        push = await talk.push()
        assert isinstance(push, UnsubscribedPush)
        assert (push.room, push.code) == ("club.one", "forbidden")
        refused = await talk.refused_any("subscribe", room="club.one")
        assert refused.code in ("forbidden", "room_token_required")
        await talk.subscribe("club.two")


async def test_the_python_client_refreshes_by_itself(node: Gateway) -> None:
    made: list[str] = []

    def token() -> str:
        made.append(connection_token(lifetime=4))
        return made[-1]

    async with Client(node.url, token=token) as client:
        room = await client.subscribe("open.room")
        await asyncio.sleep(6)
        assert len(made) >= 2
        assert client.connections == 1
        await client.publish("open.room", "still here")
        assert (await anext(room)).data == "still here"


@pytest.mark.parametrize(
    ("room", "anonymous", "user", "granted"),
    # What each may do: r, w, both or neither.
    [
        ("open.room", "rw", "rw", "rw"),
        ("members.room", "", "rw", "rw"),
        ("club.room", "", "", "rw"),
        ("news.room", "r", "r", "r"),
        ("inbox.room", "w", "w", "w"),
        ("system.notices", "r", "r", "r"),
        ("user.ann", "", "r", "r"),
        ("user.bob", "", "", ""),
    ],
)
async def test_a_namespaces_rule_is_a_ceiling(
    node: Gateway, room: str, anonymous: str, user: str, granted: str
) -> None:
    for token, may in (
        (None, anonymous),
        (connection_token("ann"), user),
        (connection_token("ann", read=MANY, write=MANY), granted),
    ):
        async with Talk.to(node.url, token=token) as talk:
            for kind, fields, letter in (
                ("subscribe", {}, "r"),
                ("history", {}, "r"),
                ("publish", {"data": 1}, "w"),
            ):
                if letter in may:
                    if kind == "subscribe":
                        await talk.subscribe(room)
                    elif kind == "history":
                        await talk.history(room)
                    else:
                        await talk.publish(room, 1)
                else:
                    refused = await talk.refused_any(kind, room=room, **fields)
                    assert refused.code in ("forbidden", "room_token_required"), (kind, token)
                    assert not refused.temporary


async def test_grants_are_names_and_prefixes(node: Gateway) -> None:
    token = connection_token(read=("club.a.**", "club.b"), write=("club.b",))
    async with Talk.to(node.url, token=token) as talk:
        for room in ("club.a.x", "club.a.x.y", "club.b"):
            await talk.subscribe(room)
        for room in ("club.a", "club.ab", "club.b.c", "club.c"):
            await talk.refused_any("subscribe", room=room)
        await talk.publish("club.b", 1)
        for room in ("club.a.x", "club.b.c"):
            await talk.refused_any("publish", room=room, data=1)


async def test_room_tokens_let_one_subject_into_one_room(node: Gateway) -> None:
    async with Talk.to(node.url, token=connection_token("ann")) as talk:
        room = "club.secret"
        await talk.refused("room_token_required", "subscribe", room=room)
        for token in (
            room_token("bob", room),
            room_token("ann", "club.other"),
            connection_token("ann"),
            "nonsense",
        ):
            refused = await talk.refused_any("subscribe", room=room, token=token)
            assert refused.code in ("token_invalid", "forbidden")
        expired = room_token("ann", room, lifetime=60, age=61)
        await talk.refused("token_expired", "subscribe", room=room, token=expired)

        await talk.subscribe(room, token=room_token("ann", room))
        await talk.refused_any("publish", room=room, data=1)  # reading only
        await talk.refused_any("subscribe", room="club.other")
        await talk.subscribe(room, token=room_token("ann", room, write=True))
        await talk.publish(room, "psst")
        assert (await talk.publication()).data == "psst"


async def test_a_room_token_is_not_above_the_rule(node: Gateway) -> None:
    async with Talk.to(node.url, token=connection_token("ann")) as talk:
        token = room_token("ann", "inbox.room", write=True)
        await talk.refused("forbidden", "subscribe", room="inbox.room", token=token)


async def test_a_room_token_that_expires_ends_the_subscription(node: Gateway) -> None:
    room = "club.secret"
    async with Talk.to(node.url, token=connection_token("ann")) as talk:
        await talk.subscribe("open.room")
        await talk.subscribe(room, token=room_token("ann", room, lifetime=2, write=True))
        push = await talk.push(within=4)
        assert isinstance(push, UnsubscribedPush)
        assert (push.room, push.code) == (room, "token_expired")
        await talk.refused_any("publish", room=room, data="too late")
        await talk.publish("open.room", "only that room has ended")
        await talk.publication()
        pong = await talk.ping()
        assert pong.sent == talk.received == 2


async def test_automatic_rooms_push_without_being_asked(node: Gateway) -> None:
    async with (
        Talk.to(node.url, token=connection_token("ann")) as ann,
        Talk.to(node.url, token=connection_token("bob")) as bob,
        Talk.to(node.url) as anonymous,
    ):
        assert {entry.room for entry in ann.connected.rooms} == {"system.notices", "user.ann"}
        assert {entry.room for entry in anonymous.connected.rooms} == {"system.notices"}
        for room in ("system.notices", "user.ann"):
            answer = node.get(
                f"/api/rooms/{room}/publications",
                token=API_TOKEN,
                body={"data": room, "kind": "system"},
            )
            assert answer.status == 201, answer
        heads = {entry.room: entry.head for entry in ann.connected.rooms}
        for publication in await ann.publications(2):
            assert publication.data == publication.room
            assert publication.kind == "system"
            assert publication.previous == heads[publication.room]
        for talk in (bob, anonymous):
            [only] = await talk.publications(1)
            assert only.room == "system.notices"
            await talk.silence()

        # They are rooms like others: what is missed can be recovered.
        entry = next(entry for entry in ann.connected.rooms if entry.room == "user.ann")
        reply = await ann.subscribe("user.ann", since=entry.position)
        assert reply.recovered is True
        assert [p.data for p in publications_of(reply)] == ["user.ann"]


async def test_a_token_of_nobody_known_stays_out_of_other_peoples_rooms(node: Gateway) -> None:
    token = connection_token("eve", read=("user.ann",))
    async with Talk.to(node.url, token=token) as talk:
        await talk.refused_any("subscribe", room="user.ann")
        signed = sign_room(KEYS, "eve", "user.ann", now=time.time(), lifetime=60)
        await talk.refused_any("subscribe", room="user.ann", token=signed)

"""`roomline.client.Client` when rights are taken back, against a real gateway."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.request import urlopen

import pytest
import pytest_asyncio
from roomline.client import (
    Client,
    CommandRefused,
    ConnectionFailed,
    Subscription,
    SubscriptionEnded,
    TokenUnavailable,
    Transport,
)
from roomline.core.codes import Disconnect, ErrorCode, Unsubscribed
from roomline.revocations import Revocation, RoomRevoked, UserRevoked, revocation_envelopes
from roomline.sqlitelog import CONTROL_SUFFIX, PUBLISHER, SqliteLog
from roomline.testing import LiveGateway
from roomline.tokens import Grants, Keyring, sign_connection, sign_room

from tests.support.until import until

pytestmark = pytest.mark.timeout(30)
KEYS = Keyring({"1": "s" * 32})
ROOM = "club.board"
OPEN = "open.board"
FAST: dict[str, Any] = {"first_delay": 0.02, "longest_delay": 0.1}


@pytest.fixture
def gateway() -> Iterator[LiveGateway]:
    rules = "club:read=token,write=token;open:read=public,write=token"
    settings = {"keys": f"1:{'s' * 32}", "namespaces": rules}
    with LiveGateway(**settings) as gateway:
        yield gateway


class Issuer:
    """What Django is to a client: the tokens of user 7, and the latest generation of them."""

    def __init__(self) -> None:
        self.generation = 1
        self.rooms: tuple[str, ...] = (ROOM,)
        self.given: list[int] = []
        """The generation of each token, of connections and rooms."""
        self.late = 0
        """How many of the next tokens are of the generation before."""

    def connection(self) -> str:
        grants = Grants(self.rooms, self.rooms)
        return sign_connection(KEYS, "7", grants=grants, **self._next())

    def room(self) -> str:
        return sign_room(KEYS, "7", ROOM, write=True, **self._next())

    def _next(self) -> Any:
        generation = self.generation - (self.late > 0)
        self.late = max(0, self.late - 1)
        self.given.append(generation)
        return {"now": time.time(), "lifetime": 600, "generation": generation}

    def revoke(self, gateway: LiveGateway, revocation: type[Revocation], subject: str) -> None:
        """Begin a generation, and tell the gateway as Django does."""
        self.generation += 1
        log = SqliteLog(gateway.broker.removeprefix("embedded:") + CONTROL_SUFFIX)
        try:
            envelope = revocation_envelopes([revocation(subject, self.generation)])[0]
            log.append([envelope._replace(publisher=PUBLISHER)])
        finally:
            log.close()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest_asyncio.fixture
async def client(gateway: LiveGateway, issuer: Issuer) -> AsyncIterator[Client]:
    async with Client(gateway.url, token=issuer.connection, **FAST) as client:
        yield client


async def told(gateway: LiveGateway, issuer: Issuer) -> None:
    """Return when the gateway has read every revocation."""

    def read() -> bool:
        with urlopen(f"{gateway.internal_url}/metrics") as answer:
            count = re.search(r"^roomline_revocations_total (\d+)", answer.read().decode(), re.M)
        return count is not None and int(count[1]) == issuer.generation - 1

    await until(read)


async def take(subscription: Subscription, count: int) -> list[Any]:
    """The data of the next publications."""
    async with asyncio.timeout(10):
        return [(await anext(subscription)).data for _ in range(count)]


async def test_rights_that_have_changed_are_shown_anew(
    gateway: LiveGateway, issuer: Issuer, client: Client
) -> None:
    room = await client.subscribe(ROOM)
    await client.publish(ROOM, "before")
    issuer.revoke(gateway, RoomRevoked, ROOM)
    for number in range(5):
        gateway.publish(ROOM, number)
    assert await take(room, 6) == ["before", *range(5)]
    await until(lambda: issuer.given == [1, 2] and room.live)
    assert (room.restarts, room.losses, room.recovered) == (1, 0, True)
    await client.publish(ROOM, "still a writer")
    assert await take(room, 1) == ["still a writer"]
    assert client.connections == 1, "the session went on"


async def test_a_room_that_has_its_own_token_gets_another_one(
    gateway: LiveGateway, issuer: Issuer, client: Client
) -> None:
    issuer.rooms = ()
    await client.refresh()
    room = await client.subscribe(ROOM, token=issuer.room)
    issuer.late = 1
    issuer.revoke(gateway, RoomRevoked, ROOM)
    gateway.publish(ROOM, "meanwhile")
    # One that comes too late is refused, and asked for once more.
    await until(lambda: issuer.given == [1, 1, 1, 1, 2] and room.live)
    assert await take(room, 1) == ["meanwhile"]
    assert (room.losses, client.connections) == (0, 1)


async def test_a_right_that_is_gone_ends_the_room_alone(
    gateway: LiveGateway, issuer: Issuer, client: Client
) -> None:
    issuer.rooms = (ROOM, "club.other")
    await client.refresh()
    room, other = await client.subscribe(ROOM), await client.subscribe("club.other")
    issuer.rooms = ("club.other",)
    issuer.revoke(gateway, RoomRevoked, ROOM)
    with pytest.raises((CommandRefused, SubscriptionEnded)) as gone:
        await take(room, 1)
    assert gone.value.code in {
        ErrorCode.ROOM_TOKEN_REQUIRED.code,
        Unsubscribed.FORBIDDEN.code,
    }
    gateway.publish("club.other", "for members")
    assert await take(other, 1) == ["for members"]
    with pytest.raises(CommandRefused):
        await client.publish(ROOM, "no more")
    assert client.connections == 1


@pytest.mark.parametrize("transport", ["websocket", "xhr-streaming", "xhr-polling"])
async def test_a_revoked_user_comes_back_with_a_new_token(
    gateway: LiveGateway, issuer: Issuer, transport: Transport
) -> None:
    async with Client(gateway.url, transport=transport, token=issuer.connection, **FAST) as client:
        room = await client.subscribe(ROOM)
        issuer.late = 2
        issuer.revoke(gateway, UserRevoked, "7")
        await until(lambda: client.closes)
        assert client.closes[0].code == Disconnect.REVOKED.code
        gateway.publish(ROOM, "meanwhile")
        assert await take(room, 1) == ["meanwhile"]
        assert issuer.given == [1, 1, 1, 2], "two were refused: token_revoked"
        assert room.losses == 0


async def test_a_revoked_token_alone_is_refused_for_good(
    gateway: LiveGateway, issuer: Issuer, client: Client
) -> None:
    old = issuer.connection()
    issuer.revoke(gateway, UserRevoked, "7")
    await until(lambda: client.connections == 2)
    with pytest.raises(CommandRefused, match=ErrorCode.TOKEN_REVOKED.code):
        await client.refresh(old)
    late = Client(gateway.url, token=lambda: old, **FAST)
    with pytest.raises(ConnectionFailed, match=ErrorCode.TOKEN_REVOKED.code):
        await late.connect(within=1.5)


@pytest.mark.parametrize("by_room_token", [False, True])
async def test_who_publishes_while_rights_are_shown_anew_waits_for_them(
    gateway: LiveGateway, issuer: Issuer, by_room_token: bool
) -> None:
    if by_room_token:
        issuer.rooms = ()
    # A new token is not asked for at once, so that what is published meanwhile is refused.
    slow = {"first_delay": 1.0, "longest_delay": 1.0}
    async with Client(gateway.url, token=issuer.connection, **slow) as client:
        room = await client.subscribe(ROOM, token=issuer.room if by_room_token else None)
        issuer.revoke(gateway, RoomRevoked, ROOM)
        await until(lambda: not room.live)
        await client.publish(ROOM, "meanwhile")
        assert await take(room, 1) == ["meanwhile"]
        assert (room.restarts, room.losses, client.connections) == (1, 0, 1)


async def test_who_publishes_while_a_right_goes_is_refused(
    gateway: LiveGateway, issuer: Issuer, client: Client
) -> None:
    room = await client.subscribe(ROOM)
    issuer.rooms = ()
    issuer.revoke(gateway, RoomRevoked, ROOM)
    await until(lambda: not room.live)
    with pytest.raises(CommandRefused, match=ErrorCode.FORBIDDEN.code):
        await client.publish(ROOM, "no more", within=10)


async def test_who_only_publishes_shows_another_token_when_rights_have_changed(
    gateway: LiveGateway, issuer: Issuer, client: Client
) -> None:
    """Nobody tells it: it is not subscribed. What was published at the same time waits for the one
    token, and stands in the log once."""
    await client.publish(ROOM, "before")
    issuer.revoke(gateway, RoomRevoked, ROOM)
    await told(gateway, issuer)
    await asyncio.gather(*(client.publish(ROOM, number, key=f"k-{number}") for number in range(5)))
    assert issuer.given == [1, 2]
    assert client.connections == 1, "the session went on"
    async with Client(gateway.url, token=issuer.connection) as reader:
        data = await take(await reader.subscribe(ROOM, history=10), 6)
    assert data[0] == "before"
    assert sorted(data[1:]) == list(range(5))
    await client.publish(ROOM, "after")
    assert issuer.given == [1, 2, 2], "the last of them was the reader's"


async def test_who_subscribes_when_rights_have_changed_shows_another_token(
    gateway: LiveGateway, issuer: Issuer, client: Client
) -> None:
    issuer.revoke(gateway, RoomRevoked, ROOM)
    await told(gateway, issuer)
    room = await client.subscribe(ROOM)
    gateway.publish(ROOM, "still a reader")
    assert await take(room, 1) == ["still a reader"]
    assert (issuer.given, client.connections) == ([1, 2], 1)


async def test_another_token_is_shown_once_for_a_subscription(
    gateway: LiveGateway, issuer: Issuer, client: Client
) -> None:
    issuer.revoke(gateway, RoomRevoked, ROOM)
    await told(gateway, issuer)
    issuer.late = 1
    with pytest.raises(CommandRefused, match=ErrorCode.TOKEN_REVOKED.code):
        await client.subscribe(ROOM)
    assert issuer.given == [1, 1]


async def test_who_reads_by_another_rule_shows_another_token_to_publish(
    gateway: LiveGateway, issuer: Issuer
) -> None:
    """Its subscription needs no token, so that it goes on and is told nothing."""
    issuer.rooms = (OPEN,)
    async with Client(gateway.url, token=issuer.connection, **FAST) as client:
        room = await client.subscribe(OPEN)
        issuer.revoke(gateway, RoomRevoked, OPEN)
        await told(gateway, issuer)
        await client.publish(OPEN, "still a writer")
        assert await take(room, 1) == ["still a writer"]
        assert (room.restarts, issuer.given) == (0, [1, 2])


async def test_another_token_is_shown_once_for_a_publication(
    gateway: LiveGateway, issuer: Issuer, client: Client
) -> None:
    issuer.revoke(gateway, RoomRevoked, ROOM)
    await told(gateway, issuer)
    issuer.late = 1
    with pytest.raises(CommandRefused, match=ErrorCode.TOKEN_REVOKED.code):
        await client.publish(ROOM, "too early")
    assert issuer.given == [1, 1]
    await client.publish(ROOM, "now")
    assert issuer.given == [1, 1, 2]


async def test_a_right_to_publish_that_is_gone_is_asked_for_once(
    gateway: LiveGateway, issuer: Issuer, client: Client
) -> None:
    issuer.rooms = ()
    issuer.revoke(gateway, RoomRevoked, ROOM)
    await told(gateway, issuer)
    for _ in range(2):
        with pytest.raises(CommandRefused, match=ErrorCode.FORBIDDEN.code):
            await client.publish(ROOM, "no more")
    assert issuer.given == [1, 2]


async def test_there_is_no_other_token_for_the_moment(gateway: LiveGateway, issuer: Issuer) -> None:
    broken = False

    def token() -> str:
        nonlocal broken
        if broken:
            broken = False
            raise OSError("the site is away")
        return issuer.connection()

    async with Client(gateway.url, token=token, **FAST) as client:
        issuer.revoke(gateway, RoomRevoked, ROOM)
        await told(gateway, issuer)
        broken = True
        await client.publish(ROOM, "later")
        assert (broken, issuer.given) == (False, [1, 2])


async def test_there_is_no_other_token_for_good(gateway: LiveGateway, issuer: Issuer) -> None:
    class Gone(Exception):
        temporary = False

    def token() -> str:
        if issuer.given:
            raise Gone
        return issuer.connection()

    async with Client(gateway.url, token=token, **FAST) as client:
        issuer.revoke(gateway, RoomRevoked, ROOM)
        await told(gateway, issuer)
        with pytest.raises(TokenUnavailable, match="Gone"):
            await client.publish(ROOM, "no more")
        assert client.state == "connected"

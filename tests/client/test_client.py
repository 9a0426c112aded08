"""`roomline.client.Client` and `Subscription`, against a gateway that misbehaves on command."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from roomline.client import (
    TRANSPORTS,
    BlockingClient,
    Client,
    ClientError,
    CommandRefused,
    ConnectionClosed,
    ConnectionFailed,
    NoAnswer,
    Subscription,
    SubscriptionEnded,
    TokenUnavailable,
    Transport,
)
from roomline.client.session import WINDOW

from tests.support.proxy import Proxy
from tests.support.scripted import Scripted
from tests.support.until import until

pytestmark = pytest.mark.timeout(20)
ROOM = "chat.lobby"
FAST: dict[str, Any] = {"first_delay": 0.02, "longest_delay": 0.1}


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[Scripted]:
    async with Scripted.serving() as script:
        yield script


@pytest_asyncio.fixture
async def client(gateway: Scripted) -> AsyncIterator[Client]:
    async with Client(gateway.address, **FAST) as client:
        yield client


async def take(subscription: Subscription, count: int) -> list[Any]:
    """The data of the next publications."""
    async with asyncio.timeout(5):
        return [(await anext(subscription)).data for _ in range(count)]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_publications_come_in_order(gateway: Scripted, transport: Transport) -> None:
    async with Client(gateway.address, transport=transport) as client:
        assert client.connected is not None
        assert client.state == "connected"
        room = await client.subscribe(ROOM)
        for number in range(20):
            await client.publish(ROOM, {"n": number})
        assert await take(room, 20) == [{"n": number} for number in range(20)]
        assert room.position == room.head == "20"
        assert (room.restarts, room.losses, room.recovered) == (0, 0, None)
    assert client.state == "disconnected"


async def test_history_comes_first(gateway: Scripted, client: Client) -> None:
    for number in range(5):
        gateway.publish(ROOM, number)
    room = await client.subscribe(ROOM, history=3)
    gateway.publish(ROOM, 5)
    assert await take(room, 4) == [2, 3, 4, 5]
    assert [publication.data for publication in await client.history(ROOM, limit=2)] == [4, 5]


async def test_a_missing_link_is_recovered(gateway: Scripted, client: Client) -> None:
    room = await client.subscribe(ROOM)
    gateway.publish(ROOM, 0)
    gateway.lose = 2
    for number in range(1, 6):
        gateway.publish(ROOM, number)
    assert await take(room, 6) == list(range(6))
    assert room.recovered
    assert (room.restarts, room.losses) == (1, 0)


async def test_publications_of_other_rooms_are_no_missing_links(
    gateway: Scripted, client: Client
) -> None:
    room, other = await client.subscribe(ROOM), await client.subscribe("chat.other")
    for number in range(6):
        gateway.publish((ROOM, "chat.other")[number % 2], number)
    assert await take(room, 3) == [0, 2, 4]
    assert await take(other, 3) == [1, 3, 5]
    assert room.restarts == other.restarts == 0


async def test_a_lost_last_push_is_found_by_ping(gateway: Scripted) -> None:
    async with Client(gateway.address, ping_every=0.2, **FAST) as client:
        room = await client.subscribe(ROOM)
        gateway.lose = 1
        gateway.publish(ROOM, "the last one")
        assert await take(room, 1) == ["the last one"]


async def test_an_equal_count_moves_where_a_quiet_room_continues(
    gateway: Scripted, client: Client
) -> None:
    room, other = await client.subscribe(ROOM), await client.subscribe("chat.other")
    for name in (ROOM, "chat.other"):
        gateway.publish(name, 1)
    await take(other, 1)
    await client.ping()
    assert (room.position, room.head) == ("1", "1")
    client.drop()
    await until(lambda: len(gateway.received("subscribe")) == 4)
    assert sorted(command["since"] for command in gateway.received("subscribe")[2:]) == ["2", "2"]
    gateway.publish(ROOM, 2)
    assert await take(room, 2) == [1, 2]
    assert (room.recovered, room.losses) == (True, 0)


async def test_one_that_came_twice_does_not_hide_one_that_was_lost(
    gateway: Scripted, client: Client
) -> None:
    room = await client.subscribe(ROOM)
    gateway.publish(ROOM, 1)
    gateway.double = 1
    gateway.publish(ROOM, 2)
    gateway.lose = 1
    gateway.publish(ROOM, 3)
    await client.ping()  # the count agrees
    assert room.restarts == 0
    gateway.publish(ROOM, 4)
    assert await take(room, 4) == [1, 2, 3, 4]
    assert (room.recovered, room.losses) == (True, 0)


async def test_what_was_recovered_once_is_not_looked_for_again(
    gateway: Scripted, client: Client
) -> None:
    room = await client.subscribe(ROOM)
    gateway.lose = 1
    gateway.publish(ROOM, 1)
    for _ in range(5):
        await client.ping()
        await until(lambda: room.live)
    assert await take(room, 1) == [1]
    assert room.restarts == 1


async def test_what_is_too_long_is_refused_here(gateway: Scripted, client: Client) -> None:
    with pytest.raises(CommandRefused, match="65536") as refused:
        await client.publish(ROOM, "x" * 65_530)
    assert (refused.value.code, refused.value.temporary) == ("too_large", False)
    assert gateway.received("publish") == []
    await client.publish(ROOM, "x")


async def test_a_storm_of_commands_goes_a_few_at_a_time(gateway: Scripted) -> None:
    async with Client(gateway.address, answer_within=0.3, **FAST) as client:
        gateway.mute = True
        storm = [asyncio.create_task(client.publish(ROOM, number)) for number in range(100)]
        await until(lambda: gateway.received("publish"))
        await asyncio.sleep(0.1)
        assert len(gateway.received("publish")) == WINDOW
        gateway.mute = False
        await asyncio.gather(*storm)
        assert len({publication["data"] for publication in gateway.log}) == 100


async def test_subscribing_ends_when_the_client_does(gateway: Scripted) -> None:
    client = Client(gateway.address, **FAST)
    await client.connect()
    gateway.mute = True
    waiting = asyncio.create_task(client.subscribe(ROOM))
    await until(lambda: gateway.received("subscribe"))
    await client.close()
    with pytest.raises(ConnectionClosed, match="was closed"):
        await waiting


async def test_subscribing_takes_no_longer_than_it_may(gateway: Scripted, client: Client) -> None:
    gateway.mute = True
    with pytest.raises(NoAnswer, match=f"not subscribed to {ROOM} within 0.2 seconds"):
        await client.subscribe(ROOM, within=0.2)


async def test_a_room_that_is_no_text(client: Client) -> None:
    with pytest.raises(ClientError, match="unsupported"):
        await client.subscribe(object())  # type: ignore[arg-type]


class Gone(Exception):
    """Nobody is logged in any more."""

    temporary = False


async def test_a_token_callback_may_give_up_for_good(gateway: Scripted, client: Client) -> None:
    def token() -> str:
        raise Gone

    with pytest.raises(TokenUnavailable, match="Gone"):
        await client.subscribe(ROOM, token=token)
    async with asyncio.timeout(5):
        with pytest.raises(TokenUnavailable, match="Gone"):
            await Client(gateway.address, token=token, **FAST).connect()


async def test_a_token_that_is_no_text_is_asked_for_once(client: Client) -> None:
    async def token() -> None:
        return None

    with pytest.raises(TokenUnavailable, match="gave None"):
        await client.subscribe(ROOM, token=token)  # type: ignore[arg-type]


async def test_the_blocking_client_says_what_was_not_confirmed(gateway: Scripted) -> None:
    def publish() -> None:
        with BlockingClient(gateway.address, answer_within=0.1, **FAST) as client:
            client.publish(ROOM, 1)
            assert [publication.data for publication in client.history(ROOM)] == [1]
            assert client.subscribe(ROOM, since="0").next().data == 1
            gateway.mute = True
            client.publish(ROOM, 2, key="key-of-the-second-one", within=0.5)

    with pytest.raises(NoAnswer, match="key-of-the-second-one"):
        await asyncio.to_thread(publish)


async def test_the_blocking_client_may_be_given_tokens_by_what_blocks(gateway: Scripted) -> None:
    """An ORM refuses a thread in which an event loop runs, and HTTP would hold up the client."""
    loops: list[bool] = []

    def token() -> str:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            loops.append(True)
        loops.append(False)
        return "t-1"

    async def another() -> str:
        return "t-2"

    def talk() -> None:
        with BlockingClient(gateway.address, token=token, **FAST) as client:
            client.subscribe(ROOM, token=token)
            client.subscribe("chat.other", token=another)

    await asyncio.to_thread(talk)
    assert loops
    assert not any(loops)
    tokens = [command.get("token") for command in gateway.received("subscribe")]
    assert tokens == ["t-1", "t-2"]


async def test_a_room_is_left_whatever_the_connection_does(gateway: Scripted) -> None:
    async with Client(gateway.address, first_delay=0.5, longest_delay=0.5) as client:
        await client.subscribe(ROOM)
        gateway.errors["unsubscribe"] = [("not_subscribed", False)]
        await client.unsubscribe(ROOM)
        await client.subscribe(ROOM)
        client.drop()
        await until(lambda: client.state == "connecting")
        await client.unsubscribe(ROOM)
        assert len(gateway.received("unsubscribe")) == 1


async def test_pages_are_asked_for_to_the_end(gateway: Scripted, client: Client) -> None:
    room = await client.subscribe(ROOM)
    gateway.page = 7
    gateway.lose = 1000
    for number in range(50):
        gateway.publish(ROOM, number)
    gateway.lose = 0
    gateway.publish(ROOM, 50)
    assert await take(room, 51) == list(range(51))
    await until(lambda: room.live)
    gateway.publish(ROOM, 51)
    assert await take(room, 1) == [51]


async def test_a_slow_reader_costs_its_buffer_and_loses_nothing(gateway: Scripted) -> None:
    gateway.page = 4
    async with Client(gateway.address, buffer=10, **FAST) as client:
        room = await client.subscribe(ROOM)
        for number in range(200):
            gateway.publish(ROOM, number)
        await until(lambda: gateway.received("unsubscribe"))
        for number in range(200, 300):  # nobody is told of these
            gateway.publish(ROOM, number)
        assert len(room._buffer) <= 10 + gateway.page
        assert await take(room, 300) == list(range(300))
        assert room.losses == 0


async def test_what_cannot_be_continued_is_said(gateway: Scripted, client: Client) -> None:
    room = await client.subscribe(ROOM)
    gateway.publish(ROOM, 1)
    assert await take(room, 1) == [1]
    gateway.forgets = True
    gateway.lose = 1
    gateway.publish(ROOM, 2)
    gateway.publish(ROOM, 3)
    await until(lambda: room.losses == 1)
    assert (room.recovered, room.reason) == (False, "trimmed")
    gateway.publish(ROOM, 4)
    assert await take(room, 1) == [4]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_lost_connection_continues_by_position(
    gateway: Scripted, transport: Transport
) -> None:
    async with Proxy.to(gateway.address) as proxy:
        endpoint = proxy.address(gateway.address)
        async with Client(endpoint, transport=transport, **FAST) as client:
            room = await client.subscribe(ROOM)
            for number in range(30):
                gateway.publish(ROOM, number)
                if number % 10 == 5:
                    proxy.cut()
                await asyncio.sleep(0.005)
            assert await take(room, 30) == list(range(30))
            assert client.connections >= 2
            assert client.closes[0].code == 1006
            assert room.losses == 0


async def test_a_silent_connection_is_replaced(gateway: Scripted) -> None:
    async with Proxy.to(gateway.address) as proxy:
        endpoints = [proxy.address(gateway.address), gateway.address]
        async with Client(endpoints, ping_every=0.1, answer_within=0.2, **FAST) as client:
            room = await client.subscribe(ROOM)
            proxy.stall()
            gateway.publish(ROOM, 1)
            assert await take(room, 1) == [1]
            assert client.connections == 2


async def test_another_endpoint_is_tried(gateway: Scripted) -> None:
    async with Scripted.serving() as gone:
        nobody = gone.address
    async with Client([nobody, gateway.address], **FAST) as client:
        assert client.connected is not None
        assert client.connected.node == gateway.address


async def test_nobody_anywhere() -> None:
    async with Scripted.serving() as gone:
        client = Client(gone.address, **FAST)
    with pytest.raises(ConnectionFailed, match=r"not connected within 0.3 seconds"):
        await client.connect(within=0.3)
    assert client.state == "disconnected"


async def test_asked_to_leave_it_stays_until_then(gateway: Scripted) -> None:
    async with Scripted.serving() as other:
        endpoints = [gateway.address, other.address]
        async with Client(endpoints, first_delay=60.0, longest_delay=60.0) as client:
            room = await client.subscribe(ROOM)
            gateway.push(type="reconnect", after_ms=200)
            gateway.publish(ROOM, "while it waits")
            assert await take(room, 1) == ["while it waits"]
            # The delays above say that this one move is made without any.
            await until(lambda: other.received("subscribe"))
            assert not gateway.sessions
            assert other.received("subscribe")[0]["since"] == "1"


async def test_a_final_close_ends_everything(gateway: Scripted, client: Client) -> None:
    room = await client.subscribe(ROOM)
    gateway.publish(ROOM, 1)
    await until(lambda: room.position == "1")
    gateway.close(3502, "flood")
    assert await take(room, 1) == [1]
    for attempt in (lambda: anext(room), lambda: client.publish(ROOM, 1), client.session):
        with pytest.raises(ConnectionClosed, match="3502: flood"):
            await asyncio.wait_for(attempt(), 5)
    assert client.state == "disconnected"
    assert [closed.code for closed in client.closes] == [3502]
    await asyncio.sleep(0.3)
    assert not gateway.sessions


async def test_other_closes_are_come_back_from(gateway: Scripted, client: Client) -> None:
    room = await client.subscribe(ROOM)
    for code in (3000, 3002, 3499, 4000):
        seen = client.connections
        gateway.close(code, "come back")
        await until(lambda seen=seen: client.connections > seen and room.live)
    assert [closed.code for closed in client.closes] == [3000, 3002, 3499, 4000]


async def test_temporary_errors_are_retried_with_the_same_key(
    gateway: Scripted, client: Client
) -> None:
    room = await client.subscribe(ROOM)
    gateway.errors["publish"] = [("unavailable", True), ("rate_limited", True)]
    await client.publish(ROOM, 1)
    assert await take(room, 1) == [1]
    keys = {command["key"] for command in gateway.received("publish")}
    assert len(gateway.received("publish")) == 3
    assert len(keys) == 1


async def test_permanent_errors_are_raised(gateway: Scripted, client: Client) -> None:
    gateway.errors = {name: [("forbidden", False)] for name in ("publish", "subscribe", "history")}
    for attempt in (
        lambda: client.publish(ROOM, 1),
        lambda: client.subscribe(ROOM),
        lambda: client.history(ROOM),
    ):
        with pytest.raises(CommandRefused, match="forbidden: scripted"):
            await attempt()
    assert client.state == "connected"


async def test_publishing_gives_up_in_time(gateway: Scripted, client: Client) -> None:
    gateway.errors["publish"] = [("unavailable", True)] * 1000
    with pytest.raises(NoAnswer, match=r"key k-1 was not confirmed within 0.2 seconds.*unavail"):
        await client.publish(ROOM, 1, key="k-1", within=0.2)


async def test_a_refused_connect_is_raised(gateway: Scripted) -> None:
    gateway.errors["connect"] = [("token_required", False)]
    with pytest.raises(CommandRefused, match="token_required"):
        await Client(gateway.address, **FAST).connect()


async def test_temporary_trouble_of_connecting_and_subscribing_is_waited_out(
    gateway: Scripted,
) -> None:
    gateway.errors = {
        "connect": [("unavailable", True)] * 2,
        "subscribe": [("catching_up", True)] * 2,
    }
    async with Client(gateway.address, **FAST) as client:
        room = await client.subscribe(ROOM)
        assert room.live


async def test_an_anonymous_client_keeps_its_identity(gateway: Scripted, client: Client) -> None:
    client.drop()
    await until(lambda: client.connections == 2)
    first, second = gateway.received("connect")
    assert first["client"] == second["client"] == client.client_id
    assert "token" not in first


async def test_every_connection_gets_a_fresh_token(gateway: Scripted) -> None:
    tokens = iter(["t1", "t2", "t3"])
    gateway.errors["connect"] = [("token_expired", False)]
    async with Client(gateway.address, token=lambda: next(tokens), **FAST) as client:
        client.drop()
        await until(lambda: client.connections == 2)
    assert [command["token"] for command in gateway.received("connect")] == ["t1", "t2", "t3"]


async def test_a_token_is_refreshed_before_it_expires(gateway: Scripted) -> None:
    gateway.expires_in = 1

    async def token() -> str:
        return f"t{len(gateway.commands)}"

    async with Client(gateway.address, token=token, **FAST):
        await until(lambda: gateway.received("refresh"))


async def test_a_failing_token_callback_is_tried_again(gateway: Scripted) -> None:
    outcomes = iter([OSError("Django is away"), OSError("still away"), "token"])

    def token() -> str:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async with Client(gateway.address, token=token, **FAST):
        assert [command["token"] for command in gateway.received("connect")] == ["token"]


async def test_an_ended_subscription_is_raised(gateway: Scripted, client: Client) -> None:
    room = await client.subscribe(ROOM)
    gateway.push(type="unsubscribed", room=ROOM, code="forbidden", reason="not any more")
    with pytest.raises(SubscriptionEnded, match="forbidden: not any more"):
        await anext(room)
    room = await client.subscribe(ROOM)
    gateway.publish(ROOM, 1)
    assert await take(room, 1) == [1]


async def test_an_expired_room_token_is_renewed(gateway: Scripted, client: Client) -> None:
    tokens = iter(["r1", "r2"])
    room = await client.subscribe(ROOM, token=lambda: next(tokens))
    gateway.push(type="unsubscribed", room=ROOM, code="token_expired", reason="renew")
    gateway.publish(ROOM, 1)
    assert await take(room, 1) == [1]
    assert [command["token"] for command in gateway.received("subscribe")] == ["r1", "r2"]
    assert room.losses == 0


async def test_a_replaced_log_is_a_loss(gateway: Scripted, client: Client) -> None:
    room = await client.subscribe(ROOM)
    gateway.publish(ROOM, 1)
    assert await take(room, 1) == [1]
    gateway.push(type="unsubscribed", room=ROOM, code="log_reset", reason="replaced")
    await until(lambda: room.restarts == 1 and room.live)
    assert (room.recovered, room.reason, room.losses) == (False, "log_reset", 1)
    assert "since" not in gateway.received("subscribe")[1]


async def test_automatic_rooms_continue_from_the_start_of_the_session(gateway: Scripted) -> None:
    gateway.automatic = ["system.notices"]
    async with Client(gateway.address, **FAST) as client:
        gateway.publish("system.notices", "before anybody asked")
        notices = await client.subscribe("system.notices")
        assert await take(notices, 1) == ["before anybody asked"]


async def test_leaving_ends_the_iteration(gateway: Scripted, client: Client) -> None:
    room = await client.subscribe(ROOM)
    gateway.publish(ROOM, 1)
    await until(lambda: room.position == "1")
    await client.unsubscribe(ROOM)
    assert [publication.data async for publication in room] == [1]
    gateway.publish(ROOM, 2)
    assert [publication.data async for publication in room] == []


async def test_a_second_subscription_takes_the_place_of_the_first(
    gateway: Scripted, client: Client
) -> None:
    first = await client.subscribe(ROOM)
    second = await client.subscribe(ROOM)
    gateway.publish(ROOM, 1)
    assert await take(second, 1) == [1]
    assert [publication async for publication in first] == []


async def test_a_client_that_was_not_connected_says_so(gateway: Scripted) -> None:
    with pytest.raises(ConnectionClosed, match="call connect first"):
        await Client(gateway.address).publish(ROOM, 1)


async def test_no_endpoint_at_all() -> None:
    with pytest.raises(ValueError, match="at least one is needed"):
        Client([])

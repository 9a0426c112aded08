"""The RabbitMQ broker when RabbitMQ is killed, short of memory, silent, or loses the log."""

import asyncio
from collections.abc import Iterator

import pytest
from roomline.broker import BrokerUnavailable, PublishRejected, PublishUnconfirmed
from roomline.brokers.pikalink import PikaChannel
from roomline.brokers.rabbitmq import RabbitMQBroker
from roomline.wire import ROOMS_EXCHANGE, Envelope

from tests.brokers.contract import Recorder, numbered, publish_all, publish_at_last
from tests.brokers.rabbitmq_world import FILLER, RabbitMQWorld
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost  # noqa: F401


@pytest.fixture
def world(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> RabbitMQWorld:  # noqa: F811
    return RabbitMQWorld(rabbitmq, rabbitmq_vhost)


def without_resends(bodies: list[bytes]) -> list[bytes]:
    """Each once, at its first place: a publication resent after a lost answer may stand twice."""
    return list(dict.fromkeys(bodies))


async def test_killed_under_load_nothing_confirmed_is_lost_and_order_is_kept(world: RabbitMQWorld):
    world.patience = 40.0
    async with (
        world.running("first", publish_timeout=5.0) as (broker, recorder),
        world.running("first") as (_, other),
    ):
        publishing, total = True, 0

        async def publish_one_by_one() -> None:
            nonlocal total
            while publishing:
                await publish_at_last(broker, numbered(1, first=total)[0], world.patience)
                total += 1

        load = asyncio.create_task(publish_one_by_one())
        await recorder.until_bodies(300)
        assert broker.reconnects == {"publisher": 0, "reader of rooms.log": 0}
        await asyncio.to_thread(world.node.kill)
        await recorder.until(lambda: recorder.told[-1] == "cut_off")
        # A broker that is started now finds nobody, says so, and waits.
        async with world.running("first") as (_, late):
            assert late.told == ["cut_off"]
            with pytest.raises(BrokerUnavailable):
                await broker.publish(Envelope("chat.lobby", b"into the void"))
            at_kill = total
            await asyncio.to_thread(world.node.start, wait=False)
            for listening in (recorder, other, late):
                await listening.until(lambda: listening.told.count("caught_up") >= 1)  # noqa: B023
            await recorder.until_bodies(at_kill + 300)
            publishing = False
            await load
            expected = [b"%d" % number for number in range(total)]
            for listening in (recorder, other, late):
                # Counted without resends: with one of them, `total` bodies lack the newest.
                await listening.until(
                    lambda: len(without_resends(listening.bodies)) >= total  # noqa: B023
                )
                assert without_resends(listening.bodies) == expected
                assert listening.offsets == sorted(set(listening.offsets))
                assert "log_reset" not in listening.told
            assert recorder.told.count("cut_off") == 1
            assert min(broker.reconnects.values()) >= 1


async def test_many_at_once_killed_each_ends_and_says_the_truth(world: RabbitMQWorld):
    async with world.running("first", publish_timeout=5.0) as (broker, recorder):
        outcomes: list[asyncio.Future[None]] = []

        async def burst() -> None:
            envelopes = numbered(100, first=len(outcomes))
            outcomes.extend([broker.publish(envelope) for envelope in envelopes])
            await asyncio.sleep(0.01)

        while len(recorder.bodies) <= 300:
            await burst()
        world.node.freeze()  # so that some are on their way when it is killed
        await burst()
        killing = asyncio.create_task(asyncio.to_thread(world.node.kill))
        while not killing.done():
            await burst()
        results = await asyncio.gather(*outcomes, return_exceptions=True)
        assert None in results
        assert any(isinstance(result, PublishUnconfirmed) for result in results)
        await asyncio.to_thread(world.node.start)
        await publish_at_last(broker, Envelope("chat.lobby", b"end"), world.patience)
        await recorder.until(lambda: b"end" in recorder.bodies)
        there = set(recorder.bodies)
        for number, result in enumerate(results):
            body = b"%d" % number
            if result is None:
                assert body in there
            elif isinstance(result, BrokerUnavailable):
                assert body not in there
            else:
                assert isinstance(result, PublishUnconfirmed)
        assert recorder.bodies[:-1] == sorted(recorder.bodies[:-1], key=int)


# A log that is not the same any more.


async def test_another_log_in_its_place_is_noticed_and_read_from_its_beginning(
    world: RabbitMQWorld,
):
    async with world.running("first") as (broker, recorder):
        await publish_all(broker, numbered(5))
        await recorder.until_bodies(5)
        await recorder.until_caught_up()

        def replace() -> None:
            with world.plain_channel() as channel:
                world.delete_stream()
                for item in world.topology():
                    method, arguments = item.call(passive=False)
                    getattr(channel, method)(**arguments)
                for number in range(10):
                    channel.basic_publish(ROOMS_EXCHANGE, "chat.lobby", b"new %d" % number)

        await asyncio.to_thread(replace)
        await recorder.until(lambda: recorder.told.count("caught_up") == 2)
        assert recorder.told.count("log_reset") == 1
        assert recorder.told.index("log_reset") > recorder.told.index("cut_off")
        assert recorder.bodies[5:] == [b"new %d" % number for number in range(10)]
        assert recorder.offsets[5:] == sorted(recorder.offsets[5:])


async def test_a_reader_that_retention_overtakes_is_told_and_goes_on(world: RabbitMQWorld):
    async with world.running("first", prefetch=2) as (broker, recorder):
        await broker.publish(Envelope("chat.lobby", b"0"))
        await recorder.until_caught_up()
        # Not in a thread: nobody reads while this fills the log several times over.
        with world.plain_channel() as channel:
            for _ in range(200):
                channel.basic_publish(ROOMS_EXCHANGE, FILLER.room, FILLER.body, mandatory=True)
        await broker.publish(Envelope("chat.lobby", b"1"))
        await recorder.until(lambda: b"1" in recorder.bodies)
        reset = recorder.told.index("log_reset")
        assert recorder.told.index("cut_off") < reset
        assert len(recorder.entries) < 200
        await recorder.until(lambda: "caught_up" in recorder.told[reset:])


async def test_an_exchange_deleted_under_feet_is_declared_anew(world: RabbitMQWorld):
    async with world.running("next") as (broker, recorder):
        await broker.publish(Envelope("chat.lobby", b"before"))

        def delete() -> None:
            with world.plain_channel() as channel:
                channel.exchange_delete(ROOMS_EXCHANGE)

        await asyncio.to_thread(delete)
        await publish_at_last(broker, Envelope("chat.lobby", b"after"), world.patience)
        await recorder.until_bodies(2)
        assert recorder.bodies == [b"before", b"after"]


# Reading that stalls before all has been read.


async def test_a_reader_that_stalls_while_catching_up_is_attached_anew(
    world: RabbitMQWorld, monkeypatch: pytest.MonkeyPatch
):
    async with world.running("next") as (broker, _):
        for envelope in numbered(40):  # one by one: chunks of their own
            await broker.publish(envelope)
        # Without acknowledgements RabbitMQ sends no more than was prefetched.
        monkeypatch.setattr(PikaChannel, "acknowledge", lambda channel, tag: None)
        async with world.running("first", prefetch=5) as (_, late):
            await late.until(lambda: "cut_off" in late.told)
            assert 0 < len(late.bodies) < 40
            assert "caught_up" not in late.told
            monkeypatch.undo()
            await late.until_caught_up()
            assert late.told.index("caught_up") == 41, "after the 40 entries and the cut"
            assert late.bodies == [b"%d" % number for number in range(40)]
            assert "log_reset" not in late.told


async def test_a_log_is_not_called_empty_while_rabbitmq_says_nothing(world: RabbitMQWorld):
    async with world.running("first") as (_, first):
        await first.until_caught_up()  # a stream is not up the moment that it is declared
    async with world.running("first") as (_, recorder):
        with world.node.frozen():
            await asyncio.sleep(4 * world.settings().silence)
            assert recorder.told == []
        await recorder.until_caught_up()
        assert recorder.told == ["caught_up"]


# Alarms and silence.


async def publish_until_blocked(broker: RabbitMQBroker) -> None:
    """An alarm takes hold a little after it was raised. Every publication ends meanwhile."""
    async with asyncio.timeout(10):
        while True:
            try:
                await broker.publish(Envelope("chat.lobby", b"meanwhile"))
            except PublishUnconfirmed:
                continue
            except BrokerUnavailable as error:
                assert "takes no publications" in str(error)  # noqa: PT017
                return


async def test_under_an_alarm_publishing_ends_soon_and_reading_goes_on(world: RabbitMQWorld):
    async with world.running("first", publish_timeout=1.0) as (broker, recorder):
        await publish_all(broker, numbered(5))
        await asyncio.to_thread(world.node.raise_alarm)
        await publish_until_blocked(broker)
        outcomes = [broker.publish(envelope) for envelope in numbered(100, first=5)]
        assert all(outcome.done() for outcome in outcomes), "refused at once"
        results = await asyncio.gather(*outcomes, return_exceptions=True)
        assert {type(result) for result in results} == {BrokerUnavailable}
        async with world.running("first") as (_, late):  # reading and declaring go on
            await late.until_caught_up()
            assert late.bodies[:5] == [b"%d" % number for number in range(5)]
        await asyncio.to_thread(world.node.clear_alarm)
        await publish_at_last(broker, Envelope("chat.lobby", b"after"), world.patience)
        await recorder.until(lambda: b"after" in recorder.bodies)
        assert "cut_off" not in recorder.told


async def test_closing_under_an_alarm_is_bounded(world: RabbitMQWorld):
    broker = world.broker(publish_timeout=1.0)
    await broker.start(Recorder(world.patience), "next")
    await broker.publish(Envelope("chat.lobby", b"1"))
    await asyncio.to_thread(world.node.raise_alarm)
    await publish_until_blocked(broker)
    async with asyncio.timeout(6):
        await broker.close()


async def test_a_silent_rabbitmq_leaves_nothing_hanging(world: RabbitMQWorld):
    async with world.running("first", publish_timeout=1.0, max_unconfirmed=1) as (broker, recorder):
        await broker.publish(Envelope("chat.lobby", b"0"))
        with world.node.frozen():
            sent, waiting = (broker.publish(envelope) for envelope in numbered(2, first=1))
            with pytest.raises(PublishUnconfirmed):
                await sent
            with pytest.raises(BrokerUnavailable):
                await waiting
            late = world.broker(connect_timeout=0.5)
            late_recorder = Recorder(world.patience)
            async with asyncio.timeout(3):
                await late.start(late_recorder, "first")
            assert late_recorder.told == ["cut_off"]
        await publish_at_last(broker, Envelope("chat.lobby", b"3"), world.patience)
        for listening in (recorder, late_recorder):
            await listening.until_bodies(3)
            assert listening.bodies == [b"0", b"1", b"3"]
        await late.close()


# Refused by RabbitMQ itself.


@pytest.fixture
def small_limit(world: RabbitMQWorld) -> Iterator[None]:
    """RabbitMQ takes less than `MAX_BODY_BYTES`, as when somebody has configured it so."""
    world.node.evaluate("application:set_env(rabbit, max_message_size, 1000)")
    yield
    world.node.evaluate("application:set_env(rabbit, max_message_size, 65536)")


@pytest.mark.usefixtures("small_limit")
async def test_a_body_that_rabbitmq_finds_too_large_fails_alone(world: RabbitMQWorld):
    async with world.running("next") as (broker, recorder):
        await broker.publish(Envelope("chat.lobby", b"before"))
        neighbour = broker.publish(Envelope("chat.lobby", b"neighbour"))
        large = broker.publish(Envelope("chat.lobby", b"x" * 1001))
        behind = broker.publish(Envelope("chat.lobby", b"behind"))
        results = await asyncio.gather(neighbour, large, behind, return_exceptions=True)
        assert isinstance(results[1], PublishRejected)
        assert results[0] is None or isinstance(results[0], PublishUnconfirmed)
        assert isinstance(results[2], PublishUnconfirmed)
        await broker.publish(Envelope("chat.lobby", b"after"))
        await recorder.until(lambda: b"after" in recorder.bodies)
        assert b"behind" not in recorder.bodies


async def test_a_room_that_the_user_may_not_write_is_rejected_alone(world: RabbitMQWorld):
    world.node.add_user("chatter", "secret")
    world.node.allow("chatter", vhost=world.vhost, topics={ROOMS_EXCHANGE: (r"^chat\.", ".*")})
    url = world.node.url("chatter", "secret", world.vhost)
    async with world.running("next", url=url) as (broker, recorder):
        assert broker.publisher == "chatter"
        await broker.publish(Envelope("chat.lobby", b"before"))
        with pytest.raises(PublishRejected, match=r"system\.notices"):
            await broker.publish(Envelope("system.notices", b"forbidden"))
        await broker.publish(Envelope("chat.lobby", b"after"))
        await recorder.until_bodies(2)
        assert recorder.bodies == [b"before", b"after"]
        assert recorder.entries[0][2].publisher == "chatter"

"""The RabbitMQ broker on a real RabbitMQ: the contract, and what others put into the log."""

import asyncio

import pytest

pytest.register_assert_rewrite("tests.brokers.contract")

from roomline.broker import BrokerUnavailable  # noqa: E402
from roomline.wire import Envelope  # noqa: E402

from tests.brokers.contract import BrokerContract, numbered, publish_all  # noqa: E402
from tests.brokers.rabbitmq_world import ODD_PROPERTIES, UNDECODABLE, RabbitMQWorld  # noqa: E402
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost  # noqa: E402, F401


@pytest.fixture
def world(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> RabbitMQWorld:  # noqa: F811
    return RabbitMQWorld(rabbitmq, rabbitmq_vhost)


class TestRabbitMQBroker(BrokerContract):
    pass


async def test_more_than_may_be_unconfirmed_goes_out_in_order(world: RabbitMQWorld):
    async with world.running("next", max_unconfirmed=10) as (broker, recorder):
        await publish_all(broker, numbered(500))
        await recorder.until_bodies(500)
        assert recorder.bodies == [b"%d" % number for number in range(500)]


async def test_more_than_may_wait_is_unavailable_at_once(world: RabbitMQWorld):
    async with world.running("next", max_unconfirmed=5, max_waiting=10) as (broker, recorder):
        outcomes = await asyncio.gather(
            *[broker.publish(envelope) for envelope in numbered(20)], return_exceptions=True
        )
        assert outcomes[:15] == [None] * 15
        assert all(isinstance(outcome, BrokerUnavailable) for outcome in outcomes[15:])
        await recorder.until_bodies(15)


async def test_one_returned_among_many_is_the_one_that_fails(world: RabbitMQWorld):
    async with world.running("next") as (broker, recorder):
        envelopes = numbered(40)
        envelopes[17] = Envelope("nowhere.room", b"17")
        outcomes = await asyncio.gather(
            *[broker.publish(envelope) for envelope in envelopes], return_exceptions=True
        )
        failed = [number for number, outcome in enumerate(outcomes) if outcome is not None]
        assert failed == [17]
        assert isinstance(outcomes[17], BrokerUnavailable)
        await recorder.until_bodies(39)


async def test_a_message_without_properties_is_delivered(world: RabbitMQWorld):
    async with world.running("next") as (_, recorder):
        await asyncio.to_thread(world.publish_from_console, "chat.lobby", b"typed by hand")
        await recorder.until_bodies(1)
        assert recorder.entries[0][2] == Envelope("chat.lobby", b"typed by hand")


async def test_odd_properties_are_delivered_and_prove_nothing(world: RabbitMQWorld):
    async with world.running("next") as (_, recorder):
        for properties in ODD_PROPERTIES:
            await asyncio.to_thread(world.publish_plainly, "chat.lobby", b"odd", properties)
        await recorder.until_bodies(len(ODD_PROPERTIES))
        assert recorder.offsets == sorted(recorder.offsets)
        assert {envelope.publisher for _, _, envelope in recorder.entries} == {None}
        assert {envelope.time for _, _, envelope in recorder.entries} == {None}
        assert "cut_off" not in recorder.told


async def test_a_room_that_is_no_room_is_delivered_as_it_is(world: RabbitMQWorld):
    async with world.running("next") as (_, recorder):
        await asyncio.to_thread(world.publish_plainly, "chat.not a room", b"1")
        await recorder.until_bodies(1)
        assert recorder.entries[0][2].room == "chat.not a room"


# Entries that nobody can read.


async def test_keys_too_long_for_amqp_are_stepped_past_and_nothing_else_is(world: RabbitMQWorld):
    async with world.running("first") as (broker, recorder):
        await publish_all(broker, numbered(30))
        for _ in range(3):  # so many that the hole they leave looks like a trimmed segment
            await asyncio.to_thread(world.publish_from_console, "chat." + "k" * 300, b"poison")
        await publish_all(broker, numbered(30, first=30))
        await recorder.until_bodies(60)
        assert recorder.bodies == [b"%d" % number for number in range(60)]
        assert "log_reset" not in recorder.told
        await recorder.until(lambda: recorder.told.count("caught_up") >= 1)
        await broker.publish(Envelope("chat.lobby", b"60"))
        await recorder.until_bodies(61)
        async with world.running("first") as (_, late):
            await late.until_caught_up()
            await late.until_bodies(61)
            assert late.entries == recorder.entries


async def test_a_log_that_is_nothing_but_unreadable_is_caught_up_with(world: RabbitMQWorld):
    async with world.running("next"):
        for _ in range(2):
            await asyncio.to_thread(world.publish_from_console, "chat." + "k" * 300, b"poison")
    async with world.running("first") as (broker, recorder):
        await recorder.until_caught_up()
        await broker.publish(Envelope("chat.lobby", b"good"))
        await recorder.until_bodies(1)
        assert recorder.bodies == [b"good"]


async def test_properties_that_cannot_be_decoded_are_stepped_past(world: RabbitMQWorld):
    async with world.running("first") as (broker, recorder):
        await broker.publish(Envelope("chat.lobby", b"0"))
        await asyncio.to_thread(world.publish_plainly, "chat.lobby", b"poison", UNDECODABLE)
        await broker.publish(Envelope("chat.lobby", b"1"))
        await recorder.until_bodies(2)
        assert recorder.bodies == [b"0", b"1"]

"""How each publication ends, whatever happens on the connection. No broker needed."""

import asyncio

import pytest
from roomline.broker import BrokerUnavailable, PublishRejected, PublishUnconfirmed
from roomline.brokers.outgoing import Outgoing
from roomline.wire import Envelope

from tests.brokers.contract import numbered


class Wire:
    """What was written to the AMQP channel."""

    def __init__(self) -> None:
        self.sent: list[Envelope] = []
        self.closed = False

    def send(self, envelope: Envelope) -> bool:
        if self.closed:
            return False
        if envelope.key == "cannot be encoded":
            raise ValueError("no such character")
        self.sent.append(envelope)
        return True


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def outgoing(wire: Wire) -> Outgoing:
    """Open, with room for three on the wire and two waiting."""
    outgoing = Outgoing(max_unconfirmed=3, max_waiting=2, timeout=0.1)
    outgoing.accept()
    outgoing.channel_opened(wire.send)
    return outgoing


def ended(future: asyncio.Future[None]) -> object:
    """How it ended: "confirmed", the class of the error, or None if it has not."""
    if not future.done():
        return None
    return "confirmed" if future.exception() is None else type(future.exception())


def publish(outgoing: Outgoing, count: int) -> list[asyncio.Future[None]]:
    return [outgoing.publish(envelope) for envelope in numbered(count)]


async def test_sent_in_order_and_confirmed_one_by_one_or_together(outgoing: Outgoing, wire: Wire):
    futures = publish(outgoing, 5)
    assert wire.sent == numbered(3)
    outgoing.confirmed(2, False, True)
    assert [ended(future) for future in futures] == [None, "confirmed", None, None, None]
    assert wire.sent == numbered(4)
    outgoing.confirmed(4, True, True)
    assert [ended(future) for future in futures] == ["confirmed"] * 4 + [None]
    assert wire.sent == numbered(5)
    outgoing.confirmed(5, False, False)
    assert ended(futures[4]) is BrokerUnavailable


async def test_more_than_may_wait(outgoing: Outgoing):
    futures = publish(outgoing, 6)
    assert [ended(future) for future in futures] == [None] * 5 + [BrokerUnavailable]
    outgoing.connection_lost("end of test")
    await asyncio.gather(*futures, return_exceptions=True)


async def test_a_return_ends_it_and_its_confirm_does_not_count(outgoing: Outgoing):
    futures = publish(outgoing, 3)
    outgoing.returned("chat.lobby", None, b"1", "NO_ROUTE")
    assert [ended(future) for future in futures] == [None, BrokerUnavailable, None]
    outgoing.confirmed(3, True, True)
    assert [ended(future) for future in futures] == ["confirmed", BrokerUnavailable, "confirmed"]


async def test_a_return_of_nothing_known_changes_nothing(outgoing: Outgoing):
    futures = publish(outgoing, 1)
    outgoing.returned("chat.lobby", "another id", b"0", "NO_ROUTE")
    outgoing.confirmed(7, False, True)
    assert ended(futures[0]) is None
    outgoing.confirmed(1, False, True)
    assert ended(futures[0]) == "confirmed"


async def test_the_connection_lost(outgoing: Outgoing, wire: Wire):
    futures = publish(outgoing, 5)
    outgoing.connection_lost("gone")
    assert [ended(future) for future in futures] == [PublishUnconfirmed] * 3 + [
        BrokerUnavailable
    ] * 2
    assert ended(publish(outgoing, 1)[0]) is BrokerUnavailable
    outgoing.accept()
    outgoing.channel_opened(wire.send)
    again = publish(outgoing, 1)
    outgoing.confirmed(1, False, True)
    assert ended(again[0]) == "confirmed"
    for future in futures:
        assert future.exception()


async def test_blocked_what_is_on_the_wire_stays_there_and_what_waits_ends(outgoing: Outgoing):
    futures = publish(outgoing, 5)
    outgoing.refuse("low on memory")
    assert [ended(future) for future in futures] == [None] * 3 + [BrokerUnavailable] * 2
    with pytest.raises(BrokerUnavailable, match="low on memory"):
        await outgoing.publish(Envelope("chat.lobby", b"1"))
    outgoing.confirmed(3, True, True)
    assert [ended(future) for future in futures[:3]] == ["confirmed"] * 3


@pytest.mark.parametrize(
    ("code", "text", "culprits"),
    [
        (406, "PRECONDITION_FAILED - message size 22 is larger than configured max size 20", [1]),
        (406, "PRECONDITION_FAILED - something else", []),
        (403, "ACCESS_REFUSED - access to topic 'chat.two' in exchange 'rooms' refused", [2]),
        (403, "ACCESS_REFUSED - access to exchange 'rooms' in vhost '/' refused", [0, 1, 2]),
        (541, "INTERNAL_ERROR", []),
    ],
)
async def test_the_channel_closed_for_one_of_them(
    outgoing: Outgoing, wire: Wire, code: int, text: str, culprits: list[int]
):
    envelopes = [
        Envelope("chat.one", b"1"),
        Envelope("chat.one", b"2" * 22),
        Envelope("chat.two", b"3"),
        Envelope("chat.two", b"4"),
    ]
    futures = [outgoing.publish(envelope) for envelope in envelopes]
    outgoing.channel_closed(code, text)
    for number, future in enumerate(futures[:3]):
        expected = PublishRejected if number in culprits else PublishUnconfirmed
        assert ended(future) is expected
    assert ended(futures[3]) is None, "not sent, so it goes out on the next AMQP channel"
    outgoing.channel_opened(wire.send)
    assert wire.sent == envelopes
    outgoing.confirmed(1, False, True)
    assert ended(futures[3]) == "confirmed"


async def test_what_cannot_be_encoded_takes_no_tag(outgoing: Outgoing, wire: Wire):
    bad = outgoing.publish(Envelope("chat.lobby", b"0", key="cannot be encoded"))
    good = outgoing.publish(Envelope("chat.lobby", b"1"))
    outgoing.confirmed(1, False, True)
    assert ended(bad) is PublishRejected
    assert ended(good) == "confirmed"


async def test_closed_before_anybody_said_so(outgoing: Outgoing, wire: Wire):
    first = publish(outgoing, 1)[0]
    wire.closed = True
    unsent = [outgoing.publish(envelope) for envelope in numbered(2, first=1)]
    outgoing.channel_closed(406, "PRECONDITION_FAILED")
    assert [ended(future) for future in (first, *unsent)] == [PublishUnconfirmed, None, None]
    wire.closed = False
    outgoing.channel_opened(wire.send)
    assert wire.sent == numbered(3)
    outgoing.confirmed(2, True, True)
    assert [ended(future) for future in unsent] == ["confirmed"] * 2


async def test_silence_ends_in_the_time_out(outgoing: Outgoing):
    futures = publish(outgoing, 5)
    async with asyncio.timeout(2):
        results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [PublishUnconfirmed] * 3 + [
        BrokerUnavailable
    ] * 2
    # Late ones end in their own time too, and answers that come after all do no harm.
    late = outgoing.publish(Envelope("chat.lobby", b"late"))
    async with asyncio.timeout(2):
        with pytest.raises(BrokerUnavailable):
            await late
    outgoing.confirmed(3, True, True)
    again = outgoing.publish(Envelope("chat.lobby", b"again"))
    outgoing.confirmed(4, False, True)
    assert ended(again) == "confirmed"


async def test_a_publication_given_up_by_its_caller_is_not_sent(outgoing: Outgoing, wire: Wire):
    futures = publish(outgoing, 5)
    futures[3].cancel()
    futures[0].cancel()
    outgoing.confirmed(3, True, True)
    assert [envelope.body for envelope in wire.sent] == [b"0", b"1", b"2", b"4"]
    outgoing.connection_lost("end of test")
    await asyncio.gather(*futures, return_exceptions=True)


async def test_draining(outgoing: Outgoing):
    futures = publish(outgoing, 4)
    outgoing.close("closing")
    assert ended(publish(outgoing, 1)[0]) is BrokerUnavailable
    draining = asyncio.create_task(outgoing.drained(5))
    outgoing.confirmed(3, True, True)
    await asyncio.sleep(0)
    assert not draining.done()
    outgoing.confirmed(4, False, True)
    async with asyncio.timeout(1):
        await draining
    assert [ended(future) for future in futures] == ["confirmed"] * 4

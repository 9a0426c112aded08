"""What every `roomline.broker.Broker` must do: one suite, for whoever implements one.

Subclass `BrokerContract` in a test module, name the subclass ``Test...``, and give it a fixture
``world`` that returns a `World`::

    pytest.register_assert_rewrite("tests.brokers.contract")

    class TestMine(BrokerContract):
        @pytest.fixture
        async def world(self, tmp_path) -> World: ...
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol

import pytest
from roomline.broker import (
    Broker,
    BrokerUnavailable,
    PublishRejected,
    PublishUnconfirmed,
    Start,
)
from roomline.wire import MAX_BODY_BYTES, MAX_KEY_LENGTH, Envelope, Sender

NAMESPACES = ("chat", "system", "admin")
"""The namespaces that every broker of a world routes to the log."""


class World(Protocol):
    """One log, empty at first, and the ways to treat it badly."""

    patience: float
    """Seconds after which what has not happened is taken to never happen."""

    time_resolution: float
    """How far (seconds) two entries must lie apart for reading from a time to tell them apart."""

    bytes_per_turn: int
    """The most bytes of bodies that a broker delivers in one turn of the event loop."""

    def broker(self) -> Broker:
        """Another broker on the log, not started, as another node would have it."""

    async def recreate(self) -> None:
        """Delete the log and make it anew, empty, under the feet of running brokers."""

    def unforeseen(self) -> AbstractContextManager[object]:
        """Within, what a broker does to append raises `MemoryError`, which nobody expects."""

    async def trim(self) -> None:
        """Have the log forget all that it holds now. May publish to the room ``chat.filler``."""


class Recorder:
    """A listener that writes down what it is told, in order."""

    def __init__(self, patience: float) -> None:
        self.entries: list[tuple[int, int, Envelope]] = []
        """What was delivered: partition, offset, envelope."""
        self.told: list[str] = []
        """The same and the other calls by name: a room, "caught_up", "cut_off", "log_reset"."""
        self._patience = patience
        self._changed = asyncio.Event()

    def deliver(self, partition: int, offset: int, envelope: Envelope) -> None:
        self.entries.append((partition, offset, envelope))
        self._tell(envelope.room)

    def caught_up(self) -> None:
        self._tell("caught_up")

    def cut_off(self, reason: str) -> None:
        assert reason
        self._tell("cut_off")

    def log_reset(self, reason: str) -> None:
        assert reason
        self._tell("log_reset")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self._changed.set()

    @property
    def bodies(self) -> list[bytes]:
        return [envelope.body for _, _, envelope in self.entries if envelope.room != "chat.filler"]

    @property
    def offsets(self) -> list[int]:
        return [offset for _, offset, _ in self.entries]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on what was told; AssertionError when patience ends."""
        try:
            async with asyncio.timeout(self._patience):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            told = f"{len(self.told)} calls, the last of them {self.told[-20:]}"
            raise AssertionError(f"not within {self._patience} s; there were {told}") from None

    async def until_caught_up(self) -> None:
        await self.until(lambda: "caught_up" in self.told)

    async def until_attached(self) -> None:
        """After a start: if the log could not be read at once, as one that was just made cannot
        be now and then, "next" begins when it can."""
        if "cut_off" in self.told:
            await self.until_caught_up()

    async def until_bodies(self, count: int) -> None:
        await self.until(lambda: len(self.bodies) >= count)


class TurnCounter(Recorder):
    """Also measures what is delivered between two turns of the event loop."""

    def __init__(self, patience: float) -> None:
        super().__init__(patience)
        self.most = 0
        """The most bytes of bodies in one turn."""
        self._size = 0

    def deliver(self, partition: int, offset: int, envelope: Envelope) -> None:
        super().deliver(partition, offset, envelope)
        if self._size == 0:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._size += len(envelope.body)
        self.most = max(self.most, self._size)

    def _end_turn(self) -> None:
        self._size = 0


class Raiser(Recorder):
    """Breaks the listener's promise: raises whatever it is told, after noting it."""

    def _tell(self, what: str) -> None:
        super()._tell(what)
        raise ValueError(f"the listener stumbles over {what}")


Starter = Callable[[Start], Awaitable[tuple[Broker, Recorder]]]


def numbered(count: int, room: str = "chat.lobby", first: int = 0) -> list[Envelope]:
    return [Envelope(room, b"%d" % number) for number in range(first, first + count)]


async def publish_all(broker: Broker, envelopes: list[Envelope]) -> None:
    """Publish without waiting in between, then wait until all are confirmed."""
    await asyncio.gather(*[broker.publish(envelope) for envelope in envelopes])


async def publish_at_last(broker: Broker, envelope: Envelope, patience: float) -> None:
    """Publish, again and again while the broker is in temporary trouble."""
    async with asyncio.timeout(patience):
        while True:
            try:
                await broker.publish(envelope)
            except (BrokerUnavailable, PublishUnconfirmed):
                await asyncio.sleep(0.02)
            else:
                return


class BrokerContract:
    """The suite. `start` makes a broker on the world's log, starts it, and closes it at the end."""

    @pytest.fixture
    async def closing(self) -> AsyncIterator[Callable[[Broker], Broker]]:
        """Takes a broker to close it at the end, and returns it."""
        brokers: list[Broker] = []

        def closing(broker: Broker) -> Broker:
            brokers.append(broker)
            return broker

        yield closing
        for broker in brokers:
            await broker.close()

    @pytest.fixture
    async def start(self, world: World, closing: Callable[[Broker], Broker]) -> Starter:
        async def start(start: Start) -> tuple[Broker, Recorder]:
            broker, recorder = closing(world.broker()), Recorder(world.patience)
            await broker.start(recorder, start)
            await recorder.until_attached()
            return broker, recorder

        return start

    # Publishing and order.

    async def test_own_publications_come_back_in_the_order_of_publishing(self, start: Starter):
        broker, recorder = await start("next")
        await publish_all(broker, numbered(300))
        await recorder.until_bodies(300)
        assert recorder.bodies == [b"%d" % number for number in range(300)]

    async def test_offsets_increase_and_partitions_are_numbered_from_0(self, start: Starter):
        broker, recorder = await start("next")
        await publish_all(broker, numbered(50))
        await recorder.until_bodies(50)
        for partition in range(broker.partitions):
            offsets = [offset for where, offset, _ in recorder.entries if where == partition]
            assert offsets == sorted(set(offsets))
        assert {where for where, _, _ in recorder.entries} <= set(range(broker.partitions))

    async def test_the_first_entry_of_a_log_has_the_first_offset(self, start: Starter):
        broker, recorder = await start("first")
        await broker.publish(Envelope("chat.lobby", b"1"))
        await recorder.until_bodies(1)
        assert recorder.offsets == [broker.first_offset]

    async def test_two_readers_agree_under_two_publishers(self, start: Starter):
        first, recorder = await start("next")
        second, other = await start("next")
        await asyncio.gather(
            *[first.publish(envelope) for envelope in numbered(150, "chat.one")],
            *[second.publish(envelope) for envelope in numbered(150, "chat.two")],
        )
        await recorder.until_bodies(300)
        await other.until_bodies(300)
        assert recorder.entries == other.entries
        for room in ("chat.one", "chat.two"):
            bodies = [envelope.body for _, _, envelope in recorder.entries if envelope.room == room]
            assert bodies == [b"%d" % number for number in range(150)]

    @pytest.mark.parametrize(
        "envelope",
        [
            Envelope("chat.lobby", b"{}"),
            Envelope("chat.lobby", b""),
            Envelope("chat.lobby", bytes(range(256))),
            Envelope("chat.lobby", "héllo 😀".encode()),
            Envelope("chat.lobby", b"x" * MAX_BODY_BYTES),
            Envelope("chat." + "r" * 195, b"1"),
            Envelope("chat.a.b-c_d.E", b"1", kind="system"),
            Envelope("admin.log", b"1", kind="admin", time=1),
            Envelope(
                "chat.lobby",
                b'{"text":"hi"}',
                message_id="f" * 32,
                time=253_402_300_799_999,
                sender=Sender("u_-9", "Ann 😀 Ödegård"),
                key="k" * MAX_KEY_LENGTH,
            ),
            Envelope("chat.lobby", b"1", time=1_767_323_045_678, key="😀"),
        ],
        ids=lambda envelope: f"{envelope.room[:12]}-{len(envelope.body)}-{envelope.kind}",
    )
    async def test_an_envelope_survives_the_trip(self, start: Starter, envelope: Envelope):
        broker, recorder = await start("next")
        await broker.publish(envelope)
        await recorder.until_bodies(1)
        assert recorder.entries[0][2] == envelope._replace(publisher=broker.publisher)

    async def test_the_publisher_is_the_brokers_whatever_the_envelope_says(self, start: Starter):
        broker, recorder = await start("next")
        await broker.publish(Envelope("chat.lobby", b"1", publisher="somebody-else"))
        await recorder.until_bodies(1)
        assert recorder.entries[0][2].publisher == broker.publisher

    async def test_one_turn_of_the_loop_brings_only_so_many_bytes(
        self, world: World, closing: Callable[[Broker], Broker]
    ):
        listening = TurnCounter(world.patience)
        broker = closing(world.broker())
        await broker.start(listening, "first")
        body = b"x" * 60_000
        for count in range(1, 5):  # in parts, so that the whole may be more than the log keeps
            await publish_all(broker, [Envelope("chat.lobby", body)] * 25)
            await listening.until_bodies(25 * count)
        late = TurnCounter(world.patience)
        await closing(world.broker()).start(late, "first")
        await late.until_caught_up()
        assert len(late.bodies) > 10
        for each in (listening, late):
            assert 60_000 <= each.most <= world.bytes_per_turn

    async def test_what_a_listener_raises_costs_nobody_anything(
        self,
        start: Starter,
        world: World,
        closing: Callable[[Broker], Broker],
        caplog: pytest.LogCaptureFixture,
    ):
        raiser = Raiser(world.patience)
        broker = closing(world.broker())
        await broker.start(raiser, "first")
        await raiser.until_caught_up()
        for number in range(3):
            await broker.publish(Envelope("chat.lobby", b"%d" % number))
            await raiser.until_bodies(number + 1)
        await world.recreate()
        await publish_at_last(broker, Envelope("chat.lobby", b"new"), world.patience)
        await raiser.until(lambda: b"new" in raiser.bodies)
        reset = raiser.told.index("log_reset")
        await raiser.until(lambda: "caught_up" in raiser.told[reset:])
        assert raiser.told[:4] == ["caught_up", *["chat.lobby"] * 3]
        for what in ("chat.lobby", "caught_up", "log_reset"):
            assert f"the listener stumbles over {what}" in caplog.text

    # Publishing that fails.

    async def test_what_fails_in_an_unforeseen_way_ends_and_the_next_is_taken(
        self, start: Starter, world: World, caplog: pytest.LogCaptureFixture
    ):
        broker, recorder = await start("next")
        await broker.publish(Envelope("chat.lobby", b"before"))
        with world.unforeseen():
            async with asyncio.timeout(world.patience):
                results = await asyncio.gather(
                    *[broker.publish(envelope) for envelope in numbered(3)], return_exceptions=True
                )
        assert {type(result) for result in results} == {PublishUnconfirmed}
        assert "MemoryError" in caplog.text
        await publish_at_last(broker, Envelope("chat.lobby", b"after"), world.patience)
        await recorder.until_bodies(2)
        assert recorder.bodies == [b"before", b"after"]
        assert "cut_off" not in recorder.told

    async def test_what_fails_in_an_unforeseen_way_ends_while_closing_too(
        self, start: Starter, world: World
    ):
        broker, _ = await start("next")
        await broker.publish(Envelope("chat.lobby", b"before"))
        with world.unforeseen():
            outcomes = [broker.publish(envelope) for envelope in numbered(3)]
            async with asyncio.timeout(world.patience):
                await broker.close()
            assert all(outcome.done() for outcome in outcomes)
            for outcome in outcomes:
                assert isinstance(outcome.exception(), PublishUnconfirmed | BrokerUnavailable)

    async def test_what_is_not_routed_is_unavailable_and_not_in_the_log(self, start: Starter):
        broker, recorder = await start("next")
        with pytest.raises(BrokerUnavailable, match="nowhere"):
            await broker.publish(Envelope("nowhere.room", b"1"))
        await broker.publish(Envelope("chat.lobby", b"2"))
        await recorder.until_bodies(1)
        assert recorder.bodies == [b"2"]

    @pytest.mark.parametrize(
        "envelope",
        [
            Envelope("chat.lobby", b"x" * (MAX_BODY_BYTES + 1)),
            Envelope("chat.lob by", b"1"),
            Envelope("chat.lobby\n", b"1"),
            Envelope("chat." + "r" * 196, b"1"),
            Envelope("chat.lobby", b"1", sender=Sender("7", "half a pair: \ud83d")),
        ],
        ids=["too large", "blank in room", "newline in room", "long room", "surrogate"],
    )
    async def test_what_is_refused_for_good_harms_no_other(
        self, start: Starter, envelope: Envelope
    ):
        broker, recorder = await start("next")
        before = broker.publish(Envelope("chat.lobby", b"before"))
        refused = broker.publish(envelope)
        after = broker.publish(Envelope("chat.lobby", b"after"))
        with pytest.raises(PublishRejected):
            await refused
        await before
        await after
        await recorder.until_bodies(2)
        assert recorder.bodies == [b"before", b"after"]

    async def test_before_the_start_nothing_is_sent(self, world: World):
        broker = world.broker()
        with pytest.raises(BrokerUnavailable):
            await broker.publish(Envelope("chat.lobby", b"1"))
        await broker.close()

    # Where reading begins.

    async def test_an_empty_log_is_caught_up_with_at_once(self, start: Starter):
        _, recorder = await start("first")
        await recorder.until_caught_up()
        assert recorder.told == ["caught_up"]

    async def test_caught_up_comes_once_after_all_that_stood_in_the_log(self, start: Starter):
        broker, _ = await start("next")
        await publish_all(broker, numbered(700))
        _, late = await start("first")
        await late.until_caught_up()
        assert late.bodies == [b"%d" % number for number in range(700)]
        await broker.publish(Envelope("chat.lobby", b"new"))
        await late.until_bodies(701)
        assert late.told.index("caught_up") == 700
        assert late.told.count("caught_up") == 1

    async def test_from_next_only_what_is_appended_from_now_on(self, start: Starter):
        broker, recorder = await start("first")
        await publish_all(broker, numbered(5))
        await recorder.until_bodies(5)
        _, late = await start("next")
        await late.until_caught_up()
        await broker.publish(Envelope("chat.lobby", b"new"))
        await late.until_bodies(1)
        assert late.told == ["caught_up", "chat.lobby"]
        assert late.bodies == [b"new"]

    async def test_from_an_offset_that_entry_is_the_first(self, start: Starter):
        broker, recorder = await start("first")
        await publish_all(broker, numbered(20))
        await recorder.until_bodies(20)
        _, late = await start(recorder.offsets[12])
        await late.until_caught_up()
        assert late.entries == recorder.entries[12:]

    async def test_from_a_time_what_was_appended_since(self, start: Starter, world: World):
        broker, recorder = await start("first")
        await publish_all(broker, numbered(3))
        await asyncio.sleep(world.time_resolution)
        moment = datetime.now(UTC)
        await asyncio.sleep(world.time_resolution)
        await publish_all(broker, numbered(3, first=3))
        await recorder.until_bodies(6)
        _, late = await start(moment)
        await late.until_caught_up()
        assert late.entries == recorder.entries[3:]

    async def test_from_a_trimmed_offset_the_oldest_retained_is_the_first(
        self, start: Starter, world: World
    ):
        broker, recorder = await start("first")
        await publish_all(broker, numbered(5))
        await recorder.until_bodies(5)
        await world.trim()
        await broker.publish(Envelope("chat.lobby", b"after"))
        await recorder.until_bodies(6)
        for where in (recorder.offsets[0], "first"):
            _, late = await start(where)
            await late.until_caught_up()
            assert "log_reset" not in late.told
            assert late.bodies == [b"after"]
            assert late.entries == recorder.entries[-len(late.entries) :]
        assert "log_reset" not in recorder.told, "who has read it all has missed nothing"

    async def test_a_trimmed_log_never_looks_as_if_nothing_was_ever_in_it(
        self, start: Starter, world: World
    ):
        broker, recorder = await start("first")
        await publish_all(broker, numbered(3))
        await recorder.until_bodies(3)
        await world.trim()
        _, late = await start("first")
        await late.until_caught_up()
        assert late.bodies == []
        assert late.offsets[0] > broker.first_offset

    async def test_restart_and_continue_without_gap_or_repeat(self, start: Starter):
        broker, recorder = await start("first")
        await publish_all(broker, numbered(10))
        await recorder.until_bodies(10)
        await broker.close()
        elsewhere, _ = await start("next")
        await publish_all(elsewhere, numbered(10, first=10))
        _, continued = await start(recorder.offsets[-1] + 1)
        await continued.until_caught_up()
        assert recorder.bodies + continued.bodies == [b"%d" % number for number in range(20)]

    # The log replaced.

    async def test_a_recreated_log_is_told_and_read_from_its_beginning(
        self, start: Starter, world: World
    ):
        broker, recorder = await start("first")
        await publish_all(broker, numbered(5))
        await recorder.until_bodies(5)
        await world.recreate()
        await publish_at_last(broker, Envelope("chat.lobby", b"new"), world.patience)
        await recorder.until(lambda: b"new" in recorder.bodies)
        reset = recorder.told.index("log_reset")
        assert recorder.told[:reset].count("chat.lobby") == 5
        assert recorder.told[reset:].count("chat.lobby") == 1
        await recorder.until(lambda: "caught_up" in recorder.told[reset:])
        _, late = await start("first")
        await late.until_caught_up()
        assert late.bodies == [b"new"]

    # Leaving.

    async def test_after_close_nothing_is_sent_or_told(self, start: Starter, world: World):
        broker, recorder = await start("first")
        await publish_all(broker, numbered(3))
        await recorder.until_bodies(3)
        await broker.close()
        told = list(recorder.told)
        with pytest.raises(BrokerUnavailable):
            await broker.publish(Envelope("chat.lobby", b"late"))
        other, following = await start("next")
        await other.publish(Envelope("chat.lobby", b"unheard"))
        await following.until_bodies(1)
        assert recorder.told == told

    async def test_close_waits_for_what_was_handed_over_and_may_be_repeated(
        self, start: Starter, world: World
    ):
        broker, _ = await start("next")
        futures = [broker.publish(envelope) for envelope in numbered(200)]
        async with asyncio.timeout(world.patience):
            await broker.close()
            await broker.close()
        assert all(future.done() for future in futures)
        results = await asyncio.gather(*futures, return_exceptions=True)
        _, late = await start("first")
        await late.until_caught_up()
        confirmed = [b"%d" % number for number, error in enumerate(results) if error is None]
        assert [body for body in late.bodies if body in confirmed] == confirmed
        for error in results:
            assert error is None or isinstance(error, BrokerUnavailable | PublishUnconfirmed)

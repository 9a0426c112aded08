"""What every `roomline.broker.Signals` must do, and what is special about each."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from roomline.broker import MAX_SIGNAL_BYTES, BrokerError, Signals
from roomline.brokers.all_signals import AllSignals
from roomline.brokers.embedded_signals import EmbeddedSignals
from roomline.brokers.rabbitmq_settings import RabbitMQSettings
from roomline.brokers.rabbitmq_signals import RabbitMQSignals

from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost  # noqa: F401
from tests.support.until import until

Starter = Callable[[], Awaitable[tuple[Signals, list[bytes]]]]


@pytest.fixture
async def closing() -> AsyncIterator[Callable[[Signals], Signals]]:
    """Takes signals to close them at the end, and returns them."""
    made: list[Signals] = []

    def closing(signals: Signals) -> Signals:
        made.append(signals)
        return signals

    yield closing
    for signals in made:
        await signals.close()


async def until_heard(send: Callable[[], None], heard: list[bytes], wanted: bytes) -> None:
    """Send until it has arrived: a signal may get lost."""
    async with asyncio.timeout(30):
        while wanted not in heard:
            send()
            await asyncio.sleep(0.05)


class SignalsContract:
    """The suite. A fixture ``make`` makes signals that are not started, all of one way."""

    @pytest.fixture
    async def start(
        self, make: Callable[[], Signals], closing: Callable[[Signals], Signals]
    ) -> Starter:
        async def start() -> tuple[Signals, list[bytes]]:
            heard: list[bytes] = []
            signals = closing(make())
            await signals.start(heard.append)
            return signals, heard

        return start

    async def test_all_others_hear_and_who_sends_does_not(self, start: Starter):
        (one, own), (_, second), (_, third) = [await start() for _ in range(3)]
        one.send(b"here I am")
        await until(lambda: second and third)
        assert (own, second, third) == ([], [b"here I am"], [b"here I am"])

    @pytest.mark.parametrize("signal", [b"", bytes(range(256)), b"x" * MAX_SIGNAL_BYTES])
    async def test_any_bytes_go(self, start: Starter, signal: bytes):
        (one, _), (_, heard) = await start(), await start()
        one.send(signal)
        await until(lambda: heard)
        assert heard == [signal]

    async def test_what_is_too_long_is_an_error_of_the_sender(self, start: Starter):
        one, _ = await start()
        with pytest.raises(ValueError, match="a signal of 4097 bytes, at most 4096 go"):
            one.send(b"x" * (MAX_SIGNAL_BYTES + 1))

    async def test_what_was_sent_before_is_not_kept(self, start: Starter):
        one, _ = await start()
        one.send(b"nobody hears this")
        _, heard = await start()
        one.send(b"this is heard")
        await until(lambda: heard)
        assert heard == [b"this is heard"]

    async def test_without_a_start_and_after_the_end_nothing_is_sent(
        self, start: Starter, make: Callable[[], Signals]
    ):
        (one, _), (other, heard) = await start(), await start()
        make().send(b"not started")
        one.send(b"heard")
        await until(lambda: heard)
        await one.close()
        one.send(b"closed")
        await one.close()
        other.send(b"nobody is there any more")
        assert heard == [b"heard"]


class TestEmbedded(SignalsContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Signals]:
        return lambda: EmbeddedSignals(tmp_path)

    async def test_who_has_died_leaves_nothing_behind(self, start: Starter, tmp_path: Path):
        one, _ = await start()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(str(tmp_path / "dead.signals"))
        assert len(os.listdir(tmp_path)) == 2
        one.send(b"1")
        assert len(os.listdir(tmp_path)) == 1
        await one.close()
        assert os.listdir(tmp_path) == []

    async def test_who_does_not_read_holds_up_nobody(self, start: Starter, tmp_path: Path):
        (one, _), (_, heard) = await start(), await start()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as silent:
            silent.bind(str(tmp_path / "silent.signals"))
            for number in range(2000):
                one.send(b"%d" % number)
                await asyncio.sleep(0)
            assert (tmp_path / "silent.signals").exists()
        await until(lambda: b"1999" in heard)

    async def test_a_folder_that_is_not_there(self, tmp_path: Path):
        with pytest.raises(BrokerError, match="no socket can be made at"):
            await EmbeddedSignals(tmp_path / "nowhere").start(print)

    async def test_a_path_that_is_too_long_for_a_socket(self, tmp_path: Path):
        folder = tmp_path / ("x" * 120)
        os.mkdir(folder)
        with pytest.raises(BrokerError, match="no socket can be made at"):
            await EmbeddedSignals(folder).start(print)


class TestAll(SignalsContract):
    """Two ways at once, of which the others have only one each, or both."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Signals]:
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
        made: list[Signals] = []

        def make() -> Signals:
            ways = [EmbeddedSignals(tmp_path / name) for name in ("one", "other")]
            made.append(AllSignals(ways[len(made) % 2 :][:1] if made else ways))
            return made[-1]

        return make

    async def test_what_comes_by_two_ways_comes_twice(self, tmp_path: Path):
        heard: list[bytes] = []
        for name in ("one", "other"):
            os.mkdir(tmp_path / name)
        one, other = (
            AllSignals([EmbeddedSignals(tmp_path / name) for name in ("one", "other")])
            for _ in range(2)
        )
        await one.start(print)
        await other.start(heard.append)
        one.send(b"1")
        await until(lambda: len(heard) == 2)
        await one.close()
        await other.close()


class TestRabbitMQ(SignalsContract):
    @pytest.fixture
    def make(
        self,
        rabbitmq: RabbitMQNode,  # noqa: F811
        rabbitmq_vhost: str,  # noqa: F811
    ) -> Callable[..., Signals]:
        def make(**changes: Any) -> Signals:
            url = changes.pop("url", rabbitmq.url(vhost=rabbitmq_vhost))
            return RabbitMQSignals(
                RabbitMQSettings(url=url, namespaces=("chat",), max_backoff=0.5, **changes)
            )

        return make

    async def test_they_go_on_after_a_restart(self, start: Starter, rabbitmq: RabbitMQNode):  # noqa: F811
        (one, _), (_, heard) = await start(), await start()
        await asyncio.to_thread(rabbitmq.kill)
        one.send(b"into the void")
        await asyncio.to_thread(rabbitmq.start)
        await until_heard(lambda: one.send(b"back"), heard, b"back")
        assert set(heard) == {b"back"}

    async def test_a_broker_that_is_not_there_yet_is_waited_for(
        self, make: Callable[..., Signals], closing: Callable[[Signals], Signals]
    ):
        signals = closing(make(url="amqp://guest:guest@127.0.0.1:1/"))
        await signals.start(print)
        signals.send(b"into the void")

    async def test_a_wrong_password_is_told(
        self,
        make: Callable[..., Signals],
        rabbitmq: RabbitMQNode,  # noqa: F811
    ):
        with pytest.raises(BrokerError, match="refuses the user name or the password"):
            await make(url=rabbitmq.url("nobody", "wrong")).start(print)

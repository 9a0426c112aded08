"""The control log of either broker: it holds what is published to control, and only that."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.brokers.contract")

from roomline.broker import Log  # noqa: E402
from roomline.brokers.embedded import EmbeddedBroker, control_log  # noqa: E402
from roomline.brokers.rabbitmq import RabbitMQControlLog  # noqa: E402
from roomline.revocations import RoomRevoked, UserRevoked, revocation_envelopes  # noqa: E402
from roomline.sqlitelog import CONTROL_SUFFIX, SqliteLog  # noqa: E402
from roomline.wire import Envelope  # noqa: E402

from tests.brokers.contract import NAMESPACES, Recorder  # noqa: E402
from tests.brokers.rabbitmq_world import RabbitMQWorld  # noqa: E402
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost  # noqa: E402

__all__ = ["rabbitmq", "rabbitmq_vhost"]

REVOKED = [
    revocation_envelopes([UserRevoked("7", 1)])[0],
    revocation_envelopes([RoomRevoked("chat.a", 2)])[0],
]


async def read(log: Log, publish: Callable[[], Any], publisher: str) -> None:
    """Read what stands in the log and what comes while it is read."""
    recorder = Recorder(15.0)
    await log.start(recorder, "first")
    try:
        await recorder.until_caught_up()
        before = len(recorder.entries)
        await publish()
        await recorder.until(lambda: len(recorder.entries) == before + 2)
    finally:
        await log.close()
    assert recorder.bodies == [each.body for each in REVOKED] * (before // 2 + 1)
    assert {envelope.publisher for _, _, envelope in recorder.entries} == {publisher}


async def test_rabbitmq(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> None:
    world = RabbitMQWorld(rabbitmq, rabbitmq_vhost)
    async with world.running("first") as (broker, rooms):

        async def publish() -> None:
            for envelope in (REVOKED[0], Envelope("chat.a", b"1"), REVOKED[1]):
                await broker.publish(envelope)

        for _ in range(2):  # the second reader finds what the first has read
            await read(RabbitMQControlLog(world.settings()), publish, broker.publisher)
        await rooms.until(lambda: len(rooms.entries) >= 2)
        assert rooms.bodies == [b"1", b"1"]


async def test_embedded(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    broker, rooms = EmbeddedBroker(path, NAMESPACES), Recorder(15.0)
    await broker.start(rooms, "first")

    async def publish() -> None:
        await broker.publish(Envelope("chat.a", b"1"))
        log = SqliteLog(f"{path}{CONTROL_SUFFIX}")
        log.append([each._replace(publisher=broker.publisher) for each in REVOKED])
        log.close()

    try:
        for _ in range(2):
            await read(control_log(path), publish, broker.publisher)
        await rooms.until(lambda: len(rooms.entries) >= 2)
        assert rooms.bodies == [b"1", b"1"]
    finally:
        await broker.close()

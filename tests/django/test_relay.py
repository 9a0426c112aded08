"""The relay as a program, on both brokers: killed at every step, several at once, brokers away."""

import json
import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from django_roomline import publish
from django_roomline.models import OutboxMessage
from django_roomline.publishing import disconnect
from django_roomline.relay import Outcome, Relay
from django_roomline.stopping import StopSignals
from roomline.wire import ROOMS_EXCHANGE, ROOMS_STREAM

from tests.django.logs import EmbeddedLog, Log, RabbitMQLog, without_repeats
from tests.django.programs import PATIENCE, Project
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]  # fixtures
pytestmark = pytest.mark.slow


@pytest.fixture
def embedded(tmp_path: Path) -> EmbeddedLog:
    return EmbeddedLog(tmp_path / "rooms.sqlite3")


@pytest.fixture
def stream(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> RabbitMQLog:
    return RabbitMQLog(rabbitmq.url(vhost=rabbitmq_vhost))


@pytest.fixture(params=["embedded", "stream"])
def log(request: pytest.FixtureRequest) -> Log:
    found: Log = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def project(log: Log, tmp_path: Path) -> Iterator[Project]:
    """A project that publishes to the log."""
    made = Project(tmp_path, log.broker)
    yield made
    made.close()


only_embedded = pytest.mark.parametrize("log", ["embedded"], indirect=True)
only_rabbitmq = pytest.mark.parametrize("log", ["stream"], indirect=True)


def seen(log: Log) -> list[Any]:
    """The data that subscribers see."""
    return [json.loads(envelope.body) for envelope in without_repeats(log.read())]


def test_killed_at_every_step_it_loses_nothing_and_the_order_stays(
    project: Project, log: Log
) -> None:
    said = project.run("-m", "tests.django.crashes")
    runs, written = map(int, re.findall(r"\d+", said))
    assert runs > 25, said
    assert seen(log) == [[run, item] for run in range(runs) for item in range(written)]
    assert len(log.read()) > runs * written, "no crash came between a confirm and its delete"


def test_relays_follow_each_other(project: Project, log: Log) -> None:
    relays = [project.relay() for _ in range(3)]
    for number, relay in enumerate(relays[:2]):
        project.write(*range(20 * number, 20 * number + 20))
        relay.kill()
    project.write(*range(40, 60))
    project.wait_until_relayed()
    assert relays[2].end(signal.SIGTERM) == 0
    assert re.search(r"\d+ published, 0 refused\n$", relays[2].said)
    assert seen(log) == list(range(60))


WHEN_ONE_IS_AT_WORK = """
import os, time
deadline = time.monotonic() + {patience}
while not (lease := Lease.objects.filter(expires__gt=0).first()):
    assert time.monotonic() < deadline
    time.sleep(0.01)
os.kill({pid}, {signal})
time.sleep(0.1)
assert Lease.objects.get().holder == lease.holder
"""


@only_embedded
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_another_one_takes_over_from_the_one_at_work(
    project: Project, embedded: EmbeddedLog, sent: signal.Signals
) -> None:
    publisher = "from django_roomline.publishing import publish; publish('chat.0', 'first')"
    project.run("-m", "django", "shell", "--no-imports", "-c", publisher)
    holder = sqlite3.connect(embedded.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")  # so that it stands in the middle of its work
    project.write(*range(10))
    first = project.relay()
    project.shell(WHEN_ONE_IS_AT_WORK.format(patience=PATIENCE, pid=first.pid, signal=int(sent)))
    holder.execute("ROLLBACK")
    holder.close()
    second = project.relay()
    project.wait_until_relayed()
    if sent is signal.SIGSTOP:  # what it wakes up to do has been done
        first.send(signal.SIGCONT)
        project.write(10)
        project.wait_until_relayed()
        assert first.end(signal.SIGTERM) == 0
    assert second.end(signal.SIGINT) == 0
    assert seen(embedded)[:11] == ["first", *range(10)]
    assert len(embedded.read()) <= 13, "one repeat at most of what it was about to publish"


@only_rabbitmq
def test_a_broker_that_was_killed_is_waited_for(
    project: Project, rabbitmq: RabbitMQNode, log: Log
) -> None:
    relay = project.relay()
    project.write(*range(10))
    project.wait_until_relayed()
    rabbitmq.kill()
    project.write(*range(10, 20))
    relay.until_it_says("the outbox waits")
    rabbitmq.start()
    project.wait_until_relayed()
    assert relay.end(signal.SIGTERM) == 0
    assert seen(log) == list(range(20))


@only_rabbitmq
def test_a_broker_that_is_away_does_not_keep_it_from_stopping(
    project: Project, rabbitmq: RabbitMQNode
) -> None:
    rabbitmq.kill()
    project.write(1)
    relay = project.relay()
    relay.until_it_says("the outbox waits")
    assert relay.end(signal.SIGTERM) == 0
    once = project.start("-m", "django", "roomline_relay", "--once")
    assert once.end() == 1
    assert "CommandError: the outbox waits: RabbitMQ cannot be reached" in once.said


@pytest.fixture
def relay(stream: RabbitMQLog, roomline: Any) -> Iterator[Relay]:
    """A relay of this process, for the outbox in its database."""
    roomline(BROKER=stream.broker)
    yield Relay("default", StopSignals())
    disconnect()
    OutboxMessage.objects.all().delete()


def test_a_namespace_that_is_not_bound_waits_alone(relay: Relay, stream: RabbitMQLog) -> None:
    for number, room in enumerate(["lost.1", "chat.1", "lost.2"]):
        publish(room, number, outbox=True)
    assert relay.drain() is Outcome.RETURNED
    assert seen(stream) == [1]
    assert "not bound" in OutboxMessage.objects.all()[0].error
    with pika.BlockingConnection(pika.URLParameters(stream.broker)) as made:
        made.channel().queue_bind(ROOMS_STREAM, ROOMS_EXCHANGE, "lost.#")
    assert Relay("default", StopSignals()).drain() is Outcome.DONE
    assert seen(stream) == [1, 0, 2]


def test_what_its_user_may_not_publish_is_refused(
    relay: Relay, stream: RabbitMQLog, rabbitmq: RabbitMQNode, rabbitmq_vhost: str, roomline: Any
) -> None:
    rabbitmq.add_user("web", "secret")
    rabbitmq.allow("web", vhost=rabbitmq_vhost, topics={ROOMS_EXCHANGE: (r"^chat\.lobby$", "")})
    roomline(BROKER=rabbitmq.url("web", "secret", rabbitmq_vhost))
    for number, room in enumerate(["chat.lobby", "chat.other", "chat.lobby"]):
        publish(room, number, outbox=True)
    assert relay.drain() is Outcome.DONE
    assert seen(stream) == [0, 2]
    refused = OutboxMessage.objects.get()
    assert refused.refused
    assert "ACCESS_REFUSED" in refused.error

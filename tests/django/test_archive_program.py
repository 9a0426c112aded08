"""``roomline_archive`` as a program, on both brokers: killed under load, two of it, another log."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from django_roomline import publish
from django_roomline.publishing import disconnect
from roomline.wire import ROOMS_EXCHANGE, ROOMS_STREAM

from tests.django.logs import EmbeddedLog, Log, RabbitMQLog, Undecodable
from tests.django.programs import PATIENCE, Program, Project
from tests.support.rabbitmq import RabbitMQNode, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]  # fixtures
pytestmark = pytest.mark.slow


@pytest.fixture(params=["embedded", "stream"])
def log(request: pytest.FixtureRequest, tmp_path: Path, roomline: Callable[..., None]) -> Log:
    made: Log
    if request.param == "embedded":
        made = EmbeddedLog(tmp_path / "rooms.sqlite3")
    else:
        node: RabbitMQNode = request.getfixturevalue("rabbitmq")
        made = RabbitMQLog(node.url(vhost=request.getfixturevalue("rabbitmq_vhost")))
    roomline(BROKER=made.broker, PUBLISH_TIMEOUT=10.0)
    return made


only_rabbitmq = pytest.mark.parametrize("log", ["stream"], indirect=True)


@pytest.fixture
def project(log: Log, tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path, log.broker)
    yield made
    made.close()
    disconnect()


def archiver(project: Project) -> Program:
    program = project.start("-m", "django", "roomline_archive")
    program.until_it_says("archiving")
    return program


def archived(project: Project) -> list[Any]:
    """The data that the archive has, in its order."""
    return [
        json.loads(text)["data"]
        for text in json.loads(
            project.shell(
                "import json\n"
                "rows = ArchivedPublication.objects.order_by('id')\n"
                "print(json.dumps(list(rows.values_list('publication', flat=True))))"
            )
        )
    ]


def gaps(project: Project) -> list[str]:
    found: list[str] = json.loads(
        project.shell(
            "import json\n"
            "rows = ArchiveGap.objects.order_by('id')\n"
            "print(json.dumps(list(rows.values_list('reason', flat=True))))"
        )
    )
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Load:
    """Publishes numbers until told to stop; `count` of them were confirmed."""

    def __init__(self) -> None:
        self.count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            publish(f"chat.{self.count % 3}", self.count, on_commit=False)
            self.count += 1

    def stop(self) -> int:
        self._stop.set()
        self._thread.join(PATIENCE)
        return self.count


def test_killed_under_load_it_stores_each_once(project: Project, log: Log) -> None:
    load = Load()
    try:
        for _ in range(4):
            program = archiver(project)
            before = load.count
            until(lambda before=before: load.count > before + 60)  # type: ignore[misc]
            program.kill()
    finally:
        total = load.stop()
    project.run("-m", "django", "roomline_archive", "--once")
    assert archived(project) == list(range(total))
    assert gaps(project) == []


def test_two_at_once_store_each_once(project: Project, log: Log) -> None:
    publish("chat.a", 0, on_commit=False)
    programs = [archiver(project) for _ in range(2)]
    for number in range(1, 200):
        publish("chat.a", number, on_commit=False)
    until(lambda: len(archived(project)) >= 200)
    assert archived(project) == list(range(200))
    for program in programs:
        assert program.end(signal.SIGTERM) == 0
    assert sum(int(each.said.split()[-3]) for each in programs) == 200
    assert gaps(project) == []


@only_rabbitmq
def test_another_stream_in_its_place_begins_a_new_epoch(project: Project, log: Log) -> None:
    for number in range(5):
        publish("chat.a", number, on_commit=False)
    project.run("-m", "django", "roomline_archive", "--once")
    with pika.BlockingConnection(pika.URLParameters(log.broker)) as connection:
        connection.channel().queue_delete(ROOMS_STREAM)
    RabbitMQLog(log.broker)
    for number in range(10, 18):
        publish("chat.a", number, on_commit=False)
    project.run("-m", "django", "roomline_archive", "--once")
    assert archived(project) == [*range(5), *range(10, 18)]
    [reason] = gaps(project)
    assert "the log was replaced" in reason


@only_rabbitmq
def test_an_entry_that_nobody_can_read_is_skipped_and_noted(project: Project, log: Log) -> None:
    publish("chat.a", 1, on_commit=False)
    with pika.BlockingConnection(pika.URLParameters(log.broker)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        # A time that pika cannot decode, as in a header that anybody may write.
        headers = Undecodable()
        channel.basic_publish(ROOMS_EXCHANGE, "chat.a", b"2", headers, mandatory=True)
    publish("chat.a", 3, on_commit=False)
    project.run("-m", "django", "roomline_archive", "--once")
    assert archived(project) == [1, 3]
    assert gaps(project) == ["nobody can read this entry"]


@only_rabbitmq
def test_without_a_stream_it_says_what_is_missing(project: Project, log: Log) -> None:
    with pika.BlockingConnection(pika.URLParameters(log.broker)) as connection:
        connection.channel().queue_delete(ROOMS_STREAM)
    program = project.start("-m", "django", "roomline_archive", "--once")
    assert program.end() == 1
    assert "RabbitMQ has no stream rooms.log in this virtual host" in program.said

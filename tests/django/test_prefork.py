"""Publishing from forked workers that were preloaded: gunicorn and Celery, on both brokers."""

import json
import re
import signal
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.django.logs import EmbeddedLog, Log, RabbitMQLog, without_repeats
from tests.django.programs import Project
from tests.support.rabbitmq import RabbitMQNode, free_port, rabbitmq, rabbitmq_vhost
from tests.support.until import until

__all__ = ["rabbitmq", "rabbitmq_vhost"]  # fixtures
pytestmark = pytest.mark.slow

COUNT = 90


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
    made = Project(tmp_path, log.broker)
    yield made
    made.close()


def numbers(log: Log) -> list[Any]:
    """What was published after the fork, sorted."""
    first, *others = [json.loads(envelope.body) for envelope in without_repeats(log.read())]
    assert first == "before the fork"
    return sorted(others)


def test_gunicorn_s_workers_lose_nothing(project: Project, log: Log) -> None:
    port = free_port()
    options = ["--workers", "3", "--threads", "4", "--bind", f"127.0.0.1:{port}"]
    options += ["--preload", "--no-control-socket"]
    server = project.start("-m", "gunicorn", *options, "tests.django.preloaded:application")
    server.until_it_says("Listening at")

    def request(number: int) -> str:
        url = f"http://127.0.0.1:{port}/publish/{number}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return str(answer.read())

    count, workers = 0, set[str]()
    with ThreadPoolExecutor(12) as pool:
        while len(workers) < 3 and count < 10 * COUNT:
            workers.update(pool.map(request, range(count, count + COUNT)))
            count += COUNT
    assert server.end(signal.SIGTERM) == 0, server.said
    assert len(workers) == 3, server.said
    assert numbers(log) == list(range(count))


async def test_celery_s_workers_lose_nothing(project: Project, log: Log, tmp_path: Path) -> None:
    environment = queue_for(log, tmp_path)
    options = ["--pool", "prefork", "--concurrency", "3", "--loglevel", "INFO"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    command = ["-m", "celery", "-A", "tests.django.tasks", "worker", *options, *quiet]
    worker = project.start(*command, **environment)
    worker.until_it_says("ready.")
    send = f"from tests.django.tasks import *\nfor n in range({COUNT}): publish_number.delay(n)"
    sender = project.start("-c", send, **environment)
    assert sender.end() == 0, sender.said
    await until(lambda: len(numbers(log)) >= COUNT, within=60)
    worker.end(signal.SIGQUIT)  # all is done; the warm way takes it five seconds
    assert len(set(re.findall(r"ForkPoolWorker-\d+", worker.said))) > 1, worker.said
    assert numbers(log) == list(range(COUNT))


def queue_for(log: Log, folder: Path) -> dict[str, str]:
    """The tasks' queue: RabbitMQ if there is one, else a folder."""
    if isinstance(log, RabbitMQLog):
        return {"CELERY_BROKER": log.broker, "CELERY_OPTIONS": "{}"}
    tasks = folder / "tasks"
    tasks.mkdir()
    folders = {"data_folder_in": str(tasks), "data_folder_out": str(tasks)}
    folders |= {"control_folder": str(folder / "control")}
    return {"CELERY_BROKER": "filesystem://", "CELERY_OPTIONS": json.dumps(folders)}

"""The reloading worker while somebody edits the project, and breaks it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.django.programs import Program
from tests.support import own_project

pytestmark = pytest.mark.slow

WAITING = "waiting until code changes, to begin anew\n"
ANSWERING = "answering talk.check, talk.say in 4 threads"


class Worker:
    """A reloading worker of `tests.support.own_project`."""

    def __init__(self, folder: Path) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")}
        command = ["roomline_worker", "--reload", "--skip-checks"]
        self.program = Program([str(own_project.write(folder)), *command], environment)
        self.program.until_it_says(ANSWERING)

    @contextmanager
    def saying(self, text: str) -> Iterator[None]:
        """The block makes it say that once more."""
        times = self.program.said.count(text)
        yield
        self.program.until_it_says(text, times + 1)

    def child(self) -> int:
        pid = self.program.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.program.end(signal.SIGTERM)


def break_(worker: Worker, path: Path, text: str) -> None:
    """Save what cannot be loaded, until the worker knows."""
    times = worker.program.said.count(WAITING)
    with own_project.saved(path, text):
        worker.program.until_it_says(WAITING, times + 1)


@pytest.mark.parametrize(
    ("name", "broken"),
    [("talks/models.py", "def (\n"), ("site_of_mine/settings.py", "import nothing_of_that_name\n")],
)
def test_a_worker_waits_while_its_project_is_broken(
    worker: Worker, tmp_path: Path, name: str, broken: str
) -> None:
    path = tmp_path / name
    good = path.read_text()
    break_(worker, path, good + broken)
    with worker.saying(WAITING):
        path.write_text(f"{good}{broken}# still broken")
    with worker.saying(ANSWERING):
        path.write_text(good)
    assert worker.program.end(signal.SIGTERM) == 0


def test_a_file_that_was_missing_is_a_change(worker: Worker, tmp_path: Path) -> None:
    models = tmp_path / "talks/models.py"
    break_(worker, models, f"import talks.more\n{models.read_text()}")
    with worker.saying(ANSWERING):
        (tmp_path / "talks/more.py").touch()
    assert worker.program.end(signal.SIGINT) == 0


def test_a_worker_that_is_killed_does_not_begin_anew(worker: Worker) -> None:
    os.kill(worker.child(), signal.SIGKILL)
    assert worker.program.end() == 128 + signal.SIGKILL

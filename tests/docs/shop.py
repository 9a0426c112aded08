"""The tutorial's project, which the how-tos continue: made by the tutorial's own steps."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from roomline.sqlitelog import SqliteLog
from roomline.wire import json_of

from tests.docs.walkthrough import Terminal, follow, steps
from tests.support.gateway import Gateway

TUTORIAL = "docs/tutorial.rst"
SKIPPED = {"tutorial-install", "tutorial-page-2"}
"""Installed is what is here; the second page is for those who go on with the tutorial."""

KEYS = "1:put-32-or-more-random-characters-here"
"""The tutorial's, as the gateway wants them."""


class Shop:
    """A copy of the project in the folder of a terminal that stands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.terminal = Terminal(folder)
        self.log = folder / "rooms.sqlite3"

    def follow(self, page: str, *, without: frozenset[str] = frozenset()) -> None:
        """Carry out a how-to's steps, but for those named."""
        follow(self.terminal, [step for step in steps(page) if step.name not in without])

    def shell(self, code: str) -> str:
        """What Python code says in the project's shell; it must not fail."""
        script = self.folder / "shell.py"
        script.write_text(code)
        return self.terminal.run("python manage.py shell --no-imports < shell.py")

    def published(self) -> list[tuple[str, str]]:
        """Room and JSON of everything in the embedded log, in order."""
        if not self.log.is_file():
            return []
        with closing(SqliteLog(self.log)) as log:
            return [(entry.room, json_of(entry.body)) for _, entry in log.read(0, 1000)]

    @contextmanager
    def gateway(self, namespaces: str, **settings: str) -> Iterator[Gateway]:
        """A gateway on the project's log and keys."""
        with closing(
            Gateway(
                f"embedded:{self.log}",
                **{"KEYS": KEYS, "ANONYMOUS": "false", "NAMESPACES": namespaces} | settings,
            )
        ) as gateway:
            gateway.start()
            yield gateway


@functools.cache
def _built() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="roomline-shop-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    terminal = Terminal(folder)
    follow(terminal, [step for step in steps(TUTORIAL) if step.name not in SKIPPED])
    return terminal.folder


def new_shop(folder: Path) -> Shop:
    """A project as it stands at the end of the tutorial's seventh step, never started."""
    return Shop(Path(shutil.copytree(_built(), folder / "shop")))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A new shop for one test."""
    return new_shop(tmp_path)


def texts(published: list[tuple[str, str]], room: str) -> list[Any]:
    """What was published to one room."""
    return [data for name, data in published if name == room]

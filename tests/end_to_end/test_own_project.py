"""A project of one's own behind ``runroomline``: requests, moderation, held responses and archive
work together on either log, while somebody edits the code."""

import asyncio
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

import pytest
from roomline.client import Client, CommandRefused
from roomline.tokens import Keyring, sign_connection

from tests.django.programs import Program
from tests.support import own_project
from tests.support.rabbitmq import free_port

pytestmark = pytest.mark.timeout(120)

ROOM = "talk.all"
KEYS = Keyring({"dev": "k" * 32})
WORKER_ANSWERS = "answering talk.check, talk.say"


class Mine:
    """The project as it runs, and what its visitors do."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.folder = folder
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")}
        self._manage = str(own_project.write(folder))
        for command in (
            ["makemigrations", "talks", "-v0"],
            ["migrate", "-v0"],
            ["createsuperuser", "--noinput", "--username", "ann", "--email", "ann@example.com"],
        ):
            program = Program([self._manage, *command], self._environment)
            assert program.end() == 0, program.said
        self.url = f"http://127.0.0.1:{free_port()}"
        ports = ["--addrport", self.url[7:], "--django-port", str(free_port())]
        on = ["--broker", _without_password(broker)] if broker.startswith("amqp") else []
        self.program = Program([self._manage, "runroomline", *ports, *on], self._environment)
        self.program.until_it_says("Open http://")
        self.program.until_it_says(WORKER_ANSWERS)

    def client(self) -> Client:
        """A client of the user ann."""

        def token() -> str:
            return sign_connection(KEYS, "1", now=time.time(), lifetime=600)

        return Client(f"{self.url}/roomline", token=token)

    async def get(self, path: str) -> Any:
        """The JSON at a path."""
        return await asyncio.to_thread(self._get, path)

    async def held(self, path: str, count: int) -> "asyncio.Task[Any]":
        """The JSON that is to come at a path, once so many responses are held."""
        coming = asyncio.create_task(self.get(path))
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(self._holds, count):
                assert not coming.done(), await coming
        return coming

    def _holds(self, count: int) -> bool:
        (internal,) = re.findall(r"internal (http://\S+)", self.program.said)
        with urllib.request.urlopen(f"{internal}/metrics", timeout=10) as response:
            return f"\nroomline_held_responses {count}.0\n" in response.read().decode()

    async def until_django_serves(self, changed: Path) -> None:
        """Return when Django has begun anew with a changed file; saves it again if need be, for
        what changes before the reloader's first look at the files goes unseen."""
        async with asyncio.timeout(60):
            while not await self._answers_within(5):
                os.utime(changed)

    async def _answers_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(urllib.error.HTTPError):
                await self.get("/archived")
                return True
            await asyncio.sleep(0.1)
        return False

    async def archived(self, texts: list[str]) -> None:
        """Return when the archive has exactly that; Django may begin anew meanwhile."""
        found: Any = None
        deadline = time.monotonic() + 30
        while found != texts:
            assert time.monotonic() < deadline, f"{found}; {self.program.said}"
            try:
                found = [data["text"] for data in await self.get("/archived")]
            except urllib.error.HTTPError as error:
                found = error
            await asyncio.sleep(0.1)

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=110) as response:
            return json.load(response)


def _without_password(broker: str) -> str:
    """For RabbitMQ's own user, whose name and password need not be said."""
    parts = urlsplit(broker)
    return parts._replace(netloc=f"{parts.hostname}:{parts.port}").geturl()


@pytest.fixture
def mine(tmp_path: Path, broker: str) -> Iterator[Mine]:
    mine = Mine(tmp_path / "mine", broker)
    yield mine
    mine.program.end(signal.SIGTERM)


def texts(held: dict[str, Any]) -> list[str]:
    return [publication["data"]["text"] for publication in held["publications"]]


def next_publication(lines: IO[bytes]) -> Any:
    """The next line of a stream that is one."""
    while (said := json.loads(lines.readline()))["type"] != "publication":
        pass
    return said


async def test_all_of_it_works_together_while_the_code_changes(mine: Mine) -> None:
    async with mine.client() as ann:
        room = await ann.subscribe(ROOM)
        lines = await asyncio.to_thread(urllib.request.urlopen, f"{mine.url}/lines", timeout=60)
        start = quote((await mine.get("/position"))["position"])

        # What a handler publishes ends what a view holds.
        held = await mine.held(f"/wait?since={start}", 2)
        assert await ann.request("talk.say", "hello") == 1
        answer = await held
        assert texts(answer) == ["ann says hello"]

        # So does what clients publish, as the moderator lets it pass.
        held = await mine.held(f"/wait?since={quote(answer['position'])}", 2)
        with pytest.raises(CommandRefused) as refused:
            await ann.publish(ROOM, {"text": "spam"})
        assert (refused.value.code, refused.value.reason) == ("rejected", "No advertising, please.")
        await ann.publish(ROOM, {"text": "damn"})
        answer = await held
        assert texts(answer) == ["d***"]

        # A mistake is saved while a response is held and a client publishes: both wait until it
        # is mended, and nothing is lost or said twice.
        held = await mine.held(f"/wait?since={quote(answer['position'])}", 2)
        models, handlers = (mine.folder / f"talks/{name}.py" for name in ("models", "handlers"))
        good = models.read_text()
        with own_project.saved(models, f"{good}def (\n"):
            await asyncio.to_thread(mine.program.until_it_says, "waiting until code changes")
        waiting = asyncio.create_task(ann.publish(ROOM, {"text": "damn again"}))
        handlers.write_text(handlers.read_text().replace("d***", "d..."))
        models.write_text(good)
        await waiting
        assert texts(await held) == ["d... again"]
        await mine.until_django_serves(models)

        said = ["ann says hello", "d***", "d... again"]
        assert [(await anext(room)).data["text"] for _ in said] == said
        with lines:
            streamed = [await asyncio.to_thread(next_publication, lines) for _ in said]
        assert [publication["data"]["text"] for publication in streamed] == said
        await mine.archived(said)
        assert (ann.connections, room.losses) == (1, 0)
    assert await asyncio.to_thread(mine.program.end, signal.SIGINT) == 0
    assert mine.program.said.endswith("stopped\n")

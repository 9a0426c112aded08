"""Workers as programs behind real gateways, on both brokers: killed, several at once, cut off."""

import asyncio
import re
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from roomline.client import Client, CommandRefused

from tests.django.programs import Program, Project
from tests.support.gateway import Gateway
from tests.support.rabbitmq import shared_node
from tests.support.talk import Talk
from tests.support.tokens import connection_token
from tests.support.until import until

pytestmark = pytest.mark.slow

USER = "1"
CALM = {"NAMESPACES": "calm:read=public,write=public,moderate=calm.check"}


class World:
    """A project, a broker, and two gateways on it."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.broker = broker
        self.handled = folder / "handled"
        self.handled.touch()
        self.project = Project(folder, broker)
        self.project.shell(
            "from django.contrib.auth.models import User, Permission\n"
            "ann = User.objects.create_user('ann')\n"
            "ann.user_permissions.add(Permission.objects.get(codename='change_user'))\n"
            "User.objects.create_user('bob')\n"
            "User.objects.create_user('ian', is_active=False)\n"
        )
        self.gateways = [Gateway(broker, REQUESTS="true", **CALM) for _ in range(2)]
        for gateway in self.gateways:
            gateway.start(ready=False)
        for gateway in self.gateways:
            gateway.wait_until_ready()

    @property
    def gateway(self) -> Gateway:
        return self.gateways[0]

    def worker(self, *arguments: str) -> Program:
        """A worker that takes requests."""
        program = self.project.start(
            "-m", "django", "roomline_worker", *arguments, HANDLED=str(self.handled)
        )
        program.until_it_says("answering anybody, break, calm.check,")
        return program

    def times(self, name: str) -> int:
        """How often a handler has begun."""
        return len(re.findall(rf"^{name}\b", self.handled.read_text(), re.M))

    def talk(self, user: str | None = USER, node: int = 0) -> Any:
        token = connection_token(user, name="Ann") if user else None
        return Talk.to(self.gateways[node].url, token=token)

    def close(self) -> None:
        self.project.close()
        for gateway in self.gateways:
            gateway.close()


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], World]]:
    """One world for each broker, for all tests here."""
    made: dict[str, World] = {}

    def world(kind: str) -> World:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            address = f"embedded:{folder}/rooms.sqlite3"
            if kind == "rabbitmq":
                node = shared_node()
                if not node.running:
                    node.start()
                name = f"worker-{secrets.token_hex(4)}"
                node.add_vhost(name)
                address = node.url(vhost=name)
            made[kind] = World(folder, address)
        return made[kind]

    yield world
    for each in made.values():
        each.close()


@pytest.fixture(params=["embedded", "rabbitmq"])
def world(request: pytest.FixtureRequest, worlds: Callable[[str], World]) -> Iterator[World]:
    found = worlds(request.param)
    found.handled.write_text("")
    yield found
    found.project.close()


only_rabbitmq = pytest.mark.parametrize("world", ["rabbitmq"], indirect=True)
only_embedded = pytest.mark.parametrize("world", ["embedded"], indirect=True)


async def test_what_handlers_answer(world: World) -> None:
    world.worker()
    async with world.talk() as ann, world.talk("2") as bob, world.talk(None) as nobody:
        answer = await ann.request("echo", {"a": [1, None, "ü"]})
        assert answer == {"data": {"a": [1, None, "ü"]}, "user": "ann", "name": "echo"}
        assert await ann.request("rename", "Anna") == "Anna"
        refused = await bob.refused("forbidden", "request", name="rename", data="Bobby")
        assert refused.reason == "you do not have the permission for this"
        await ann.refused("forbidden", "request", name="deny", data=None)
        refused = await ann.refused("request_failed", "request", name="refuse", data=None)
        assert (refused.reason, refused.refusal) == ("It is too late.", "late")
        await ann.refused("request_unknown", "request", name="nobody.has.it", data=None)
        await nobody.refused("forbidden", "request", name="echo", data=None)
        assert await nobody.request("anybody", None) == [False, None]
        assert await ann.request("anybody", None) == [True, ["1", "Ann"]]
        refused = await ann.refused("request_failed", "request", name="unsendable", data=None)
        assert "object" not in refused.reason
        assert world.times("unsendable") == 1
        # Django closes connections after each request unless CONN_MAX_AGE says otherwise.
        assert [await nobody.request("connections", None) for _ in range(6)] == 6 * [[False, 3]]


async def test_guests_and_users_who_are_no_more(world: World) -> None:
    world.worker()
    guest = "guest-" + "0" * 32
    for user in (guest, "3", "4711", "no-number"):
        async with world.talk(user) as talk:
            await talk.refused("forbidden", "request", name="echo", data=None)
            assert await talk.request("anybody", None) == [False, [user, "Ann"]]


async def test_several_workers_share_and_answers_find_their_sessions(world: World) -> None:
    for _ in range(2):
        world.worker("--threads", "2")
    async with world.talk(node=0) as here, world.talk(node=1) as there:
        talks = [here, there] * 4
        data = {"seconds": 0.5}
        pids = await asyncio.gather(*[talk.request("work", data) for talk in talks])
        assert len(set(pids)) == 2
        echoes = [talk.request("echo", number) for number, talk in enumerate(talks)]
        assert [echo["data"] for echo in await asyncio.gather(*echoes)] == list(range(8))


async def test_a_worker_killed_in_the_middle_of_a_request(world: World) -> None:
    first = world.worker("--threads", "1")
    async with world.talk() as ann:
        asked = asyncio.create_task(ann.request("work", {"seconds": 3}, within=50))
        await until(lambda: world.times("work") == 1, within=30)
        await asyncio.to_thread(first.kill)
        second = world.worker()
        assert await asked == second.pid
        ids = {line.split()[1] for line in world.handled.read_text().splitlines()}
        assert len(ids) == 1, "its id stays the same"


async def test_without_a_worker_there_is_an_error_in_time(world: World) -> None:
    async with world.talk() as ann:
        refused = await ann.refused("request_timeout", "request", name="work", data={}, timeout=0.5)
        assert refused.temporary
        world.worker()
        assert await ann.request("echo", 1)
        assert world.times("work") == 0, "nobody carries out what nobody waits for"


async def test_a_handler_that_takes_too_long(world: World) -> None:
    worker = world.worker("--threads", "2")
    async with world.talk() as ann:
        refused = await ann.refused("request_timeout", "request", name="slow", data=1.5)
        assert "takes too long" in refused.reason
        assert await ann.request("echo", 1), "the worker is not held up"
        await until(lambda: world.times("slow is done") == 1)
    assert await asyncio.to_thread(worker.end, signal.SIGTERM) == 0
    assert "the handler of slow takes more than its time" in worker.said


async def test_what_fails_is_tried_again(world: World) -> None:
    world.worker()
    async with world.talk() as ann:
        assert await ann.request("break", {"times": 1}) == 2
        assert world.times("break") == 2


async def test_what_fails_for_good_is_answered_and_kept_until_it_is_put_back(world: World) -> None:
    worker = world.worker()
    async with world.talk() as ann:
        refused = await ann.refused("request_failed", "request", name="break", data={"times": 3})
        assert refused.reason == "this request has failed"
        assert not refused.temporary
        assert world.times("break") == 3
    # It must not be in the hands of a worker when it is looked for.
    assert await asyncio.to_thread(worker.end, signal.SIGTERM) == 0
    assert "words that are not for clients" in worker.said
    (line,) = await asyncio.to_thread(dead, world)
    assert re.fullmatch(r'[0-9: -]{19} break [0-9a-f]{32} from 1: {"times":3}', line)
    command = ("-m", "django", "roomline_worker", "--requeue-dead")
    assert (await asyncio.to_thread(world.project.run, *command)).endswith("1 put back\n")
    assert await asyncio.to_thread(dead, world) == []
    world.worker()
    await until(lambda: world.times("break") == 6)
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(dead, world):
            pass  # it takes a moment until it is dead once more


def dead(world: World) -> list[str]:
    """The lines about the dead; Django may say something before."""
    listed = world.project.run("-m", "django", "roomline_worker", "--dead")
    return [line for line in listed.splitlines() if " from " in line]


@only_rabbitmq
async def test_a_request_that_kills_its_workers(world: World) -> None:
    """It is given to three and no more; then it is among the dead, and other requests go on. (What
    the embedded queue does then is tested where that is.)"""
    workers = [world.worker("--threads", "1") for _ in range(3)]
    async with world.talk() as ann:
        asked = asyncio.create_task(
            ann.refused_any("request", name="die", data={"times": 9}, timeout=8)
        )
        for worker in workers:
            assert await asyncio.to_thread(worker.end) == -signal.SIGKILL
        world.worker()
        assert await ann.request("echo", 1)
        assert (await asked).code == "request_timeout", "nobody is left to answer it"
        assert world.times("die") == 3
    assert any(" die " in line for line in await asyncio.to_thread(dead, world))


async def test_a_worker_that_is_told_to_stop_finishes_and_takes_nothing_new(world: World) -> None:
    worker = world.worker("--threads", "2")
    async with world.talk() as ann:
        begun = asyncio.create_task(ann.request("work", {"seconds": 2}))
        await until(lambda: world.times("work") == 1)
        worker.send(signal.SIGTERM)
        await asyncio.sleep(0.6)  # longer than it takes to hear
        later = asyncio.create_task(ann.request("work", {"seconds": 0}, within=50))
        assert await begun == worker.pid
        assert await asyncio.to_thread(worker.end) == 0
        assert worker.said.endswith("1 answered, 0 failed\n")
        other = world.worker()
        assert await later == other.pid


async def test_moderation(world: World) -> None:
    world.worker()
    async with world.talk() as ann:
        await ann.subscribe("calm.room")
        await ann.publish("calm.room", "damn", key="k-1")
        push = await ann.publication()
        assert (push.data, push.key) == ("d*** (calm.room)", "k-1")
        assert push.sender is not None
        assert push.sender.name == "Ann"
        refused = await ann.refused("rejected", "publish", room="calm.room", data="shout")
        assert (refused.reason, refused.refusal) == ("Not so loud.", "tone")
        # No text, which this moderator does not expect.
        await ann.refused("rejected", "publish", room="calm.room", data=7)
        await ann.silence()
    world.project.shell("publish('calm.room', 'shout', on_commit=False)")  # trusted: not moderated
    async with world.talk() as ann:
        history = await ann.history("calm.room", limit=1)
        assert b'"shout"' in bytes(history.publications[0])


async def test_the_python_client_asks(world: World) -> None:
    world.worker()
    async with Client(world.gateway.url, token=lambda: connection_token(USER)) as client:
        assert (await client.request("echo", 1))["data"] == 1
        with pytest.raises(CommandRefused) as refused:
            await client.request("refuse")
        assert refused.value.refusal == "late"


async def test_an_answer_that_cannot_be_given_costs_no_thread(world: World) -> None:
    """One of the last here: what it leaves is tried again for a while."""
    world.worker("--threads", "1")
    async with world.talk() as ann:
        garbled = [asyncio.create_task(ann.request("garble", None, within=50)) for _ in range(2)]
        await until(lambda: world.times("garble") >= 2, within=20)
        assert (await ann.request("echo", 1, within=30))["data"] == 1
        for task in garbled:
            task.cancel()


@only_rabbitmq
async def test_rabbitmq_is_killed_while_clients_wait(world: World) -> None:
    node = shared_node()
    worker = world.worker()
    async with world.talk() as ann:
        asked = asyncio.create_task(ann.refused_any("request", name="work", data={"seconds": 1.5}))
        await until(lambda: world.times("work") == 1)
        await asyncio.to_thread(node.kill)
        refused = await asked
        assert (refused.code, refused.temporary) == ("request_timeout", True)
        refused = await ann.refused_any("request", name="echo", data=1)
        assert (refused.code, refused.temporary) == ("unavailable", True)
        await asyncio.to_thread(node.start)

        async def answered() -> bool:
            try:
                return bool(await ann.request("echo", 1, within=2))
            except CommandRefused as error:
                if not error.temporary:
                    raise
                return False

        async with asyncio.timeout(60):
            while not await answered():
                pass
        assert await asyncio.to_thread(worker.end, signal.SIGTERM) == 0, "it has gone on"

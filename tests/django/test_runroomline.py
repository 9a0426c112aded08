"""The development command and the demo, run as a newcomer runs them: real processes, real ports."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from roomline.client import BlockingClient
from roomline.tokens import Keyring, sign_connection

from tests.django.programs import Project
from tests.support.rabbitmq import RabbitMQNode, free_port, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]  # fixtures
pytestmark = pytest.mark.slow

MANAGE = Path(__file__).parents[2] / "djangoapp/manage.py"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Running:
    """``manage.py`` with some arguments, its output, and the address that it printed."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")}
        self.process = subprocess.Popen(
            [sys.executable, str(MANAGE), *arguments],
            env=environment | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""

    def page(self) -> str:
        """The address that is printed when both servers answer."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line
            match = re.search(r"Open (http://\S+/)", line)
            if match:
                return match[1]
        raise AssertionError(f"no address was printed:\n{self.output}")

    def end(self, seconds: float = 20) -> int:
        """Wait until it has ended by itself; returns the status."""
        self.output += self.process.communicate(timeout=seconds)[0]
        return self.process.returncode

    def children(self) -> dict[str, int]:
        """The pids of the programs that it has started."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        found = {}
        for pid in map(int, pids.split()):
            command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            names = {"serve": "gateway", "runserver": "Django", "roomline_archive": "archiver"}
            found |= {name: pid for word, name in names.items() if word in command}
        return found


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*arguments: str, **environ: str) -> Running:
        started.append(Running(*arguments, **environ))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)
        # Shown when the test has failed.
        print(running.output + running.process.communicate()[0])


def anywhere() -> list[str]:
    """Ports that the demos of other tests on this machine will not take meanwhile."""
    return ["--port", str(free_port()), "--django-port", str(free_port())]


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


def is_gone(url: str) -> bool:
    try:
        get(url)
    except (urllib.error.URLError, ConnectionError):
        return True
    return False


def endpoint_of(page: str) -> str:
    """The gateway's address, as the room page tells it to a browser."""
    text = get(f"{page}rooms/chat.lobby/")
    match = re.search(r'<script id="roomline-config"[^>]*>(.*?)</script>', text)
    assert match
    endpoint: str = json.loads(match[1])["endpoints"][0]
    return endpoint


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_runs_from_nothing_and_stops_quickly(
    run: Callable[..., Running], tmp_path: Path, number: signal.Signals
) -> None:
    demo = run("demo", "--data", str(tmp_path / "new"), *anywhere())
    page = demo.page()
    secrets = json.loads((tmp_path / "new/secrets.json").read_text())
    assert f"Log in as demo with password {secrets['password']}" in demo.output
    assert "Lobby" in get(page)
    endpoint = endpoint_of(page)
    assert json.loads(get(f"{endpoint}/info"))["websocket"] is True
    children = demo.children()
    assert set(children) == {"gateway", "Django", "archiver"}

    began = time.monotonic()
    demo.process.send_signal(number)
    assert demo.end() == 0
    assert time.monotonic() - began < 4
    assert demo.output.rstrip().endswith("stopped")
    assert "Traceback" not in demo.output
    assert not any(Path(f"/proc/{pid}").exists() for pid in children.values())
    assert is_gone(page)
    assert is_gone(f"{endpoint}/info")


def test_ctrl_c_reaches_the_servers_too(run: Callable[..., Running], tmp_path: Path) -> None:
    demo = run("demo", "--data", str(tmp_path), *anywhere())
    demo.page()
    os.killpg(demo.process.pid, signal.SIGINT)  # as a terminal does
    assert demo.end() == 0
    assert "Traceback" not in demo.output


@pytest.mark.parametrize("victim", ["gateway", "Django", "archiver"])
def test_when_one_dies_the_others_are_stopped(
    run: Callable[..., Running], tmp_path: Path, victim: str
) -> None:
    demo = run("demo", "--data", str(tmp_path), *anywhere())
    page = demo.page()
    os.kill(demo.children()[victim], signal.SIGKILL)
    assert demo.end() == 1
    assert re.search(
        rf"CommandError: {'' if victim == 'Django' else 'the '}{victim} ended by signal 9;"
        " all are stopped",
        ANSI.sub("", demo.output),
    )
    assert is_gone(page)


def test_check_stops_when_both_have_answered_and_runs_again(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    for _ in range(2):
        demo = run("demo", "--check", "--data", str(tmp_path))
        assert demo.end(60) == 0
        assert "Open http://127.0.0.1:" in demo.output


def test_demos_run_beside_each_other_on_the_ports_that_are_free(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    """Also when they are started at the same moment."""
    demos = [run("demo", "--data", str(tmp_path / name)) for name in "123"]
    pages = [demo.page() for demo in demos]
    assert len(set(pages)) == 3
    assert any("waiting until another runroomline" in demo.output for demo in demos)
    assert len({endpoint_of(page) for page in pages}) == 3


def test_ports_that_are_given_are_used_or_refused(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    ports = {"--port": str(free_port()), "--django-port": str(free_port())}
    given = [text for pair in ports.items() for text in pair]
    demo = run("demo", "--data", str(tmp_path), *given)
    page = demo.page()
    assert page == f"http://127.0.0.1:{ports['--port']}/"
    assert endpoint_of(page) == f"{page}roomline"
    assert "Lobby" in get(f"http://127.0.0.1:{ports['--django-port']}/")
    for option, port in ports.items():
        again = run("demo", "--data", str(tmp_path), option, port)
        assert again.end(60) == 1
        assert f"127.0.0.1:{port} cannot be listened on" in again.output


def test_a_bad_broker_is_said_without_its_password(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    demo = run("demo", "--data", str(tmp_path), "--broker", "http://user:hunter2@host/")
    assert demo.end(60) == 1
    assert "--broker has scheme 'http' and host 'host'" in demo.output
    assert "hunter2" not in demo.output
    demo = run("demo", "--data", str(tmp_path), DEMO_BROKER="http://user:hunter2@host/")
    assert demo.end(60) == 1
    assert "CommandError: BROKER in ROOMLINE has scheme 'http' and host 'host'" in ANSI.sub(
        "", demo.output
    )
    assert "hunter2" not in demo.output
    assert "Traceback" not in demo.output


def test_a_password_on_the_command_line_is_refused(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    demo = run("demo", "--data", str(tmp_path), "--broker", "amqp://user:hunter2@localhost/")
    assert demo.end(60) == 1
    assert "--broker has a password in it" in demo.output
    assert "DEMO_BROKER" in demo.output
    assert "hunter2" not in demo.output


def test_runroomline_reloads_django_and_keeps_the_gateway(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    assert run("demo_setup", "--data", str(tmp_path)).end(60) == 0
    running = run("runroomline", "--data", str(tmp_path), "--addrport", f"127.0.0.1:{free_port()}")
    page = running.page()
    gateway = running.children()["gateway"]
    reloader = running.children()["Django"]
    children = f"/proc/{reloader}/task/{reloader}/children"
    (server,) = Path(children).read_text().split()
    settings = MANAGE.parent / "demo/settings.py"
    deadline = time.monotonic() + 30
    while Path(children).read_text().split() in ([server], []):
        assert time.monotonic() < deadline
        # Again and again: Django answers before its reloader has looked at the files at first.
        os.utime(settings)
        time.sleep(1.2)
    while is_gone(page):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert running.children()["gateway"] == gateway
    running.process.terminate()
    assert running.end() == 0
    assert is_gone(page)


def test_pages_static_files_and_tracebacks_come_through_the_gateway(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    demo = run("demo", "--data", str(tmp_path), *anywhere())
    page = demo.page()
    with urllib.request.urlopen(f"{page}static/roomline/roomline.umd.js", timeout=10) as script:
        assert "javascript" in script.headers["Content-Type"]
        assert b"Roomline" in script.read()
    # Below the endpoint's path, and Django's all the same.
    token = json.loads(get(f"{page}roomline/token"))
    assert token["user"]["id"].startswith("guest-")
    with pytest.raises(urllib.error.HTTPError) as missing:
        get(f"{page}nothing/")
    with missing.value as answer:
        assert answer.code == 404
        assert "Using the URLconf defined in" in answer.read().decode()


def test_runroomline_with_a_broker_on_the_command_line(
    run: Callable[..., Running], tmp_path: Path, rabbitmq: RabbitMQNode, rabbitmq_vhost: str
) -> None:
    assert run("demo_setup", "--data", str(tmp_path)).end(60) == 0
    broker = f"amqp://127.0.0.1:{rabbitmq.port}/{rabbitmq_vhost}"
    arguments = ["--broker", broker, "--noreload", "--addrport", f"127.0.0.1:{free_port()}"]
    running = run("runroomline", "--data", str(tmp_path), *arguments)
    assert json.loads(get(f"{endpoint_of(running.page())}/info"))["websocket"] is True
    for name, pid in running.children().items():
        assert broker in Path(f"/proc/{pid}/environ").read_text(), name
    running.process.terminate()
    assert running.end() == 0


def test_the_demo_on_rabbitmq(
    run: Callable[..., Running], tmp_path: Path, rabbitmq: RabbitMQNode, rabbitmq_vhost: str
) -> None:
    broker = rabbitmq.url(vhost=rabbitmq_vhost)
    demo = run("demo", "--data", str(tmp_path), *anywhere(), DEMO_BROKER=broker)
    page = demo.page()
    assert json.loads(get(f"{endpoint_of(page)}/info"))["websocket"] is True
    assert not (tmp_path / "rooms.sqlite3").exists()
    children = demo.children()
    assert set(children) == {"gateway", "Django", "archiver"}
    for pid in children.values():
        assert broker in Path(f"/proc/{pid}/environ").read_text()
    for pid in (demo.process.pid, *children.values()):
        assert "guest" not in Path(f"/proc/{pid}/cmdline").read_text()
    demo.process.terminate()
    assert demo.end() == 0
    assert "guest:guest" not in demo.output


@pytest.mark.parametrize("reload", [[], ["--noreload"]])
def test_a_worker_runs_too_where_there_are_handlers(tmp_path: Path, reload: list[str]) -> None:
    """Requests are answered without any further setting, and all of it ends together."""
    project = Project(tmp_path, f"embedded:{tmp_path}/rooms.sqlite3")
    try:
        project.shell(
            "from django.contrib.auth.models import User; User.objects.create_user('ann')"
        )
        port = free_port()
        running = project.start(
            *("-m", "django", "runroomline", *reload),
            *("--addrport", str(port), "--django-port", str(free_port())),
            HANDLED=str(tmp_path / "handled"),
        )
        running.until_it_says("Open http://")
        token = sign_connection(Keyring({"test": "t" * 32}), "1", now=time.time(), lifetime=600)
        with BlockingClient(f"http://127.0.0.1:{port}/roomline", token=lambda: token) as me:
            assert me.request("echo", 1) == {"data": 1, "user": "ann", "name": "echo"}
        assert running.end(signal.SIGINT) == 0
        assert "Traceback" not in running.said
        assert not [path for path in Path("/proc").glob("[0-9]*/environ") if _has(path, tmp_path)]
    finally:
        project.close()


def _has(environ: Path, text: Path) -> bool:
    try:
        return str(text).encode() in environ.read_bytes()
    except OSError:
        return False

"""The commands that the pages show: run, or where running would be the whole of CI, planned."""

import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, snippet, snippets
from tests.docs.waiting import wait_until_answering
from tests.support.rabbitmq import RabbitMQNode, free_port, rabbitmq

__all__ = ["rabbitmq"]

COVERS = {
    *("make-demo", "make-demo-broker", "make-test", "make-parts", "make-conformance"),
    *("make-bench", "compose"),
}

VENV = sys.prefix
INSTALLED = (
    f"{VENV}/bin/python",
    f"{VENV}/.installed-demo",
    f"{VENV}/.installed-test",
    "js-client/node_modules/.installed",
)
"""What make must take as done: tests install nothing."""

STOP_SECONDS = 20.0


def make(*arguments: str) -> list[str]:
    """A make command that uses this environment as it is."""
    old = [part for path in INSTALLED for part in ("-o", path)]
    return ["make", "--no-print-directory", f"VENV={VENV}", *old, *arguments]


def makes() -> list[str]:
    """Every make command on the pages."""
    lines = [line for found in snippets() for line in found.text.splitlines()]
    return sorted({line.strip() for line in lines if re.match(r"\s*make ", line)})


@pytest.mark.parametrize("command", makes())
def test_make_knows_how(command: str):
    words = [word.strip('"') for word in re.findall(r'\S*"[^"]*"|\S+', command)[1:]]
    plan = run([*make("--dry-run"), *words])
    assert plan


def test_help_names_every_target_that_the_pages_show():
    helped = run(make("help"))
    for command in makes():
        assert f"make {command.split()[1]} " in helped


def test_continuous_integration_runs_the_tests():
    assert "bash .ci/run" in (ROOT / "docs" / "testing.rst").read_text()
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.slow
def test_the_demo_starts(tmp_path: Path):
    command = snippet("README.rst", "make-demo").text.split()[1:]
    said = run([*make(*command), f"ARGS=--check {demo_options(tmp_path)}"])
    assert re.search(r"Open http://127\.0\.0\.1:\d+/", said)


@pytest.mark.slow
def test_the_demo_starts_on_rabbitmq(rabbitmq: RabbitMQNode, tmp_path: Path):
    shown = snippet("README.rst", "make-demo-broker").text.split()
    assert shown[:2] == ["make", "demo"]
    assert shown[2].startswith("BROKER=amqp://")
    said = run(
        [*make("demo", f"BROKER={rabbitmq.url()}"), f"ARGS=--check {demo_options(tmp_path)}"]
    )
    assert re.search(r"Open http://127\.0\.0\.1:\d+/", said)


@pytest.mark.slow
def test_the_demo_stops_cleanly_on_ctrl_c(tmp_path: Path):
    """In a terminal: the servers end, nothing is left behind, and no traceback is shown."""
    terminal, inside = os.openpty()
    process = subprocess.Popen(
        [*make("demo"), f"ARGS={demo_options(tmp_path)}"],
        cwd=ROOT,
        env=environment(),
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C means something
    )
    os.close(inside)
    shown = read_until(terminal, "Ctrl-C")
    os.write(terminal, b"\x03")
    shown += read_until(terminal, None)
    os.close(terminal)
    process.wait(timeout=STOP_SECONDS)
    assert "Traceback" not in shown
    assert not processes_with(str(tmp_path)), shown


def test_the_conformance_server_answers():
    port = free_port()
    shown = snippet("docs/testing.rst", "make-conformance").text.split()
    assert shown == ["make", "conformance-server", "PORT=9001"]
    with subprocess.Popen(
        make("conformance-server", f"PORT={port}"), cwd=ROOT, env=environment()
    ) as process:
        try:
            for name in ("echo", "disabled_websocket_echo", "cookie_needed_echo", "close"):
                wait_until_answering(f"http://127.0.0.1:{port}/{name}", process)
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}") as answer:
                    assert answer.read() == b"Welcome to SockJS!\n"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=STOP_SECONDS)


@pytest.mark.slow
def test_the_benchmark_runs():
    """A small crowd for a short time, on both brokers: it ends, and nothing is lost."""
    said = run(make("bench", "ARGS=--clients 20 --seconds 0.2"))
    rows = [line for line in said.splitlines() if re.match(r"(textbook|plain|roomline)", line)]
    assert len(rows) == 4
    for row in rows:
        assert row.split()[-2:] == ["0", "0"], said


def test_docker_compose_is_told_what_the_file_wants():
    shown = next(found.text for found in snippets() if found.name == "compose")
    wanted = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert set(re.findall(r"export (\w+)=", shown)) == wanted


def demo_options(folder: Path) -> str:
    """Ports and a folder of our own, so that a demo that somebody runs is not disturbed."""
    return f"--data {folder} --port {free_port()} --gateway-port {free_port()}"


def run(command: Sequence[str]) -> str:
    """What a command says; it must succeed."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def environment() -> dict[str, str]:
    """Ours, without what the tests of the Django app have set, and without make's own."""
    ours = {"DJANGO_SETTINGS_MODULE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def read_until(terminal: int, text: str | None) -> str:
    """What a terminal shows until it has shown `text`, or until it is closed."""
    shown = ""
    deadline = time.monotonic() + 60
    while text is None or text not in shown:
        assert select.select([terminal], [], [], deadline - time.monotonic())[0], shown
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # how Linux says that nobody has the terminal open any more
            chunk = b""
        if not chunk:
            assert text is None, shown
            break
        shown += chunk.decode()
    return shown


def processes_with(text: str) -> list[str]:
    """The command lines of running processes that have `text` in them or their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and folder.name != str(os.getpid()):
            try:
                command = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            except OSError:
                continue  # it has ended, or is not ours
            if text.encode() in command:
                found.append(command.decode(errors="replace"))
    return found

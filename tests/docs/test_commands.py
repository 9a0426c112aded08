"""The commands that the pages show: run, or where running would be the whole of CI, planned."""

import fcntl
import json
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
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.containers.stack import CLUSTER
from tests.docs.pages import ROOT, snippet, snippets, table
from tests.docs.waiting import wait_until_answering
from tests.support.rabbitmq import RabbitMQNode, free_port, rabbitmq

__all__ = ["rabbitmq"]

COVERS = {
    *("make-demo", "make-demo-broker", "make-test", "make-parts", "make-conformance"),
    *("stack-observability", "stack-cluster", "stack-replicas"),
    *("stack", "stack-scale", "stack-deploy", "stack-down", "stack-test"),
    "stack-inspect",
    *("make-bench", "make-soak", "docker-rabbitmq", "definitions", "conformance-static"),
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
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "set -euo pipefail" in lines
    assert lines.count("make test") == 1
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


def test_the_conformance_server_answers(tmp_path: Path):
    """With the folder of the second command, which is the first with one."""
    port = free_port()
    shown = snippet("docs/testing.rst", "make-conformance").text.split()
    assert shown == ["make", "conformance-server", "PORT=9001"]
    text = snippet("docs/testing.rst", "conformance-static").text
    assert text == 'make conformance-server PORT=9001 ARGS="--static pages"'
    (tmp_path / "tests.html").write_text("<p>Tests</p>")
    command = make("conformance-server", f"PORT={port}", f"ARGS=--static {tmp_path}")
    with subprocess.Popen(command, cwd=ROOT, env=environment()) as process:
        try:
            for row in table("docs/testing.rst", "conformance-endpoints"):
                wait_until_answering(f"http://127.0.0.1:{port}{row[0]}", process)
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{row[0]}") as answer:
                    assert answer.read() == b"Welcome to SockJS!\n"
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/tests.html") as answer:
                assert answer.read() == b"<p>Tests</p>"
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


def test_the_broker_in_docker_has_the_image_and_the_configuration_of_the_stack():
    shown = snippet("rabbitmq/README.rst", "docker-rabbitmq").text
    [base] = re.findall(r"^FROM (.*)$", (ROOT / "rabbitmq" / "Dockerfile").read_text(), re.M)
    assert shown.splitlines()[-2].endswith(f" {base}")
    assert "/rabbitmq/rabbitmq.conf:/etc/rabbitmq/conf.d/" in shown
    demo = [line for line in shown.splitlines() if line.startswith("make demo")]
    assert demo == [
        'make demo BROKER="amqp://$RABBITMQ_DEFAULT_USER:$RABBITMQ_DEFAULT_PASS@127.0.0.1:5672"'
    ]


def test_the_page_lists_the_services_of_the_stack():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    listed = [row[0] for row in table("docs/containers.rst", "stack-services")]
    assert listed == list(services)


@pytest.mark.parametrize("name", ["stack-scale", "stack-deploy"])
def test_the_commands_of_the_stack_are_those_that_its_tests_run(name: str):
    """They need Docker: tests/containers runs them, and here they are compared."""
    shown = set(snippet("docs/containers.rst", name).text.split()) - {"docker", "compose"}
    run = (ROOT / "tests" / "containers" / "test_faults.py").read_text()
    assert shown - {"--force-recreate"} <= set(re.findall(r'"([^"\n]+)"', run))


def test_the_command_of_the_cluster_names_the_files_that_its_tests_use():
    shown = snippet("docs/containers.rst", "stack-cluster").text.split()
    files = [word for before, word in pairwise(shown) if before == "-f"]
    assert files == list(CLUSTER)
    assert all((ROOT / file).is_file() for file in files)


def test_the_profile_of_the_page_is_that_of_the_stack():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    listed = {name for found in services.values() for name in found.get("profiles", ())}
    for name in ("stack-observability", "stack-down"):
        shown = snippet("docs/containers.rst", name).text.split()
        assert {word for before, word in pairwise(shown) if before == "--profile"} == listed


def test_the_tests_of_the_cluster_add_the_replicas_as_the_page_does():
    """With Docker; here, that they are known at all."""
    assert snippet("docs/containers.rst", "stack-replicas").text.count("docker compose exec") == 2
    run = (ROOT / "tests" / "containers" / "test_cluster.py").read_text()
    assert 'snippet("docs/containers.rst", "stack-replicas")' in run


@pytest.mark.slow
def test_the_soak_runs():
    """A small crowd for a short time: nobody is dropped or forgotten, and nothing is lost."""
    crowd = "--sessions 200 --seconds 5 --storm 100 --storm-seconds 2 --quiet 1 --heartbeat 2"
    said = run(make("soak", f"ARGS={crowd}"))
    assert re.search(r"^held +200 sessions, 0 dropped, \d{3,} heartbeats, 0 too late$", said, re.M)
    assert re.search(r"^storm +100 of 100 connected in ", said, re.M)
    assert re.search(r"^ +\d+ in all to 4 sessions, 0 lost$", said, re.M), said


def test_the_definitions_are_printed_as_the_page_says(tmp_path: Path):
    [shown] = [found.text for found in snippets() if found.name == "definitions"]
    path = f"{VENV}/bin:{os.environ['PATH']}"
    command = ["sh", "-ec", shown]
    subprocess.run(command, cwd=tmp_path, env=environment() | {"PATH": path}, check=True)
    printed = (tmp_path / "definitions.json").read_text()
    assert printed == (ROOT / "rabbitmq" / "definitions.json").read_text()
    assert [row[0] for row in table("rabbitmq/README.rst", "users")] == [
        user["name"] for user in json.loads(printed)["users"]
    ]


def demo_options(folder: Path) -> str:
    """Ports and a folder of our own, so that a demo that somebody runs is not disturbed."""
    return f"--data {folder} --port {free_port()} --django-port {free_port()}"


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

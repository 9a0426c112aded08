"""The servers that are compared: how each is started on its own core, and spoken to."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.crowd import Dialogue

START_SECONDS = 30.0
TICKS = os.sysconf("SC_CLK_TCK")


class Subject(NamedTuple):
    """A server to measure: `command` and the port as its last argument start it, with
    `environment` added to ours."""

    name: str
    command: Sequence[str]
    dialogue: Dialogue
    environment: Mapping[str, str] = {}


class Server:
    """A subject that runs, on a core of its own if one is given; `port` is where it listens."""

    def __init__(self, subject: Subject, core: int | None) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, *subject.command, str(self.port)],
            env=os.environ | subject.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})  # before it has started a thread
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{subject.name} did not start: {self._process.args!r}")
            time.sleep(0.05)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def cpu_seconds(self) -> float:
        """The processor time that all its threads have used."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_bytes(self) -> int:
        """Its resident memory."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


@contextmanager
def running(subject: Subject, core: int | None) -> Iterator[Server]:
    """The subject, started, and ended afterwards."""
    server = Server(subject, core)
    try:
        yield server
    finally:
        server.stop()


def textbook() -> Subject:
    """sockjs-tornado as it comes."""
    return _plain("textbook sockjs-tornado", "bench.textbook", "/bench/0/c{:04}/websocket")


def send_loop() -> Subject:
    """One frame, and ``socket.send`` in a loop."""
    return _plain("plain socket.send loop", "bench.sendloop", "/{}")


def roomline(name: str, broker: str) -> Subject:
    """The gateway on the log at `broker`, with limits that one publisher does not reach."""
    room = "bench.room"
    return Subject(
        name,
        ["-m", "roomline", "serve", "--port"],
        Dialogue(
            path="/roomline/000/c{:04}/websocket".format,
            greeting=lambda number: [
                (json.dumps({"id": 1, "type": "connect", "version": 1}), "connected"),
                (json.dumps({"id": 2, "type": "subscribe", "room": room}), "subscribed"),
            ],
            publish=lambda number, text: json.dumps(
                {"id": number + 3, "type": "publish", "room": room, "data": text}
            ),
        ),
        {
            "ROOMLINE_BROKER": broker,
            "ROOMLINE_INTERNAL_PORT": "0",
            "ROOMLINE_ANONYMOUS": "true",
            "ROOMLINE_NAMESPACES": "bench:read=public,write=public",
            "ROOMLINE_SESSIONS_PER_ADDRESS": "10000",
            "ROOMLINE_COMMANDS_PER_SECOND": "100000",
            "ROOMLINE_COMMANDS_BURST": "100000",
            "ROOMLINE_PUBLICATIONS_PER_SECOND": "100000",
            "ROOMLINE_PUBLICATIONS_BURST": "100000",
            "ROOMLINE_LOG_LEVEL": "warning",
        },
    )


def _plain(name: str, module: str, path: str) -> Subject:
    return Subject(
        name,
        ["-m", module],
        Dialogue(path=path.format, greeting=lambda number: [], publish=lambda number, text: text),
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

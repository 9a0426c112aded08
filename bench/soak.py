"""Hold a crowd of idle sessions on one node, then let a storm of others connect.

Idle sessions use every transport in turns; a few of them are subscribed to a room in which
something is published ten times a second, and tell how long deliveries take. It ends with status 1
if a session was dropped, kept waiting for its heartbeat, or not connected.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bench.held import ROOM
from bench.subjects import Server, free_port, roomline, running
from bench.websocket import marked

API_TOKEN = "a-token-of-the-soak-test-0123456789"  # noqa: S105 - it lives as long as its gateway
CROWDS = 4
"""Client processes, each with a source address of its own: an address has 28,000 ports."""
GATHERING_PER_SECOND = 250
GATHERING_AT_ONCE = 10
PUBLICATIONS_PER_SECOND = 10
SETTLE_SECONDS = 120.0
LAST_DELIVERIES_SECONDS = 3.0
SHOWN = 10
"""So many problems of single sessions are told."""


class Crowds:
    """Client processes that hold sessions."""

    def __init__(
        self, port: int, name: str, count: int, over: float, heartbeat: float, *, witnesses: bool
    ) -> None:
        self._processes = []
        for number in range(CROWDS):
            options: dict[str, object] = {
                "port": port,
                "name": f"{name}{number}",
                "source": f"127.0.0.{number + 2}",
                "count": count // CROWDS,
                "over": over,
                "heartbeat": heartbeat,
                # The idle ones come one after the other, the storm's whatever the server does.
                "at-once": GATHERING_AT_ONCE if witnesses else count,
            }
            arguments = [f"--{option}={value}" for option, value in options.items()]
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "bench.held", *arguments] + ["--witnesses"] * witnesses,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )

    def wait(self) -> None:
        """Until every session has connected or failed."""
        for process in self._processes:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError("a part of the crowd has ended: its error is above")

    def finish(self) -> dict[str, Any]:
        """Their accounts, as one."""
        total: dict[str, Any] = {}
        for process in self._processes:
            said, _ = process.communicate("\n", timeout=SETTLE_SECONDS)
            for name, value in json.loads(said).items():
                total[name] = total[name] + value if name in total else value
        return total

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def gathering(*arguments: Any, witnesses: bool) -> Iterator[Crowds]:
    """Crowds that end with the block."""
    crowds = Crowds(*arguments, witnesses=witnesses)
    try:
        yield crowds
    finally:
        crowds.kill()


class Publisher(threading.Thread):
    """Publishes over the HTTP API, at an even pace, until stopped."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{port}/api/rooms/{ROOM}/publications"
        self._stopping = threading.Event()
        self.published = 0

    def run(self) -> None:
        while not self._stopping.wait(1 / PUBLICATIONS_PER_SECOND):
            data = marked(self.published, time.monotonic_ns(), 200)
            request = urllib.request.Request(  # noqa: S310 - it is http
                self._url,
                json.dumps({"data": data}).encode(),
                {"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60):  # noqa: S310 - it is http
                self.published += 1

    def stop(self) -> None:
        self._stopping.set()
        if self.is_alive():
            self.join()


class Moment(NamedTuple):
    """What the server's process has used at a time."""

    at: float
    cpu: float
    rss: int

    @classmethod
    def of(cls, server: Server) -> "Moment":
        return cls(time.monotonic(), server.cpu_seconds(), server.resident_bytes())


def soak(options: argparse.Namespace) -> list[str]:
    """Run all of it and print what came out; what must not be, in words."""
    internal = free_port()
    with tempfile.TemporaryDirectory(prefix="roomline-soak-") as folder:
        subject = roomline("roomline", f"embedded:{folder}/log.sqlite3")
        everybody = str(options.sessions + options.storm)
        environment = {
            **subject.environment,
            "ROOMLINE_INTERNAL_PORT": str(internal),
            "ROOMLINE_API_TOKENS": API_TOKEN,
            "ROOMLINE_SESSIONS": everybody,
            "ROOMLINE_SESSIONS_PER_ADDRESS": everybody,
            "ROOMLINE_NEW_SESSIONS_PER_SECOND": everybody,
            "ROOMLINE_NEW_SESSIONS_BURST": everybody,
            "ROOMLINE_CONNECTIONS_PER_ADDRESS": everybody,
            "ROOMLINE_HEARTBEAT": str(options.heartbeat),
            "ROOMLINE_DRAIN": "0",
        }
        with running(subject._replace(environment=environment), None) as server:
            publisher = Publisher(internal)
            try:
                return _phases(options, server, publisher)
            finally:
                publisher.stop()


def _phases(options: argparse.Namespace, server: Server, publisher: Publisher) -> list[str]:
    empty = Moment.of(server)
    over = options.sessions / GATHERING_PER_SECOND
    with gathering(
        server.port, "idle", options.sessions, over, options.heartbeat, witnesses=True
    ) as idle:
        idle.wait()
        print(f"{options.sessions} sessions came; holding for {options.seconds:g} s", flush=True)
        begin = Moment.of(server)
        time.sleep(options.seconds)
        end = Moment.of(server)
        publisher.start()
        time.sleep(options.quiet)
        storm_begins = time.monotonic()
        with gathering(
            server.port,
            "storm",
            options.storm,
            options.storm_seconds,
            options.heartbeat,
            witnesses=False,
        ) as storm:
            storm.wait()
            storm_ends = time.monotonic()
            came = storm.finish()
        publisher.stop()
        time.sleep(LAST_DELIVERIES_SECONDS)
        held = idle.finish()

    def delivered(begins: float, ends: float) -> list[float]:
        return sorted(took for at, took in held["deliveries"] if begins <= at < ends)

    per_session = (end.rss - empty.rss) / options.sessions / 1024
    cpu = (end.cpu - begin.cpu) / (end.at - begin.at)
    quiet, stormy = delivered(0, storm_begins), delivered(storm_begins, storm_ends)
    expected = publisher.published * held["witnesses"]
    lost = expected - len(held["deliveries"])
    rows = [
        (
            "held",
            f"{held['connected']} sessions, {held['dropped']} dropped, "
            f"{held['heartbeats']} heartbeats, {held['silent']} too late",
        ),
        ("memory", f"{end.rss / 1048576:.0f} MiB, {per_session:.1f} KiB for each session"),
        (
            "processor",
            f"{cpu * 100:.1f} % of a core, {cpu / options.sessions * 1e6:.1f} µs a second "
            "for each session",
        ),
        (
            "storm",
            f"{came['connected']} of {options.storm} connected in "
            f"{storm_ends - storm_begins:.1f} s, each in {_times(came['connecting'])}",
        ),
        ("deliveries", f"before the storm {_times(quiet)}"),
        ("", f"in the storm {_times(stormy)}"),
        ("", f"{len(held['deliveries'])} in all to {held['witnesses']} sessions, {lost} lost"),
    ]
    for name, text in rows:
        print(f"{name:<12}{text}", flush=True)
    problems = [*held["problems"], *came["problems"]][:SHOWN]
    for what, count in {
        "sessions were not connected": options.sessions - held["connected"],
        "sessions were dropped": held["dropped"],
        "heartbeats were late": held["silent"],
        "sessions of the storm were not connected": options.storm - came["connected"],
        "sessions of the storm were dropped": came["dropped"],
        "deliveries were lost": lost,
    }.items():
        if count:
            problems.append(f"{count} {what}")
    return problems


def _times(milliseconds: Sequence[float]) -> str:
    ordered = sorted(milliseconds)
    if not ordered:
        return "no time: there were none"
    p50, p99 = (ordered[int(len(ordered) * part)] for part in (0.5, 0.99))
    return f"{p50:.1f} ms (median), {p99:.1f} ms (p99), {ordered[-1]:.1f} ms at most"


def main() -> None:
    """Read the command line, run, and say what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long to hold them")
    parser.add_argument("--storm", type=int, default=5_000, help="sessions that come at last")
    parser.add_argument("--storm-seconds", type=float, default=10.0, help="in which they come")
    parser.add_argument("--quiet", type=float, default=10.0, help="deliveries before the storm")
    parser.add_argument("--heartbeat", type=float, default=25.0, help="seconds between two")
    problems = soak(parser.parse_args())
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()

"""Measure the fan-out of one room to many websockets, beside a textbook server and the floor.

The server has one core to itself, the load (and a RabbitMQ) another. Three runs each: bursts
(as many publications as fit into a window ahead of what has been received), one publication at
a time, and a steady pace for latency. The best of several rounds counts: other processes can
only make a round worse.
"""

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from bench.crowd import Crowd, Outcome
from bench.subjects import Server, Subject, roomline, running, send_loop, textbook
from tests.support.rabbitmq import RabbitMQNode

BURST = 32
ROUNDS = 3
PACE = 10.0


class Plan(NamedTuple):
    """What is measured: how many clients, bytes of data, seconds for each round."""

    clients: int
    payload: int
    seconds: float


class Speed(NamedTuple):
    """Deliveries per second, and the server's processor time for each (µs)."""

    per_second: float
    cpu_us: float


class Row(NamedTuple):
    """What was measured of one subject; latencies in ms."""

    name: str
    burst: Speed
    single: Speed
    p50: float
    p99: float
    lost: int
    disordered: int


def measure(subject: Subject, core: int, plan: Plan) -> Row:
    """Start a subject on a core, run everything, end it."""
    with running(subject, core) as server:
        crowd = Crowd(server.port, plan.clients, subject.dialogue, plan.payload)
        try:
            crowd.run_window(plan.seconds / 5, 1)  # warm
            bursts = [speed_of(server, crowd, plan.seconds, BURST) for _ in range(ROUNDS)]
            singles = [speed_of(server, crowd, plan.seconds, 1) for _ in range(ROUNDS)]
            paced = crowd.run_paced(plan.seconds * ROUNDS, PACE)
        finally:
            crowd.close()
    outcomes = [outcome for _, outcome in bursts + singles] + [paced]
    latencies = sorted(paced.latencies)
    return Row(
        subject.name,
        max(speed for speed, _ in bursts),
        max(speed for speed, _ in singles),
        percentile(latencies, 50),
        percentile(latencies, 99),
        sum(outcome.lost for outcome in outcomes),
        sum(outcome.disordered for outcome in outcomes),
    )


def speed_of(server: Server, crowd: Crowd, seconds: float, window: int) -> tuple[Speed, Outcome]:
    """One round of publications in a window."""
    before = server.cpu_seconds()
    outcome = crowd.run_window(seconds, window)
    cpu = server.cpu_seconds() - before
    delivered = max(outcome.deliveries, 1)
    return Speed(delivered / max(outcome.seconds, 1e-9), cpu / delivered * 1e6), outcome


def percentile(ordered: Sequence[int], percent: int) -> float:
    """Of nanoseconds in ascending order, in ms; NaN of none."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] / 1e6


def table(rows: Sequence[Row], reference: Row) -> str:
    """All rows, with the ratio of deliveries per second to the reference."""
    lines = [
        f"{'':34}{'in bursts':^30}{'one at a time':^30}{'paced':^20}",
        f"{'':34}{'per second':>11}{'ratio':>8}{'µs CPU':>9}  "
        f"{'per second':>11}{'ratio':>8}{'µs CPU':>9}  "
        f"{'p50 ms':>9}{'p99 ms':>9}{'lost':>7}{'disorder':>10}",
    ]
    for row in rows:
        cells = "".join(
            f"{speed.per_second:>11,.0f}{speed.per_second / base.per_second:>7.1f}x"
            f"{speed.cpu_us:>9.2f}  "
            for speed, base in ((row.burst, reference.burst), (row.single, reference.single))
        )
        lines.append(
            f"{row.name:34}{cells}{row.p50:>9.1f}{row.p99:>9.1f}{row.lost:>7}{row.disordered:>10}"
        )
    return "\n".join(lines)


def cores() -> tuple[int, int]:
    """A core for the server and one for the load; the same one if there is no other."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[min(1, len(available) - 1)]


def allow_open_files(needed: int) -> None:
    """Raise this process's limit, which its children inherit, or say that it cannot be done."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SystemExit(f"{needed} open files are needed, at most {hard} are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@contextmanager
def broker() -> Iterator[str]:
    """The address of a RabbitMQ of our own."""
    node = RabbitMQNode()
    try:
        node.start()
        yield node.url()
    finally:
        node.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000, help="websockets in the room")
    parser.add_argument("--payload", type=int, default=200, help="bytes of one publication's data")
    parser.add_argument("--seconds", type=float, default=1.5, help="for one round")
    options = parser.parse_args()
    plan = Plan(options.clients, options.payload, options.seconds)
    allow_open_files(plan.clients + 256)
    pair = cores()
    os.sched_setaffinity(0, {pair[1]})  # RabbitMQ inherits it
    print(
        f"{plan.clients} websockets in one room, {plan.payload} bytes;"
        f" server on core {pair[0]}, load on core {pair[1]}"
        + ("" if pair[0] != pair[1] else ": the same one, so the load slows the server down")
    )
    rows = []
    with tempfile.TemporaryDirectory(prefix="roomline-bench-") as folder, broker() as rabbitmq:
        for subject in (
            textbook(),
            send_loop(),
            roomline("roomline, embedded log", f"embedded:{folder}/log.sqlite3"),
            roomline("roomline, RabbitMQ", rabbitmq),
        ):
            rows.append(measure(subject, pair[0], plan))
            print(f"measured: {subject.name}", file=sys.stderr)
    print(table(rows, rows[0]))


if __name__ == "__main__":
    main()

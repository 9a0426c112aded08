"""Measure what it costs a long-polling request to land on another node than its session's.

Two nodes that echo, each a process; a session on one of them with a message waiting; how long a
poll takes that lands there, and one that lands on the other node, in microseconds. Run it with
``python -m bench.forwarding``.
"""

import asyncio
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from roomline.cluster.ring import Contender, candidates

from tests.cluster.nodes import Node
from tests.transport.clients import Connection, connected

POLLS = 500


async def serve(directory: Path, way: str) -> None:
    """One of the nodes, until it is killed."""
    node = Node(directory, tcp=way == "tcp", expected=2, disconnect_delay=60.0)
    await node.begin()
    print(node.port, node.id, flush=True)
    await asyncio.Event().wait()


@contextmanager
def nodes(way: str) -> Iterator[list[tuple[int, str]]]:
    """The ports and ids of two nodes that know each other."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "bench.forwarding", directory, way]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        try:
            said = [process.stdout.readline().split() for process in processes if process.stdout]
            yield [(int(port), id) for port, id in said]
        finally:
            for process in processes:
                process.kill()
                process.wait()


async def request(connection: Connection, path: str, body: bytes = b"") -> bytes:
    return await connection.body(await connection.request("POST", path, body))


async def poll(through: int, at: tuple[int, str], ids: list[str]) -> list[float]:
    """The times of polls that land on the node with the port `through`, sorted, in µs."""
    contenders = [Contender(id, 0) for id in ids]
    path = next(
        path
        for path in iter(lambda: secrets.token_hex(8), "")
        if candidates(path, contenders)[0].id == at[1]
    )
    path = f"/echo/000/{path}"
    times = []
    async with connected(through) as polling, connected(at[0]) as sending:
        await request(polling, f"{path}/xhr")
        for _ in range(POLLS):
            await request(sending, f"{path}/xhr_send", json.dumps(["x"]).encode())
            began = time.perf_counter()
            answer = await request(polling, f"{path}/xhr")
            times.append((time.perf_counter() - began) * 1e6)
            assert answer == b'a["x"]\n', answer
    return sorted(times)


def main() -> None:
    """Measure both ways, and print a table."""
    print(f"{'':24}{'p50 µs':>10}{'p99 µs':>10}")
    for way in ("unix", "tcp"):
        with nodes(way) as (one, other):
            ids = [one[1], other[1]]
            for name, through in (("where the session is", one[0]), (f"by {way}", other[0])):
                times = asyncio.run(poll(through, one, ids))
                print(f"{name:24}{times[POLLS // 2]:10.0f}{times[POLLS * 99 // 100]:10.0f}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))
    else:
        main()

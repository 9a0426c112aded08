"""A gateway for the pages' examples: a child process on the embedded log."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tests.support.rabbitmq import free_port

START_SECONDS = 30.0


class Gateway(NamedTuple):
    """Where a running gateway listens."""

    port: int
    broker: str

    @property
    def url(self) -> str:
        """The SockJS endpoint."""
        return f"http://127.0.0.1:{self.port}/roomline"


@contextmanager
def serving(
    broker: str, arguments: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> Iterator[Gateway]:
    """``roomline serve`` on a log, with `arguments` and further settings; drained at the end."""
    port, internal = free_port(), free_port()
    fixed = {"BROKER": broker, "PORT": str(port), "INTERNAL_PORT": str(internal), "DRAIN": "0"}
    values = {f"ROOMLINE_{name}": value for name, value in (fixed | dict(settings or {})).items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "roomline", "serve", *arguments], env=os.environ | values
    )
    try:
        wait_until_answering(f"http://127.0.0.1:{internal}/readyz", process)
        yield Gateway(port, broker)
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0


def wait_until_answering(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Return when `url` answers 200; fail if the process ends before."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, f"the process ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)
        else:
            return

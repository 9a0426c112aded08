"""The Django demo as a child process, without a gateway of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.rabbitmq import free_port

MANAGE = Path(__file__).parents[2] / "djangoapp" / "manage.py"
START_SECONDS = 30.0


class DemoData:
    """A set-up demo: its database, rooms and secrets, shared by the servers that run on it."""

    def __init__(self, folder: Path) -> None:
        self.environment = os.environ | {
            "DEMO_DATA": str(folder),
            # Another test of the same run may have named its own.
            "DJANGO_SETTINGS_MODULE": "demo.settings",
        }
        subprocess.run(
            [sys.executable, MANAGE, "demo_setup"],
            env=self.environment,
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )
        secrets = json.loads((folder / "secrets.json").read_text())
        self.gateway_settings = {
            "KEYS": f"demo:{secrets['gateway']}",
            "NAMESPACES": "chat:read=token,write=token,history=100",
            "ANONYMOUS": "false",
        }
        """What a gateway must be told to serve this demo."""

    @contextmanager
    def archiver(self, broker: str) -> Iterator[None]:
        """An archiver of the log at `broker` works while the block lasts."""
        override = {"DJANGO_ROOMLINE_OVERRIDE": json.dumps({"BROKER": broker})}
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, MANAGE, "roomline_archive"],
            env=self.environment | override,
            stdin=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(20) == 0

    def server(self, broker: str, *endpoints: str, port: int) -> "Demo":
        """A server of the pages that sends browsers to these gateway endpoints."""
        override = {"BROKER": broker, "ENDPOINTS": list(endpoints)}
        return Demo(port, self.environment | {"DJANGO_ROOMLINE_OVERRIDE": json.dumps(override)})


class Demo:
    """One running Django development server."""

    def __init__(self, port: int, environment: dict[str, str]) -> None:
        self.url = origin(port)
        self._output = tempfile.NamedTemporaryFile(prefix="demo-", suffix=".log")  # noqa: SIM115
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, MANAGE, "runserver", "--noreload",
             f"127.0.0.1:{port}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )  # fmt: skip

    @property
    def log(self) -> str:
        return Path(self._output.name).read_text(errors="replace")

    def wait_until_answering(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
            except (urllib.error.URLError, ConnectionError):
                assert self._process.poll() is None, f"Django ended:\n{self.log}"
                assert time.monotonic() < deadline, f"Django does not answer:\n{self.log}"
                time.sleep(0.05)
            else:
                return

    def close(self) -> None:
        """End it and print its log, which pytest shows if the test failed."""
        self._process.kill()
        self._process.wait(10)
        print(f"--- log of Django at {self.url}\n{self.log}")
        self._output.close()


def origin(port: int) -> str:
    """The origin of the pages that a server at this port serves."""
    return f"http://127.0.0.1:{port}"


__all__ = ["Demo", "DemoData", "free_port", "origin"]

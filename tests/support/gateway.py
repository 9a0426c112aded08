"""A gateway node as a child process: started, killed, drained; its log shown when a test fails."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.tokens import API_TOKEN, SECRETS

START_SECONDS = 30.0

SETTINGS = {
    "HOST": "127.0.0.1",
    "PORT": "0",
    "INTERNAL_PORT": "0",
    "ANONYMOUS": "true",
    "KEYS": ",".join(f"{kid}:{secret}" for kid, secret in SECRETS.items()),
    "API_TOKENS": API_TOKEN,
    "NAMESPACES": "chat:read=public,write=public,history=3000",
    # A test's few clients do what a crowd does elsewhere.
    "COMMANDS_PER_SECOND": "100000",
    "COMMANDS_BURST": "100000",
    "BYTES_PER_SECOND": "1000000000",
    "BYTES_BURST": "1000000000",
    "PUBLICATIONS_PER_SECOND": "100000",
    "PUBLICATIONS_BURST": "100000",
    "NEW_ROOMS_BURST": "10000",
    "UNCONFIRMED": "1000",
    "DRAIN": "1",
}


class Answer(NamedTuple):
    """An HTTP answer of the internal port."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Gateway:
    """One ``roomline serve``. All methods block, each for a bounded time."""

    def __init__(self, broker: str, *, within: Sequence[str] = (), **settings: str) -> None:
        """`settings` by their names in capitals, as in the environment without ``ROOMLINE_``.
        `within`: a command that becomes the one behind it, somewhere else."""
        self.broker = broker
        self.url = ""
        """The SockJS endpoint."""
        self.internal = ""
        """The address of the internal port, with several processes that of the first."""
        self.internals: list[str] = []
        """Those of all processes."""
        self._within = within
        self._settings = SETTINGS | {"BROKER": broker} | settings
        self._process: subprocess.Popen[bytes] | None = None
        self._output = tempfile.NamedTemporaryFile(prefix="gateway-", suffix=".log")  # noqa: SIM115

    @property
    def pid(self) -> int:
        assert self._process is not None, "the gateway was not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has written."""
        return Path(self._output.name).read_text(errors="replace")

    def start(self, *, ready: bool = True) -> None:
        """Start, and return when it is ready, or with ``ready=False`` when it listens."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ROOMLINE_")
        } | {f"ROOMLINE_{name}": value for name, value in self._settings.items()}
        begins = len(self.log)
        # setpriv becomes the gateway, and takes care that it does not outlive this process.
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            sys.executable,
            "-m",
            "roomline",
            "serve",
        ]
        self._process = subprocess.Popen(
            [*self._within, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )
        line = re.compile(r"^roomline: serving (\S+), internal (\S+)$", re.MULTILINE)
        self.url, internals = self._until(
            lambda: (match := line.search(self.log[begins:])) and match.groups(), "listen"
        )
        self.internals = internals.split(",")
        self.internal = self.internals[0]
        # Ports stay the same when it is started again.
        self._settings["PORT"] = self.url.rpartition("/")[0].rpartition(":")[2]
        if len(self.internals) == 1:
            self._settings["INTERNAL_PORT"] = self.internal.rpartition(":")[2]
        if ready:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        self._until(
            lambda: all(self.get("/readyz", at=each).status == 200 for each in self.internals),
            "become ready",
        )

    def _until(self, condition: Any, what: str) -> Any:
        deadline = time.monotonic() + START_SECONDS
        while not (result := condition()):
            assert self.running, f"the gateway ended with {self.exit_code}:\n{self.log}"
            assert time.monotonic() < deadline, f"the gateway does not {what}:\n{self.log}"
            time.sleep(0.02)
        return result

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def send(self, sent: signal.Signals) -> None:
        """Send a signal, without waiting for what comes of it."""
        assert self._process is not None
        self._process.send_signal(sent)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def terminate(self, *, within: float = 20.0) -> int:
        """SIGTERM; the exit status once it has drained."""
        self.send(signal.SIGTERM)
        return self.wait(within)

    def wait(self, within: float = 20.0) -> int:
        """The exit status once it has ended."""
        assert self._process is not None
        return self._process.wait(within)

    def close(self) -> None:
        """End it however it stands, and print its log, which pytest shows if the test failed."""
        self.kill()
        print(f"--- log of the gateway at {self.url} on {self.broker}\n{self.log}")
        self._output.close()

    def resident_bytes(self) -> int:
        """Its resident memory."""
        [line] = re.findall(
            r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{self.pid}/status").read_text(), re.M
        )
        return int(line) * 1024

    def get(self, path: str, *, token: str | None = None, body: Any = None, at: str = "") -> Answer:
        """GET, or with a body POST, on the internal port, or on that of another process; status
        0 if nobody answers."""
        request = urllib.request.Request((at or self.internal) + path)
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        if body is not None:
            request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return Answer(response.status, response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode())
        except OSError as error:
            return Answer(0, str(error))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels, of all processes."""
        total = 0.0
        pages = [self.get("/metrics", at=each).text for each in self.internals]
        for line in "\n".join(pages).splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name:
                found = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                if labels.items() <= found.items():
                    total += float(match[3])
        return total

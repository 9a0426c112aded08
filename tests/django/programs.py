"""A Django project as a user has it: a database in a file, a log, and programs that can be killed.

With ``PROJECT_DATABASE`` in the environment (an entry of ``DATABASES`` as JSON, of an empty
database) it is that one instead of SQLite.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


class Program:
    """A child process that does not outlive this one, and what it says."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.said = ""
        # setpriv becomes the program.
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def until_it_says(self, text: str, times: int = 1) -> None:
        """Return when it has said that so many times; it must not end before."""
        deadline = time.monotonic() + PATIENCE
        while self.said.count(text) < times:
            assert self._read(deadline), f"it does not say {text!r}:\n{self.said}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self.end()

    def end(self, number: signal.Signals | None = None) -> int:
        """The exit status when it has ended, by this signal if one is given."""
        if number is not None:
            self.send(number)
        assert self._process.stdout
        deadline = time.monotonic() + PATIENCE
        while not self._process.stdout.closed and self._read(deadline):
            pass
        self._process.stdout.close()
        return self._process.wait(max(0.0, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        """Whether it has said something more in time."""
        assert self._process.stdout
        left = max(0.0, deadline - time.monotonic())
        assert select.select([self._process.stdout], [], [], left)[0], f"silence:\n{self.said}"
        chunk = os.read(self._process.stdout.fileno(), 65_536)
        self.said += chunk.decode(errors="replace")
        return bool(chunk)


class Project:
    """The project `tests.django.project`, migrated and with an empty outbox."""

    def __init__(self, folder: Path, broker: str) -> None:
        sqlite = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(folder / "project.sqlite3"),
            "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"},
        }
        self._environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.django.project",
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), str(ROOT / "djangoapp"), os.environ.get("PYTHONPATH", "")]
            ),
            "PROJECT_DATABASE": os.environ.get("PROJECT_DATABASE", json.dumps(sqlite)),
            "PROJECT_BROKER": broker,
        }
        self._programs: list[Program] = []
        self.run("-m", "django", "migrate", "--verbosity", "0")
        self.shell("OutboxMessage.objects.all().delete(); Lease.objects.all().delete()")

    def start(self, *arguments: str, **environment: str) -> Program:
        """Start Python with these arguments."""
        program = Program(list(arguments), self._environment | environment)
        self._programs.append(program)
        return program

    def relay(self, *arguments: str) -> Program:
        """A relay that is at work, or stands by."""
        program = self.start("-m", "django", "roomline_relay", "--interval", "0.05", *arguments)
        program.until_it_says("relaying the outbox of database default")
        return program

    def run(self, *arguments: str) -> str:
        """What Python says with these arguments; it must succeed."""
        program = self.start(*arguments)
        status = program.end()
        assert status == 0, program.said
        return program.said

    def shell(self, code: str) -> str:
        """What this code prints in the project's shell, in which publish and the models are."""
        names = "from django_roomline import publish; from django_roomline.models import *\n"
        return self.run("-m", "django", "shell", "--no-imports", "-c", names + code)

    def write(self, *numbers: int) -> None:
        """Publish these numbers through the outbox, to two rooms in turn; and roll back others."""
        self.shell(
            "from django.db import transaction\n"
            f"for number in {list(numbers)}:\n"
            "    with transaction.atomic():\n"
            "        publish(f'chat.{number % 2}', number, outbox=True)\n"
            "        with transaction.atomic():\n"
            "            publish('chat.0', 'rolled back', outbox=True)\n"
            "            transaction.set_rollback(True)\n"
        )

    def wait_until_relayed(self) -> None:
        """Return when nothing waits in the outbox."""
        self.shell(
            "import time\n"
            f"deadline = time.monotonic() + {PATIENCE}\n"
            "while OutboxMessage.objects.exists():\n"
            "    assert time.monotonic() < deadline, list(OutboxMessage.objects.values())\n"
            "    time.sleep(0.02)\n"
        )

    def close(self) -> None:
        """End all that still runs."""
        for program in self._programs:
            program.kill()

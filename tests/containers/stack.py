"""The container stack, brought up from docker-compose.yml as a user does it."""

import asyncio
import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Sequence
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from tests.support.rabbitmq import free_ports

ROOT = Path(__file__).parents[2]
PROJECT = "roomline-test"
CLUSTER = ("docker-compose.yml", "docker-compose.cluster.yml")
BUILD_SECONDS = 900.0
COMMAND_SECONDS = 240.0


class Stack:
    """A running stack with ports, secrets and networks of its own. All methods block."""

    def __init__(
        self,
        folder: Path,
        port: int,
        console_port: int,
        *,
        project: str = PROJECT,
        network: str = "172.29.81",
        files: Sequence[str] = ("docker-compose.yml",),
    ) -> None:
        """`network`: the first three numbers of the front network's addresses."""
        self._base = ["--project-name", project, *[part for file in files for part in ("-f", file)]]
        self.url = f"http://127.0.0.1:{port}"
        self.console = f"http://127.0.0.1:{console_port}"
        self._environment_file = folder / ".env"
        secrets = ROOT / "scripts" / "stack-secrets"
        (folder / ".env.example").write_text((ROOT / ".env.example").read_text())
        subprocess.run(["sh", secrets], cwd=folder, check=True)
        inspect = free_ports(8)
        with self._environment_file.open("a") as file:
            file.write(
                f"HTTP_PORT={port}\nCONSOLE_PORT={console_port}\n"
                f"FRONT_SUBNET={network}.0/24\nFRONT_RANGE={network}.128/25\n"
                f"PROXY_ADDRESS={network}.2\nPROMETHEUS_PORT=0\n"
                f"INSPECT_PORTS={inspect}-{inspect + 7}\n"
            )

    @property
    def endpoint(self) -> str:
        return f"{self.url}/live"

    def secret(self, name: str) -> str:
        """What the environment file says."""
        found = re.search(rf"^{name}=(.+)$", self._environment_file.read_text(), re.MULTILINE)
        assert found, f"{name} is not in the environment file"
        return found[1]

    def compose(self, *arguments: str, within: float = COMMAND_SECONDS) -> str:
        """What ``docker compose`` says; it must succeed."""
        base = ["docker", "compose", *self._base, "--env-file", str(self._environment_file)]
        return run(*base, *arguments, within=within)

    def up(self, *arguments: str) -> None:
        """Build, start, and return when all of it is healthy."""
        self.compose("build", within=BUILD_SECONDS)
        self.compose("up", "--detach", "--wait", *arguments)

    def down(self) -> None:
        everything = ("--profile", "observability")
        self.compose(*everything, "down", "--volumes", "--timeout", "20")

    def containers(self, service: str) -> list[str]:
        """The ids of a service's running containers."""
        return self.compose("ps", "--quiet", service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("docker", "inspect", container))[0]
        return found

    def kill(self, container: str) -> None:
        """SIGKILL. Docker does not start it again by itself: somebody has asked for it."""
        run("docker", "kill", "--signal", "KILL", container)

    def start(self, container: str) -> None:
        run("docker", "start", container)

    def internal(self, container: str) -> str:
        """Where a gateway's internal port is."""
        address = run("docker", "port", container, "8002").split()[0]
        return f"http://{address}"

    def inspected(self, container: str) -> Any:
        """What a gateway's inspector says."""
        request = urllib.request.Request(
            f"{self.internal(container)}/inspect/state",
            headers={"Authorization": f"Bearer {self.secret('INSPECT_TOKEN')}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def logs(self) -> str:
        return self.compose("logs", "--no-color", "--tail", "200")

    async def token(self) -> str:
        """A token for a guest, from Django through the proxy."""
        return await asyncio.to_thread(self._token)

    def _token(self) -> str:
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        with urllib.request.build_opener(jar).open(f"{self.url}/roomline/token", timeout=10) as got:
            token: str = json.load(got)["token"]
            return token


def run(*command: str, within: float = COMMAND_SECONDS) -> str:
    """The standard output of a command, which must succeed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"DOCKER_BUILDKIT": "1", "COMPOSE_PROGRESS": "plain"},
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout

"""Machines that are network namespaces on one bridge: each with an address of its own."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_numbers = itertools.count()


class Network:
    """A bridge of this machine, and namespaces on it."""

    def __init__(self, name: str, prefix: str) -> None:
        self._name = name
        self._prefix = prefix
        self._machines: list[str] = []

    @property
    def address(self) -> str:
        """This machine's own address in the network."""
        return f"{self._prefix}.1"

    def add(self) -> "Machine":
        """One more machine."""
        number = len(self._machines) + 2
        name, inner, outer = f"{self._name}m{number}", "eth0", f"{self._name}v{number}"
        run("ip", "netns", "add", name)
        self._machines.append(name)
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        run("ip", "link", "set", outer, "master", self._name, "up")
        machine = Machine(name, f"{self._prefix}.{number}")
        run(*machine.within, "ip", "link", "set", "lo", "up")
        run(*machine.within, "ip", "address", "add", f"{machine.address}/24", "dev", inner)
        run(*machine.within, "ip", "link", "set", inner, "up")
        return machine

    @classmethod
    @contextmanager
    def up(cls) -> Iterator["Network"]:
        """A network; raises `Unavailable` where none can be made."""
        # Names of network devices have at most 15 characters.
        name = f"rl{os.getpid() % 10**6}{next(_numbers) % 10}"
        network = cls(name, f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}")
        try:
            run("ip", "link", "add", name, "type", "bridge")
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            raise Unavailable(f"network namespaces cannot be made here: {said}") from None
        try:
            run("ip", "address", "add", f"{network.address}/24", "dev", name)
            run("ip", "link", "set", name, "up")
            yield network
        finally:
            for machine in network._machines:
                run("ip", "netns", "delete", machine)
            run("ip", "link", "delete", name)


class Machine:
    """A namespace."""

    def __init__(self, name: str, address: str) -> None:
        self.address = address
        self.within = ("ip", "netns", "exec", name)
        """What a command is run with so that it runs there."""


class Unavailable(Exception):
    """This machine does not let us; the text says why."""


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)

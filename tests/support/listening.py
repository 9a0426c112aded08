"""A server of somebody else's as a child process that listens on one loopback port."""

import socket
import subprocess
import time

START_SECONDS = 20.0


class Listening:
    """Starts it, and returns when it takes connections on `port`."""

    def __init__(self, command: list[str], port: int) -> None:
        """`command` stays in the foreground and ends on SIGTERM."""
        self.port = port
        # setpriv becomes the server, and takes care that it does not outlive this process.
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command], stdin=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            assert self._process.poll() is None, f"{command[0]} has ended: its message is above"
            assert time.monotonic() < deadline, f"{command[0]} does not listen"
            time.sleep(0.02)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)

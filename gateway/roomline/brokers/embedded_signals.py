"""Signals on one machine: from datagram socket to datagram socket, in a folder that nodes share.

Only the user of the folder may write to its sockets. There is nothing to poll and nothing to clean
up but the sockets of those who have died, which are found out when they are written to.
"""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from roomline.broker import MAX_SIGNAL_BYTES, BrokerError, check_signal

_SUFFIX: Final = ".signals"
_PER_TURN: Final = 100
"""Signals that are taken in one turn of the event loop."""


class EmbeddedSignals:
    """See `roomline.broker.Signals`. `directory` exists; its path is short, as those of sockets
    are."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        self._path = self._directory / f"{secrets.token_hex(8)}{_SUFFIX}"
        self._socket: socket.socket | None = None

    async def start(self, take: Callable[[bytes], None]) -> None:
        """See `Signals.start`."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.setblocking(False)
        try:
            made.bind(os.fspath(self._path))
        except OSError as error:
            made.close()
            raise BrokerError(f"no socket can be made at {self._path}: {error}") from None
        self._socket = made
        asyncio.get_running_loop().add_reader(made, self._receive, made, take)

    def send(self, signal: bytes) -> None:
        """See `Signals.send`."""
        check_signal(signal)
        if self._socket is None:
            return
        for path in self._directory.glob(f"*{_SUFFIX}"):
            if path == self._path:
                continue
            try:
                self._socket.sendto(signal, os.fspath(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)  # its process has died
            except OSError:
                continue  # it has just left, or does not read: the next signal may reach it

    async def close(self) -> None:
        """See `Signals.close`."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
            with contextlib.suppress(OSError):
                self._path.unlink()

    @staticmethod
    def _receive(receiving: socket.socket, take: Callable[[bytes], None]) -> None:
        for _ in range(_PER_TURN):
            try:
                signal = receiving.recv(MAX_SIGNAL_BYTES)
            except OSError:
                return
            take(signal)

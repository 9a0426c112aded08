"""Connections from node to node: a Unix socket on one machine, a sealed TCP connection else."""

import asyncio
import socket
from pathlib import Path
from typing import Any, Final

from tornado.iostream import IOStream, StreamClosedError

from roomline.cluster.announcement import Announcement
from roomline.cluster.sealed import NotProven, sealed

_BUFFER_BYTES: Final = 1 << 20
"""What is read ahead from another node; the head of a response is much shorter."""

_QUEUE_FULL_SECONDS: Final = 0.01
"""The time between two attempts while the other node has accepted nothing."""

LinkError = (OSError, TimeoutError, NotProven, StreamClosedError)
"""What `connect` raises."""


async def connect(to: Announcement, *, directory: str, key: bytes, within: float) -> IOStream:
    """A new connection to a node: over its Unix socket if that is in our own directory.

    Raises one of `LinkError`.
    """
    async with asyncio.timeout(within):
        if to.socket and directory and Path(to.socket).parent == Path(directory):
            made = await _connected(socket.AF_UNIX, to.socket)
            return IOStream(made, max_buffer_size=_BUFFER_BYTES)
        if not to.host:
            raise ConnectionRefusedError(f"node {to.name} cannot be reached from this machine")
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        made = await _connected(family, address)
        stream = await sealed(made, key, max_buffer_size=_BUFFER_BYTES)
        stream.set_nodelay(True)
        return stream


def lost_for_good(error: BaseException) -> bool:
    """Whether a failure to connect says that there is no such node any more."""
    return isinstance(error, ConnectionRefusedError | FileNotFoundError)


async def _connected(family: int, address: Any) -> socket.socket:
    made = socket.socket(family)
    made.setblocking(False)
    try:
        if family == socket.AF_UNIX:
            await _connect_unix(made, address)
        else:
            await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


async def _connect_unix(made: socket.socket, path: str) -> None:
    # A Unix socket is connected at once or not at all: asyncio would take a full queue for a
    # connection that is under way, and then for one that is there.
    while True:
        try:
            made.connect(path)
        except BlockingIOError:
            await asyncio.sleep(_QUEUE_FULL_SECONDS)
        else:
            return

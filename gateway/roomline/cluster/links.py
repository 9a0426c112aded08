"""Connections from node to node: a Unix socket on one machine, a sealed TCP connection else."""

import asyncio
import socket
from pathlib import Path
from typing import Final

from tornado.iostream import IOStream, StreamClosedError

from roomline.cluster.announcement import Announcement
from roomline.cluster.sealed import NotProven, sealed

_BUFFER_BYTES: Final = 1 << 20
"""What is read ahead from another node; the head of a response is much shorter."""

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


async def _connected(family: int, address: object) -> socket.socket:
    made = socket.socket(family)
    made.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(made, address)  # type: ignore[arg-type]
    except BaseException:
        made.close()
        raise
    return made

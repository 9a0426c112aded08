"""Sockets that listen, or a sentence on why they cannot."""

import contextlib
import errno
import socket
from typing import Final

from tornado.netutil import bind_sockets

_BACKLOG: Final = 1024
"""Connections that may wait to be accepted: a whole node's clients may come at once."""
_OF_THE_PORT: Final = (errno.EADDRINUSE, errno.EACCES)
"""What the setting of the port can mend; the rest is the host's."""


class StartError(Exception):
    """The gateway cannot start with these settings on this machine; the text says why."""


def bind(
    which: str, host: str, port: int, undo: contextlib.ExitStack, *, shared: bool = False
) -> list[socket.socket]:
    """Sockets that listen; `undo` closes them. `which` is the beginning of the names of the
    settings. What is `shared` other processes of this user may listen on as well, and the system
    spreads connections over them. Raises `StartError`."""
    try:
        sockets = bind_sockets(port, host, backlog=_BACKLOG, reuse_port=shared)
    except (OSError, UnicodeError) as error:  # the latter for what is no host name
        reason = error.strerror if isinstance(error, OSError) else error
        blamed = "port" if getattr(error, "errno", None) in _OF_THE_PORT else "host"
        raise StartError(
            f"{which}{blamed}: port {port} of {host} cannot be listened on: {reason}"
        ) from None
    for each in sockets:
        undo.callback(each.close)
    return sockets


def url_of(sockets: list[socket.socket], host: str) -> str:
    """Where the sockets can be reached, as far as this machine can know."""
    port = sockets[0].getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

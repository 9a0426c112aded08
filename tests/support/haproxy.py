"""Debian's HAProxy as a child process."""

from pathlib import Path

from tests.support.listening import Listening

HAPROXY = "/usr/sbin/haproxy"


class HAProxy(Listening):
    """One HAProxy."""

    def __init__(self, folder: Path, site: str, port: int) -> None:
        """`site` is its configuration but for the section ``global``, and listens on `port`."""
        folder.mkdir()
        path = folder / "haproxy.cfg"
        path.write_text(f"global\n    maxconn 1000\n\n{site}\n")
        super().__init__([HAPROXY, "-db", "-f", str(path)], port)

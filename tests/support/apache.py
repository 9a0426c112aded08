"""Debian's Apache httpd as a child process."""

from pathlib import Path

from tests.support.listening import Listening

APACHE = "/usr/sbin/apache2"
MODULES = Path("/usr/lib/apache2/modules")

_CONFIGURATION = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
Mutex file:{folder}
ErrorLog /dev/stderr
User www-data
Group www-data
Listen 127.0.0.1:{port}
{modules}
{site}
"""

_WITH = ("mpm_event", "authz_core", "slotmem_shm")
"""What Debian turns on by itself, or with the balancer."""


class Apache(Listening):
    """One Apache httpd with the event MPM."""

    def __init__(self, folder: Path, site: str, port: int, modules: list[str]) -> None:
        """`site` listens on `port` and needs these modules."""
        folder.mkdir()
        lines = [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in (*_WITH, *modules)]
        text = _CONFIGURATION.format(folder=folder, port=port, modules="\n".join(lines), site=site)
        path = folder / "apache.conf"
        path.write_text(text)
        super().__init__([APACHE, "-D", "FOREGROUND", "-f", str(path)], port)

"""Debian's nginx as a child process."""

from pathlib import Path

from tests.support.listening import Listening
from tests.support.rabbitmq import free_port

NGINX = "/usr/sbin/nginx"

_CONFIGURATION = """
user root;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    {site}
}}
"""

_SITE = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://127.0.0.1:{upstream};
        {directives}
    }}
}}
"""


class NginxSite(Listening):
    """One nginx with a site of one's own."""

    def __init__(self, folder: Path, site: str, port: int) -> None:
        """`site` stands in the http block and listens on `port`."""
        folder.mkdir()
        (folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=folder, site=site))
        super().__init__([NGINX, "-p", str(folder), "-c", "nginx.conf"], port)


class Nginx(NginxSite):
    """One in front of one server; all that it is not told is as it comes."""

    def __init__(self, folder: Path, upstream: int, directives: str = "") -> None:
        """`directives` stand in the location that is passed on."""
        port = free_port()
        site = _SITE.format(port=port, upstream=upstream, directives=directives)
        super().__init__(folder, site, port)

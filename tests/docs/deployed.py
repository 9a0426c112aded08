"""docs/howto/deployment.rst carried out in a folder: its files, with ports and paths of our own."""

import contextlib
import random
import re
import shlex
import socket
import subprocess
import sys
import time
from configparser import ConfigParser
from pathlib import Path

from tests.docs.shop import Shop
from tests.docs.waiting import START_SECONDS, wait_until_answering
from tests.docs.walkthrough import clean_environment, step, steps
from tests.support.certificates import make_authority, make_certificate
from tests.support.rabbitmq import RabbitMQNode, free_port

PAGE = "docs/howto/deployment.rst"
NGINX = "/usr/sbin/nginx"
HOST = "shop.localhost"
"""In place of shop.example: browsers know where that is."""

FRAME = """
user root;
daemon off;
pid {root}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    include /etc/nginx/mime.types;
    access_log off;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    include {root}/etc/nginx/conf.d/*.conf;
}}
"""
"""Around the page's file: what Debian's own nginx.conf is elsewhere."""


class Deployed:
    """The page's files under `root`, and what runs of them."""

    def __init__(self, root: Path, shop: Shop, rabbitmq: RabbitMQNode) -> None:
        self.root = root
        self.rabbitmq = rabbitmq
        self.shop = shop
        self.gateways = {"8001": _gateway_port(), "8003": _gateway_port()}
        self.https = free_port()
        self.http = free_port()
        self.origin = f"https://{HOST}:{self.https}"
        self._django = free_port()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def translated(self, text: str) -> str:
        """The page's text for this folder and these ports."""
        replaced = {
            "127.0.0.1:5672": f"127.0.0.1:{self.rabbitmq.port}",
            "listen 80;": f"listen 127.0.0.1:{self.http};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.https} ssl;",
            "shop.example": HOST,
            **{f"127.0.0.1:{old}": f"127.0.0.1:{new}" for old, new in self.gateways.items()},
            **{f"127.0.0.1:1{old}": f"127.0.0.1:1{new}" for old, new in self.gateways.items()},
            "127.0.0.1:8000": f"127.0.0.1:{self._django}",
            "--port 8000": f"--port {self._django}",
            "/etc/": f"{self.root}/etc/",
            "/srv/": f"{self.root}/srv/",
        }
        # At once, so that nothing is replaced twice.
        return re.sub("|".join(map(re.escape, replaced)), lambda found: replaced[found[0]], text)

    def prepare(self) -> None:
        """Carry out what the page says, but for installing, and for what systemd does."""
        (self.root / "srv").mkdir(parents=True)
        (self.root / "srv" / "shop").symlink_to(self.shop.folder)
        (self.shop.folder / "live").symlink_to(sys.prefix)
        for each in steps(PAGE):
            if each.name == "deploy-users":
                self.rabbitmq.run_tools(each.text)
            elif each.path:
                path, text = self.translated(each.path), self.translated(each.text)
                self.shop.terminal.write(each._replace(path=path, text=text))
            elif each.verb == "run" and each.name != "deploy-install":
                self.shop.terminal.run(self.translated(each.text))
        certificates = self.root / "etc" / "ssl"
        certificates.mkdir()
        make_authority(certificates)
        make_certificate(certificates, "shop", HOST)
        (self.root / "nginx.conf").write_text(FRAME.format(root=self.root))

    def clean_up(self) -> None:
        """Stop everything, and take from the broker what the page has put there."""
        for name in list(self._running):
            self.stop(name)
        self.rabbitmq.delete_vhost("shop")
        for user in ("gateway", "django"):
            self.rabbitmq.delete_user(user)

    def start_gateway(self, shown: str) -> None:
        """Start the gateway with this port on the page, by its unit, without waiting for it.

        Programs end with the thread that started them: this is for a test's own.
        """
        # A drain of the usual ten seconds would make tests longer and show nothing more.
        short = {"ROOMLINE_DRAIN": "2"}
        self._start(f"roomline@{shown}", "roomline@.service", self.gateways[shown], short)

    def wait_for_gateway(self, shown: str) -> None:
        """Return when it is ready."""
        url = f"http://127.0.0.1:1{self.gateways[shown]}/readyz"
        wait_until_answering(url, self._running[f"roomline@{shown}"])

    def start_django(self, server: str) -> None:
        """Start it by the unit, with the page's other command in it for uvicorn."""
        unit = self.root / "etc/systemd/system/shop.service"
        if server == "uvicorn":
            line = self.translated(step(PAGE, "deploy-uvicorn").text)
            unit.write_text(re.sub(r"(?m)^ExecStart=.*\n", lambda _: line, unit.read_text()))
        self._start("shop", "shop.service", "", {})
        wait_until_answering(
            f"http://127.0.0.1:{self._django}/admin/login/", self._running["shop"], HOST
        )

    def start_nginx(self) -> None:
        """Start it with the page's file."""
        self._running["nginx"] = _spawn(
            [NGINX, "-p", str(self.root), "-c", str(self.root / "nginx.conf")], self.root, {}
        )
        wait_until_answering(
            f"http://127.0.0.1:{self.gateways['8001']}/live", self._running["nginx"]
        )
        wait_until_listening(self.https)

    def stop(self, name: str) -> None:
        """As systemd does: SIGTERM, and then it has the unit's time."""
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(self.stop_seconds if name.startswith("roomline@") else 20)
        finally:
            process.kill()
            process.wait()

    @property
    def stop_seconds(self) -> float:
        """How long a gateway may take to stop."""
        return float(self._unit("roomline@.service", "")["TimeoutStopSec"])

    def _unit(self, file: str, instance: str) -> dict[str, str]:
        text = (self.root / "etc/systemd/system" / file).read_text().replace("%i", instance)
        unit = ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read_string(text)
        return dict(unit["Service"])

    def _start(self, name: str, file: str, instance: str, more: dict[str, str]) -> None:
        """Start what a unit says; as root, for the test's folder is nobody else's."""
        service = self._unit(file, instance)
        lines = Path(service["EnvironmentFile"]).read_text().splitlines()
        environment = dict(line.split("=", 1) for line in lines) | more
        folder = Path(service.get("WorkingDirectory", "/"))
        self._running[name] = _spawn(shlex.split(service["ExecStart"]), folder, environment)


def wait_until_listening(port: int) -> None:
    """Return when a loopback port takes connections."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, f"nobody listens on {port}"
        time.sleep(0.05)


def _spawn(
    command: list[str], folder: Path, environment: dict[str, str]
) -> "subprocess.Popen[bytes]":
    # setpriv takes care that it does not outlive this process.
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command],
        cwd=folder,
        env=clean_environment() | environment,
        stdin=subprocess.DEVNULL,
    )


def _gateway_port() -> str:
    """A port that is free, and so are the one with a 1 before it, which is the internal one, and
    the one with a 2, for other gateways."""
    while True:
        port = str(random.randrange(2000, 9999))
        with contextlib.ExitStack() as stack:
            try:
                for number in (port, f"1{port}", f"2{port}"):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", int(number)))
            except OSError:
                continue
        return port

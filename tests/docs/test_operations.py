"""docs/operations/: the drills, the copies and the manifests of the handbook, carried out."""

import re
import ssl
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
import yaml
from roomline.config import Settings, load

from tests.docs.pages import ROOT, snippet, table
from tests.docs.waiting import wait_until_answering
from tests.docs.walkthrough import Terminal, clean_environment
from tests.support.certificates import make_authority, make_certificate
from tests.support.disk import small_disk
from tests.support.gateway import Gateway
from tests.support.rabbitmq import RabbitMQNode, free_port, rabbitmq

__all__ = ["rabbitmq"]

BACKUP = "docs/operations/backup.rst"
DRILLS = "docs/operations/drills.rst"
KUBERNETES = "docs/operations/kubernetes.rst"
SIZING = "docs/operations/sizing.rst"
TLS = "docs/operations/tls.rst"
UPGRADES = "docs/operations/upgrades.rst"

COVERS = {
    *("drill-settings", "drill-start", "drill-publish"),
    *("drill-disk", "drill-slow", "drill-kill", "drill-again"),
    *("backup-definitions", "backup-embedded", "restore-embedded"),
    *("tls-gateway", "tls-django", "kubernetes-gateway"),
}

_MARK = "--- what the next one says"


class Drill:
    """A folder with the page's gateway in it, and a console."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {"8001": str(free_port()), "8002": str(free_port())}
        start = snippet(DRILLS, "drill-start").text.splitlines()
        mount, self._export, serve = start
        assert mount == "mkdir disk && mount -t tmpfs -o size=32m tmpfs disk"
        self._serve, behind, _ = serve.partition(" & export GATEWAY=$!")
        assert behind
        self._environment = clean_environment()
        (folder / "drill.toml").write_text(self._translated(snippet(DRILLS, "drill-settings").text))
        self._process: subprocess.Popen[bytes] | None = None
        self._bash(self._translated(snippet(DRILLS, "drill-publish").text))

    def _translated(self, text: str) -> str:
        return re.sub(r"\b800[12]\b", lambda found: self._ports[found[0]], text)

    def start(self) -> None:
        """Start the gateway, and return when it is ready."""
        script = f"{self._export}\nexec setpriv --pdeathsig KILL {self._serve}"
        self._process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        wait_until_answering(f"http://127.0.0.1:{self._ports['8002']}/readyz", self._process)
        self._environment["GATEWAY"] = str(self._process.pid)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def follow(self, name: str) -> None:
        """Type the commands of a block; each must say what stands behind it."""
        shown = self._translated(snippet(DRILLS, name).text)
        blocks = [block.split("\n", 1) for block in re.split(r"(?m)^\$ ", shown)[1:]]
        script = "\n".join(f"echo '{_MARK}'\n{command}" for command, *_ in blocks)
        said = self._bash(f"set -m\n{self._export}\n{script}").split(f"{_MARK}\n")[1:]
        assert len(said) == len(blocks), said
        for (command, *expected), answer in zip(blocks, said, strict=True):
            text = "\n".join(expected).strip()
            pattern = ".*".join(map(re.escape, text.split("…")))
            assert re.fullmatch(pattern, answer.strip()), f"$ {command}\n{answer}"

    def _bash(self, script: str) -> str:
        """What commands say. A file takes it: what goes on in the background keeps it open."""
        output = self.folder / "said"
        with output.open("w") as file:
            subprocess.run(
                ["bash", "-c", script],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=60,
            )
        return output.read_text()


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    with small_disk(tmp_path / "disk", 32 * 1024):
        drill = Drill(tmp_path)
        drill.start()
        yield drill
        drill.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["drill-disk", "drill-slow"])
def test_a_drill(name: str, drill: Drill):
    drill.follow(name)


@pytest.mark.slow
def test_the_drill_in_which_a_node_is_killed(drill: Drill):
    drill.follow("drill-kill")
    drill.stop()
    drill.start()
    drill.follow("drill-again")


def test_the_drills_of_the_broker_are_run_by_tests():
    for _, _, path in table(DRILLS, "drills-of-the-broker"):
        assert (ROOT / path).is_file()


def test_alerts_that_drills_name_are_alerts():
    named = re.findall(r"``((?:Roomline|RabbitMQ)[A-Z]\w+)``", (ROOT / DRILLS).read_text())
    assert len(named) > 5
    assert set(named) <= {row[0] for row in table("docs/metrics.rst", "alerts")}


@pytest.mark.slow
def test_an_embedded_log_is_copied_and_put_back(tmp_path: Path):
    terminal = Terminal(tmp_path)
    gateway = Gateway(f"embedded:{tmp_path}/roomline.sqlite3")
    tail = "roomline tail --since first --no-follow"
    try:
        gateway.start()
        terminal.run("roomline publish system.notices '\"copied\"'")
        terminal.run(snippet(BACKUP, "backup-embedded").text)
        terminal.run("roomline publish system.notices '\"later\"'")
        assert re.findall('"[a-z]+"', terminal.run(tail)) == ['"copied"', '"later"']
        gateway.kill()
        terminal.run(snippet(BACKUP, "restore-embedded").text)
        gateway.start()
        assert re.findall('"[a-z]+"', terminal.run(tail)) == ['"copied"']
    finally:
        gateway.close()


@pytest.mark.slow
def test_definitions_are_exported(rabbitmq: RabbitMQNode, tmp_path: Path):
    exported = tmp_path / "rabbitmq-definitions.json"
    command = snippet(BACKUP, "backup-definitions").text
    rabbitmq.run_tools(command.replace(exported.name, str(exported)))
    assert '"password_hash"' in exported.read_text()


def test_tls_settings_are_accepted(tmp_path: Path):
    """With certificates of our own in the places that the page names."""
    make_authority(tmp_path)
    make_certificate(tmp_path, "gateway", "gateway")
    (tmp_path / "ca.pem").rename(tmp_path / "broker-ca.pem")
    text = snippet(TLS, "tls-gateway").text.replace("/etc/roomline", str(tmp_path))
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    settings = load({"config": str(path)}, {})
    assert {name: getattr(settings, name) for name in tomllib.loads(text)} == tomllib.loads(text)


def test_djangos_address_of_the_broker_is_read(tmp_path: Path):
    make_authority(tmp_path)
    (tmp_path / "ca.pem").rename(tmp_path / "broker-ca.pem")
    settings: dict[str, str] = {}
    text = snippet(TLS, "tls-django").text.replace("/etc/roomline", str(tmp_path))
    exec(compile(text, TLS, "exec"), {"ROOMLINE": settings})
    tls = pika.URLParameters(settings["BROKER"]).ssl_options
    assert tls.context.verify_mode == ssl.CERT_REQUIRED
    assert [each["subject"] for each in tls.context.get_ca_certs()] == [
        ((("commonName", "authority"),),)
    ]


def test_settings_that_are_the_same_everywhere_are_settings():
    for names, _ in table(UPGRADES, "same-everywhere"):
        for name in names.split(", "):
            assert name in Settings.__dataclass_fields__


def test_figures_are_those_of_the_page_that_says_how_they_are_measured():
    pages = {
        "make soak": "docs/benchmark.rst",
        "python -m bench.forwarding": "docs/scaling.rst",
        "make bench": "",
    }
    for _, figures, command in table(SIZING, "sizing-figures"):
        if page := pages[command]:
            measured = " ".join((ROOT / page).read_text().split())
            assert command in measured
            for figure in re.findall(r"\d[\d.,]*\d(?: (?:KiB|MiB|ms|µs|%|s\b))?", figures):
                assert figure in measured, figure


def test_sizing_names_the_defaults():
    text = (ROOT / SIZING).read_text()
    defaults = load({}, {})
    for name, value in re.findall(r"``(\w+)`` \(([\d,]+(?: MiB)?)\)", text):
        number = int(value.removesuffix(" MiB").replace(",", ""))
        assert getattr(defaults, name) == (number << 20 if "MiB" in value else number)


def test_the_manifests_are_what_the_gateway_understands():
    shown = yaml.safe_load_all(snippet(KUBERNETES, "kubernetes-gateway").text)
    deployment, service, pods = shown
    pod = deployment["spec"]["template"]
    [container] = pod["spec"]["containers"]
    secrets = {
        "ROOMLINE_BROKER": "amqp://gateway:password@rabbitmq",
        "ROOMLINE_KEYS": f"1:{'x' * 32}",
        "ROOMLINE_CLUSTER_KEY": "x" * 32,
    }
    comment = re.search(r"# (ROOMLINE_.*)", snippet(KUBERNETES, "kubernetes-gateway").text)
    assert comment is not None
    assert comment[1].split(", ") == list(secrets)
    environment = {each["name"]: each.get("value", "") for each in container["env"]}
    assert environment.pop("POD_IP") == ""
    address = environment["ROOMLINE_CLUSTER_ADDRESS"].replace("$(POD_IP)", "10.1.2.3")
    settings = load({}, environment | secrets | {"ROOMLINE_CLUSTER_ADDRESS": address})

    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {
        "clients": settings.port,
        "internal": settings.internal_port,
        "cluster": int(settings.cluster_address.rpartition(":")[2]),
    }
    for each in (service, pods):
        assert each["spec"]["selector"] == pod["metadata"]["labels"]
        for port in each["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]
    for name, path in (("startup", "/readyz"), ("readiness", "/readyz"), ("liveness", "/healthz")):
        assert container[f"{name}Probe"]["httpGet"] == {"path": path, "port": "internal"}

    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["spec"]["terminationGracePeriodSeconds"] > waits + settings.drain
    user = re.search(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), re.M)
    assert user is not None
    assert pod["spec"]["securityContext"]["runAsUser"] == int(user[1])

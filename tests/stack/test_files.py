"""The compose files, Dockerfile and .env.example: they belong together, and give nothing away."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
CLUSTER = (ROOT / "docker-compose.cluster.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
OURS = sorted(set(SERVICES) - {"rabbitmq"})
LOOKING = ("prometheus", "grafana")


class Composed(yaml.SafeLoader):
    """YAML with the one tag of compose's own that is used here."""


Composed.add_constructor("!reset", lambda loader, node: loader.construct_sequence(node))
MEMBERS: dict[str, Any] = {
    name: found
    for name, found in yaml.load(CLUSTER, Composed)["services"].items()
    if name.startswith("rabbitmq")
}


def test_secrets_have_no_default_and_are_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{(\w+):\?", COMPOSE + CLUSTER))
    assert wanted == set(re.findall(r"^(\w+)=$", EXAMPLE, re.MULTILINE))
    assert all(re.search(r"PASSWORD|KEY|COOKIE|TOKEN", name) for name in wanted)


def test_other_variables_have_the_default_that_the_example_shows() -> None:
    shown = dict(re.findall(r"^#(\w+)=(.*)$", EXAMPLE, re.MULTILINE))
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE))
    assert shown == {
        name: value for name, value in defaults.items() if not name.startswith("ROOMLINE_")
    }


def test_secrets_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)
    script = ["sh", ROOT / "scripts" / "stack-secrets"]
    subprocess.run(script, cwd=tmp_path, check=True)
    made = (tmp_path / ".env").read_text()
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    values = dict(re.findall(r"^(\w+)=(.+)$", made, re.MULTILINE))
    assert set(values) == set(re.findall(r"^(\w+)=$", EXAMPLE, re.MULTILINE))
    assert len(set(values.values())) == len(values)
    assert all(len(value) >= 24 for value in values.values())
    assert re.fullmatch(r"1:[0-9a-f]{64}", values["ROOMLINE_KEYS"])
    subprocess.run(script, cwd=tmp_path, check=True)
    assert (tmp_path / ".env").read_text() == made


def test_nobody_commits_the_secrets() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert ".env" in ignored
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*", "only what is named"


@pytest.mark.parametrize("service", OURS)
def test_least_privilege(service: str) -> None:
    found = SERVICES[service]
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["mem_limit"]
    assert "privileged" not in found


def test_each_image_is_without_root() -> None:
    stages = dict(
        re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    )
    builds = [SERVICES[name]["build"]["target"] for name in OURS if "build" in SERVICES[name]]
    assert set(stages) - set(builds) == {"wheels", "python"}
    assert all("\nUSER 10001:10001\n" in stages[name] for name in builds)


def test_only_the_door_is_published_and_to_this_machine_what_operators_look_at() -> None:
    published = {name: found["ports"] for name, found in SERVICES.items() if "ports" in found}
    assert set(published) == {"proxy", "rabbitmq", "gateway", *LOOKING}
    assert published["gateway"] == ["127.0.0.1:${INSPECT_PORTS:-18002-18009}:8002"]
    assert all(published[name][0].startswith("127.0.0.1:") for name in LOOKING)
    assert published["rabbitmq"] == ["127.0.0.1:${CONSOLE_PORT:-15672}:15672"]
    assert published["proxy"] == ["${BIND_ADDRESS:-127.0.0.1}:${HTTP_PORT:-8080}:8080"]


def test_everything_starts_when_what_it_needs_is_healthy() -> None:
    for name, found in SERVICES.items():
        for needed, how in found.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, (name, needed)
            assert needed in SERVICES
    for name in ("rabbitmq", "gateway", "django", "proxy", *LOOKING):
        assert "healthcheck" in SERVICES[name], name


def test_a_gateway_has_time_to_drain() -> None:
    from roomline.config import Settings

    grace = int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().drain + 10


def test_the_gateways_believe_the_proxy_alone() -> None:
    address = SERVICES["proxy"]["networks"]["front"]["ipv4_address"]
    assert SERVICES["gateway"]["environment"]["ROOMLINE_TRUSTED_PROXIES"] == address


def test_versions_are_those_of_the_packages() -> None:
    version = tomllib.loads((ROOT / "gateway" / "pyproject.toml").read_text())["project"]["version"]
    assert set(re.findall(r"ROOMLINE_VERSION:-([0-9.]+)", COMPOSE)) == {version}
    assert set(re.findall(r"^ARG VERSION=(.*)$", DOCKERFILE, re.MULTILINE)) == {version}


def test_the_proxy_sticks_to_nobody_and_holds_nothing_back() -> None:
    text = (ROOT / "proxy" / "nginx.conf").read_text()
    endpoint = text[text.index("location /live/") : text.index("location /static/")]
    assert "proxy_buffering off;" in endpoint
    assert "Upgrade           $http_upgrade;" in endpoint
    assert not re.search(r"\b(ip_hash|hash|sticky)\b", text)


def test_what_looks_at_figures_is_asked_for_pinned_and_has_the_files() -> None:
    for name in LOOKING:
        assert SERVICES[name]["profiles"] == ["observability"]
        assert re.fullmatch(r"\S+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])
        for source in SERVICES[name]["volumes"]:
            if source.startswith("./"):
                assert (ROOT / source.split(":")[0]).exists(), source
                assert source.endswith(":ro")
    folder = ROOT / "observability" / "grafana" / "provisioning"
    [source] = yaml.safe_load((folder / "datasources" / "roomline.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [shown] = yaml.safe_load((folder / "dashboards" / "roomline.yml").read_text())["providers"]
    mounted = [source.split(":")[1] for source in SERVICES["grafana"]["volumes"]]
    assert shown["options"]["path"] in mounted


def test_prometheus_asks_for_services_that_are_there() -> None:
    asked = yaml.safe_load((ROOT / "observability" / "prometheus.yml").read_text())
    names = [job["dns_sd_configs"][0]["names"][0] for job in asked["scrape_configs"]]
    [alias] = SERVICES["rabbitmq"]["networks"]["back"]["aliases"]
    assert names == ["gateway", alias]


def test_every_member_of_the_cluster_is_a_node_that_clients_and_the_others_find() -> None:
    configuration = (ROOT / "rabbitmq" / "cluster.conf").read_text()
    nodes = re.findall(r"classic_config\.nodes\.\d = rabbit@(\w+)$", configuration, re.MULTILINE)
    assert nodes == list(MEMBERS)
    assert f"\ncluster_formation.target_cluster_size_hint = {len(MEMBERS)}\n" in configuration
    [alias] = SERVICES["rabbitmq"]["networks"]["back"]["aliases"]
    for text in (
        SERVICES["gateway"]["environment"]["ROOMLINE_BROKER"],
        SERVICES["django"]["environment"]["DJANGO_BROKER"],
    ):
        assert text.endswith(f"@{alias}:5672")
    for name, found in MEMBERS.items():
        assert found["networks"]["back"]["aliases"] == [alias]
        assert found["environment"]["ERLANG_COOKIE"]
        assert found.get("hostname", SERVICES[name]["hostname"] if name in SERVICES else "") == name
        assert any(source.startswith("./rabbitmq/cluster.conf:") for source in found["volumes"])
        if name != "rabbitmq":
            assert found["ports"] == [], "the console is the first one's"
            assert found["volumes"][0] == f"{name}:/var/lib/rabbitmq"


@pytest.mark.parametrize("service", ["gateway", "django"])
def test_clients_start_when_the_whole_cluster_is_healthy(service: str) -> None:
    """Then the definitions have been imported."""
    waits = yaml.load(CLUSTER, Composed)["services"][service]["depends_on"]
    waits |= SERVICES[service]["depends_on"]
    assert waits == {name: {"condition": "service_healthy"} for name in MEMBERS}

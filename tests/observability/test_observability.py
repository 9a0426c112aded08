"""observability/: Prometheus takes its files, and what they ask for is what nodes say."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from roomline.client import BlockingClient

from tests.docs.pages import table
from tests.support.gateway import Gateway
from tests.support.rabbitmq import RabbitMQNode, free_port, rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]

FOLDER = Path(__file__).parents[2] / "observability"
DASHBOARD = FOLDER / "grafana" / "dashboards" / "roomline.json"
CASES = Path(__file__).parent / "alerts_test.yml"

_METRIC = re.compile(r"\b(?:roomline|rabbitmq|process)_\w+|\bup\b")
_QUOTED = re.compile(r'"[^"]*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring) *\([^)]*\)")


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    shown = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in shown if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Every expression by the alert or the panel that it belongs to."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def names_in(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    return set(_METRIC.findall(_GROUPING.sub("", _QUOTED.sub('""', expression))))


def test_every_alert_has_a_line_that_says_what_to_do():
    documented = table("docs/metrics.rst", "alerts")
    assert [row[0] for row in documented] == [rule["alert"] for rule in rules()]
    assert all(len(row[1]) > 40 for row in documented)


def test_every_alert_is_tried():
    cases = yaml.safe_load(CASES.read_text())["tests"]
    tried = [
        (check["alertname"], bool(check.get("exp_alerts")))
        for case in cases
        for check in case.get("alert_rule_test", [])
    ]
    for rule in rules():
        assert (rule["alert"], True) in tried
        assert (rule["alert"], False) in tried


def test_panels_have_names_of_their_own_and_do_not_overlap():
    everything = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({panel["title"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells


def test_grafana_is_told_of_the_source_that_prometheus_is():
    [source] = yaml.safe_load(
        (FOLDER / "grafana/provisioning/datasources/roomline.yml").read_text()
    )["datasources"]
    assert source["type"] == "prometheus"
    [provider] = yaml.safe_load(
        (FOLDER / "grafana/provisioning/dashboards/roomline.yml").read_text()
    )["providers"]
    assert f"``{provider['options']['path']}``" in (
        FOLDER.parent / "docs/metrics.rst"
    ).read_text().replace("\n    ", " ")


@pytest.mark.slow
def test_prometheus_takes_the_configuration_and_the_rules():
    said = promtool("check", "config", "prometheus.yml", folder=FOLDER)
    assert f"{len(rules())} rules found" in said


@pytest.mark.slow
def test_each_alert_comes_when_it_should(tmp_path: Path):
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    shutil.copy(CASES, tmp_path)
    promtool("test", "rules", CASES.name, folder=tmp_path)


@pytest.fixture
def gateway(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> Iterator[Gateway]:
    gateway = Gateway(rabbitmq.url(vhost=rabbitmq_vhost))
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.close()


def test_everything_asked_for_is_there_and_answers(
    rabbitmq: RabbitMQNode, gateway: Gateway, tmp_path: Path
):
    """A real Prometheus, with the repository's files, reads a real node and a real RabbitMQ."""
    broker = f"127.0.0.1:{rabbitmq.metrics_port}"
    node = gateway.internal.removeprefix("http://")
    with BlockingClient(gateway.url) as client:
        client.subscribe("chat.a")
        client.publish("chat.a", 1)
        with prometheus(tmp_path, {"roomline": node, "rabbitmq": broker}) as url:
            there = {"up"} | names_said_by(node) | names_said_by(broker)
            for title, expression in queries():
                assert names_in(expression), title
                assert names_in(expression) <= there, title
                ask(url, expression)
            [up] = ask(url, 'up{job="roomline"}')
            assert up["value"][1] == "1"
            [lag] = ask(url, "roomline_delivery_lag_seconds_count")
            assert lag["value"][1] == "1"
            assert len(ask(url, "roomline_broker_reconnects_total")) == 3
            alerts = get(f"{url}/api/v1/rules")["groups"]
            taken = {rule["name"] for group in alerts for rule in group["rules"]}
            assert taken == {rule["alert"] for rule in rules()}
            assert not any(rule.get("lastError") for group in alerts for rule in group["rules"])


def names_said_by(address: str) -> set[str]:
    """The names under which samples of a scrape are, or would be if there were any."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    suffixes = {
        "counter": ["_total"],
        "histogram": ["_bucket", "_count", "_sum"],
        "info": ["_info"],
    }
    said = set()
    for family in text_string_to_metric_families(text):
        said |= {sample.name for sample in family.samples}
        said |= {family.name + suffix for suffix in suffixes.get(family.type, [""])}
    return said


@contextmanager
def prometheus(folder: Path, targets: dict[str, str]) -> Iterator[str]:
    """The address of a Prometheus that has scraped these, with the repository's configuration."""
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    configuration["global"]["scrape_interval"] = "1s"
    configured = {job["job_name"]: job for job in configuration["scrape_configs"]}
    assert configured.keys() == targets.keys()
    for name, job in configured.items():
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [targets[name]]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    shutil.copy(FOLDER / "alerts.yml", folder)
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        *("setpriv", "--pdeathsig", "KILL", "prometheus", "--config.file=prometheus.yml"),
        *("--storage.tsdb.path=data", f"--web.listen-address={url.removeprefix('http://')}"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not has_scraped(url, len(targets)):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait(20)


def has_scraped(url: str, targets: int) -> bool:
    try:
        found = ask(url, "count(up == 1) == 2")
    except OSError:
        return False
    return bool(found) and found[0]["value"][1] == str(targets)


def ask(url: str, expression: str) -> Any:
    """What Prometheus says to an expression of the dashboard or an alert."""
    expression = expression.replace("$node", ".*").replace("$__rate_interval", "1m")
    query = urllib.parse.urlencode({"query": expression})
    return get(f"{url}/api/v1/query?{query}")["result"]


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:
        said = json.load(answer)
    assert said["status"] == "success", said
    return said["data"]


def promtool(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout

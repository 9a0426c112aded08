"""roomline.http.metrics: every metric is documented, and says what it should."""

import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from roomline.http.metrics import NodeCollector
from roomline.node import Node

from tests.http.conftest import Api, Serve

ROOT = Path(__file__).parents[2]


class Link:
    """A connection that reads everything at once."""

    transport = "xhr-streaming"
    address = "127.0.0.1"

    def flush(self) -> None:
        self.peer.outbox.take()

    def close(self, code: int, reason: str) -> None:
        self.peer.gone()

    def open(self, node: Node) -> None:
        self.peer = node.open(self)


async def samples(api: Api) -> dict[str, float]:
    """Every sample by its name with its labels, as Prometheus reads them."""
    answer = await api.request("GET", "/metrics", token=None)
    assert answer.code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


async def test_what_a_session_does_is_counted(api: Api) -> None:
    before = await samples(api)
    assert before["roomline_ready"] == 1
    assert before["roomline_log_offset"] == -1
    link = Link()
    link.open(api.node)
    client = "c" * 32
    link.peer.receive(f'{{"id":1,"type":"connect","version":1,"client":"{client}"}}')
    link.peer.receive('{"id":2,"type":"subscribe","room":"system.notices","since":"x"}')
    link.peer.receive('{"id":3,"type":"subscribe","room":"nowhere.a"}')
    await api.publish("system.notices", {"data": 1})
    while api.node.counters.entries < 1:
        await api.request("GET", "/healthz")
    after = await samples(api)
    assert after["roomline_sessions[xhr-streaming]"] == 1
    assert after["roomline_sessions_opened_total[xhr-streaming]"] == 1
    assert after["roomline_subscriptions"] == 1
    assert after["roomline_commands_total[connect]"] == 1
    assert after["roomline_commands_total[subscribe]"] == 2
    assert after["roomline_errors_total[room_unknown]"] == 1
    assert after["roomline_recoveries_total[malformed]"] == 1
    assert after["roomline_publishes_total[confirmed]"] == 1
    assert after["roomline_log_entries_total"] == 1
    assert after["roomline_pushes_total"] == 1
    assert after["roomline_rooms"] == 1
    assert after["roomline_history_bytes"] > 0
    assert after["roomline_log_offset"] > before["roomline_log_offset"]
    assert after["roomline_outbox_bytes"] >= 0
    await api.node.drain(0)
    gone = await samples(api)
    assert gone["roomline_ready"] == 0
    assert "roomline_sessions[xhr-streaming]" not in gone
    assert gone["roomline_disconnects_total[3001]"] == 1


async def test_the_process_is_measured_too(api: Api) -> None:
    assert (await samples(api))["process_resident_memory_bytes"] > 0


async def test_the_name_and_version_of_the_node(api: Api) -> None:
    answer = await api.request("GET", "/metrics")
    assert b'roomline_node_info{name="node-1",version="' in answer.body


async def test_openmetrics_for_those_who_ask(api: Api) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    answer = await api.request("GET", "/metrics", headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


async def test_two_nodes_in_a_process_do_not_share_counts(serve: Serve) -> None:
    one, other = serve(), serve()
    one.node.counters.pushes = 7
    assert (await samples(other))["roomline_pushes_total"] == 0


def names(node: Node) -> Iterator[str]:
    suffixes = {"counter": "_total", "info": "_info"}
    for metric in NodeCollector(node).collect():
        yield metric.name + suffixes.get(metric.type, "")


async def test_every_metric_is_documented_and_nothing_else(serve: Serve) -> None:
    text = (ROOT / "docs/metrics.rst").read_text()
    documented = re.findall(r"\* - ``(\w+)``\n", text)
    assert documented == list(names(serve().node))


async def test_every_counter_of_a_node_is_exposed(serve: Serve) -> None:
    """Fill each counter with a value of its own and find it again."""
    api = serve()
    expected = set()
    for number, (name, value) in enumerate(sorted(vars(api.node.counters).items()), 1000):
        if isinstance(value, int):
            setattr(api.node.counters, name, number)
        else:
            value["x"] = number
        expected.add(float(number))
    assert expected <= set((await samples(api)).values())

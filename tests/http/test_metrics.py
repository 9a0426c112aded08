"""roomline.http.metrics: every metric is documented, and says what it should."""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from roomline.broker import PublishUnconfirmed
from roomline.brokers.embedded import EmbeddedBroker
from roomline.core.counters import Histogram
from roomline.http.metrics import NodeCollector
from roomline.node import Node
from roomline.sqlitelog import PUBLISHER
from roomline.wire import Envelope

from tests.docs.pages import snippet, table
from tests.http.conftest import Api, Serve


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


async def test_transports_that_failed_clients_are_counted_once_they_connect(api: Api) -> None:
    link = Link()
    link.open(api.node)
    tried = '[{"transport":"websocket","reason":"unanswered","ms":4000}]'
    connect = f'"type":"connect","version":1,"transport":{{"tried":{tried},"ms":4250}}'
    link.peer.receive(f'{{"id":1,{connect},"client":"nobody"}}')
    link.peer.receive(f'{{"id":2,{connect}}}')
    link.peer.receive(f'{{"id":3,{connect}}}')
    counted = await samples(api)
    assert counted["roomline_transport_failures_total[unanswered][websocket]"] == 1
    assert counted["roomline_transport_failure_seconds_total[unanswered][websocket]"] == 4


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


async def test_the_lag_is_that_of_publications_with_a_time_since_the_node_reads_along(
    serve: Serve,
) -> None:
    api = serve()
    node = api.node

    def published(room: str, body: bytes, **stated: Any) -> Envelope:
        return Envelope(room, body, publisher=PUBLISHER, **stated)

    node.deliver(0, 1, published("system.notices", b"1", time=1000))  # from before it was there
    node.caught_up()
    now = int(time.time() * 1000)
    node.deliver(0, 2, published("system.notices", b"2", message_id="b", time=now - 3000))
    node.deliver(0, 3, published("system.notices", b"2", message_id="b", time=now - 3000))
    node.deliver(0, 4, published("system.notices", b"3"))
    node.deliver(0, 5, published("nowhere.at.all", b"4", time=now - 3000))
    node.deliver(0, 6, published("system.notices", b"5", time=now + 60_000))
    # Typed by hand: whatever it says.
    node.deliver(0, 7, Envelope("system.notices", b"5", publisher="ops", time=1000))
    node.cut_off("as a test wants it")
    node.deliver(0, 8, published("system.notices", b"6", time=now - 90_000))
    said = await samples(api)
    counts = {
        name: value
        for name, value in said.items()
        if name.startswith("roomline_delivery_lag_seconds_bucket")
    }
    assert list(counts.values()) == [*[1] * 10, 1, 2, 2, 2, 3, 3]
    assert said["roomline_delivery_lag_seconds_count"] == 3
    assert 93 <= said["roomline_delivery_lag_seconds_sum"] < 120
    await node.start()  # what the fixture closes has been started


async def test_how_long_a_log_has_not_been_read_to_its_end(serve: Serve) -> None:
    api = serve()
    behind = "roomline_behind_seconds"
    at_first = await samples(api)
    assert at_first[f"{behind}[rooms]"] > 0
    assert at_first[f"{behind}[control]"] > 0
    api.node.caught_up()
    assert (await samples(api))[f"{behind}[rooms]"] == 0
    api.node.cut_off("as a test wants it")
    once = await samples(api)
    api.node.cut_off("still")
    again = await samples(api)
    assert 0 < once[f"{behind}[rooms]"] < again[f"{behind}[rooms]"]
    assert at_first[f"{behind}[control]"] < again[f"{behind}[control]"]
    await api.node.start()


async def test_what_waits_for_the_broker(serve: Serve) -> None:
    waiting: list[asyncio.Future[None]] = []

    class Silent(EmbeddedBroker):
        def publish(self, envelope: Envelope) -> "asyncio.Future[None]":
            waiting.append(asyncio.get_running_loop().create_future())
            return waiting[-1]

    api = serve(broker_class=Silent)
    for _ in range(2):
        api.node.publish(Envelope("system.notices", b"1"))
    assert (await samples(api))["roomline_unconfirmed"] == 2
    waiting[0].set_result(None)
    waiting[1].set_exception(PublishUnconfirmed("nobody answers"))
    said = await samples(api)
    assert said["roomline_unconfirmed"] == 0
    assert said["roomline_publishes_total[unconfirmed]"] == 1
    await api.node.start()


async def test_every_metric_is_documented_and_nothing_else(serve: Serve) -> None:
    documented = [row[0] for row in table("docs/metrics.rst", "metrics")]
    assert documented == list(names(serve().node))


async def test_labels_and_buckets_are_documented(serve: Serve) -> None:
    node = serve().node
    for value in vars(node.counters).values():
        if isinstance(value, dict):
            value["xy"] = 1  # by one label, or as good as any pair for two
    node._broker.reconnects = {"publisher": 1}
    peer = Link()
    peer.open(node)
    rows = {row[0]: row[2] for row in table("docs/metrics.rst", "metrics")}
    for metric, name in zip(NodeCollector(node).collect(), names(node), strict=True):
        assert metric.samples, f"{name} has no samples here, so its labels were not looked at"
        labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
        for label in labels:
            assert re.search(rf"\b{label}\b", rows[name]), f"{name} by {label}"
        buckets = [sample.labels["le"] for sample in metric.samples if "le" in sample.labels]
        if buckets:
            assert snippet("docs/metrics.rst", "lag-buckets").text.split() == buckets[:-1]
            assert buckets[-1] == "+Inf"


async def test_every_counter_of_a_node_is_exposed(serve: Serve) -> None:
    """Fill each counter with a value of its own and find it again."""
    api = serve()
    expected = set()
    for number, (name, value) in enumerate(sorted(vars(api.node.counters).items()), 1000):
        if isinstance(value, int):
            setattr(api.node.counters, name, number)
        elif isinstance(value, Histogram):
            value.observe(float(number))
        else:
            value["x"] = number
        expected.add(float(number))
    assert expected <= set((await samples(api)).values())

"""``/metrics``: what a node counts, under the names that docs/metrics.rst documents."""

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from roomline import __version__
from roomline.core.counters import Histogram
from roomline.http.handler import Handler
from roomline.node import Node


class NodeCollector(Collector):
    """Reads a node's counters and state when they are asked for, so that counting costs nothing."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        yield from self._state()
        yield from self._totals()

    def _state(self) -> Iterator[Metric]:
        node = self._node
        by_transport = Counter(live.link.transport for live in node.sessions)
        subscriptions = sum(len(live.session.subscriptions) for live in node.sessions)
        waiting = sum(live.outbox.size for live in node.sessions)
        yield InfoMetricFamily(
            "roomline_node",
            "The node's name and version",
            value={"name": node.name, "version": __version__},
        )
        yield GaugeMetricFamily(
            "roomline_ready", "1 if the node should be sent clients, else 0", value=node.ready
        )
        yield _labelled(
            GaugeMetricFamily("roomline_sessions", "Sessions held now", labels=["transport"]),
            by_transport,
        )
        yield GaugeMetricFamily(
            "roomline_subscriptions", "Subscriptions held now", value=subscriptions
        )
        yield GaugeMetricFamily(
            "roomline_held_responses", "Held responses that wait in a room", value=len(node.guests)
        )
        yield GaugeMetricFamily(
            "roomline_outbox_bytes", "What waits to be written to clients", value=waiting
        )
        yield GaugeMetricFamily("roomline_rooms", "Rooms known", value=len(node.rooms))
        yield GaugeMetricFamily(
            "roomline_history_bytes", "Memory of the histories of all rooms", value=node.rooms.cost
        )
        yield GaugeMetricFamily(
            "roomline_nodes", "Nodes known, this one included", value=node.counters.nodes
        )
        yield GaugeMetricFamily(
            "roomline_log_offset",
            "Offset of the last log entry read, -1 before the first",
            value=node.rooms.index.last.offset,
        )
        yield _labelled(
            GaugeMetricFamily(
                "roomline_behind_seconds",
                "For how long a log has not been known to be read to its end",
                labels=["log"],
            ),
            node.readings.behind,
        )
        yield GaugeMetricFamily(
            "roomline_unconfirmed",
            "Publications that the broker has not answered yet",
            value=node.unconfirmed,
        )

    def _totals(self) -> Iterator[Metric]:
        counters = self._node.counters
        for name, text, label, values in (
            ("sessions_opened", "Sessions opened", "transport", counters.sessions_opened),
            ("disconnects", "Closes that the gateway decided", "code", counters.disconnects),
            ("refused", "Connections and sessions turned away", "reason", counters.refused),
            ("commands", "Commands received", "type", counters.commands),
            ("errors", "Error replies", "code", counters.errors),
            ("recoveries", "Subscribes with a position", "outcome", counters.recoveries),
            ("held_ended", "Held responses that have ended", "outcome", counters.held),
            ("upstream_requests", "Requests handed to the upstream", "outcome", counters.upstream),
            ("forwarded", "Requests handed to other nodes", "outcome", counters.forwarded),
            ("publishes", "Publications handed to the broker", "outcome", counters.publishes),
            ("requests", "Requests, by what became of them", "outcome", counters.requests),
            (
                "broker_reconnects",
                "Connections to the broker that were made again",
                "connection",
                self._node.reconnects,
            ),
        ):
            yield _labelled(CounterMetricFamily(f"roomline_{name}", text, labels=[label]), values)
        labels = ["transport", "reason"]
        for name, text, pairs in (
            ("failures", "Transports that clients do not use", counters.transport_failures),
            (
                "failure_seconds",
                "How long it took clients to find out",
                counters.transport_failure_seconds,
            ),
        ):
            family = CounterMetricFamily(f"roomline_transport_{name}", text, labels=labels)
            for pair, value in pairs.items():
                family.add_metric(list(pair), value)
            yield family
        for name, text, value in (
            ("log_entries", "Log entries read", counters.entries),
            ("log_repeats", "Log entries dropped: repeats, or no namespace", counters.repeats),
            ("pushes", "Publications queued to sessions", counters.pushes),
            ("cut_offs", "How often the log could not be read any more", counters.cut_offs),
            (
                "sent_elsewhere",
                "How often clients were sent elsewhere because this node could not read",
                counters.sent_elsewhere,
            ),
            ("log_resets", "How often the log turned out to be another one", counters.log_resets),
            ("restarts", "How often the process was started again", counters.restarts),
            ("revocations", "Revocations read that were new", self._node.control.read),
        ):
            yield CounterMetricFamily(f"roomline_{name}", text, value=value)
        yield _histogram(
            "roomline_delivery_lag_seconds",
            "From a publication's own time until it was queued to its room's sessions",
            counters.delivery_lag,
        )


def _labelled(
    family: CounterMetricFamily | GaugeMetricFamily,
    values: Mapping[str, int] | Mapping[int, int] | Mapping[str, float],
) -> Metric:
    for label, value in values.items():
        family.add_metric([str(label)], value)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    bounds = [*map(str, histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, map(float, histogram.cumulative), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.sum)


def registry(node: Node) -> CollectorRegistry:
    """A registry of its own for one node: nothing is kept in the process."""
    collectors = CollectorRegistry()
    collectors.register(NodeCollector(node))
    ProcessCollector(registry=collectors)
    PlatformCollector(registry=collectors)
    GCCollector(registry=collectors)
    return collectors


class Metrics(Handler):
    """``/metrics`` in the format that the scraper asks for."""

    def initialize(self, collectors: CollectorRegistry) -> None:
        self._collectors = collectors

    def get(self) -> None:
        encode, content_type = choose_encoder(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.finish(encode(self._collectors))

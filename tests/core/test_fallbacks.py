"""roomline.core.fallbacks: what clients say becomes labels of fixed sets."""

import re
from pathlib import Path

import pytest
from roomline.core.counters import Counters
from roomline.core.fallbacks import OTHER, REASONS, SOCKJS_TRANSPORTS, labels, seconds
from roomline.core.messages import TransportReport, TransportTrial

CLIENT = (Path(__file__).parents[2] / "js-client" / "src" / "fallback.ts").read_text()


def trial(transport: str = "websocket", reason: str = "cut", ms: int = 1500) -> TransportTrial:
    return TransportTrial(transport=transport, reason=reason, ms=ms)


@pytest.mark.parametrize(
    ("reported", "counted"),
    [
        (trial(), ("websocket", "cut")),
        (trial("xhr-streaming", "remembered"), ("xhr-streaming", "remembered")),
        (trial("pigeon"), (OTHER, "cut")),
        (trial(reason='x",a="'), ("websocket", OTHER)),
    ],
)
def test_only_known_words_become_labels(reported: TransportTrial, counted: tuple[str, str]) -> None:
    assert labels(reported) == counted


def test_no_client_can_report_more_than_an_hour() -> None:
    assert seconds(trial(ms=1500)) == 1.5
    assert seconds(trial(ms=2**53 - 1)) == 3600


def test_a_report_is_counted_trial_by_trial() -> None:
    counters = Counters()
    report = TransportReport(tried=[trial(), trial(ms=500), trial("eventsource", "late")], ms=9000)
    counters.count_transports(report)
    assert counters.transport_failures == {("websocket", "cut"): 2, ("eventsource", "late"): 1}
    assert counters.transport_failure_seconds[("websocket", "cut")] == 2


def test_however_many_words_clients_invent_the_labels_stay_few() -> None:
    counters = Counters()
    for number in range(1000):
        tried = [trial(f"t{number}", f"r{number}")]
        counters.count_transports(TransportReport(tried=tried, ms=0))
    assert counters.transport_failures == {(OTHER, OTHER): 1000}


def test_the_client_uses_these_words_and_no_others() -> None:
    families = CLIENT[CLIENT.index("const FAMILIES") : CLIENT.index("];\n")]
    reasons = CLIENT[CLIENT.index("export type TransportReason") :].partition(";")[0]
    assert set(re.findall(r'"([\w-]+)"', families)) == SOCKJS_TRANSPORTS
    assert set(re.findall(r'"(\w+)"', reasons)) == REASONS

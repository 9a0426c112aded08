"""Where to go on reading, and when all has been read. Values only."""

from datetime import UTC, datetime

import pytest
from roomline.brokers.progress import STEPS_BEFORE_LEAPS, CatchUp, Entry, Progress
from roomline.wire import Envelope

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def entry(offset: int, body: bytes = b"") -> Entry:
    return Entry(offset, Envelope("chat.lobby", body))


@pytest.mark.parametrize("start", ["first", "next", 17, MOMENT])
def test_until_something_was_delivered_reading_begins_where_it_was_asked_to(start):
    progress = Progress(start)
    assert progress.next == start
    progress.delivered(entry(40))
    assert progress.next == 41


@pytest.mark.parametrize(
    ("start", "lacking"),
    [("first", True), (16, True), (17, True), (18, False), ("next", False), (MOMENT, False)],
)
def test_an_entry_that_should_have_come(start, lacking: bool):
    progress = Progress(start)
    assert progress.lacks(17) is lacking
    progress.delivered(entry(20))
    assert not progress.lacks(20)
    assert progress.lacks(21)


def test_the_same_entry_in_its_place_is_proof():
    progress = Progress("first")
    progress.delivered(entry(5, b"five"))
    assert progress.proof(entry(5, b"five")) is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, "ends before offset 5"),
        (entry(5, b"other"), "another entry"),
        (entry(9, b"five"), "gone: 9"),
        (entry(2, b"five"), "gone: 2"),
    ],
)
def test_anything_else_is_history_lost(found: Entry | None, reason: str):
    progress = Progress("next")
    progress.delivered(entry(5, b"five"))
    said = progress.proof(found)
    assert said is not None
    assert reason in said
    progress.restart()
    assert progress.next == "first"


def test_steps_go_past_the_entry_behind_the_last():
    progress = Progress("first")
    progress.delivered(entry(5))
    assert progress.step() == progress.next == 7
    assert progress.step() == progress.next == 8
    assert not progress.passes(7)
    assert progress.passes(8)
    progress.delivered(entry(8))
    assert progress.next == 9
    assert not progress.passes(9)


def test_steps_from_a_stated_offset():
    progress = Progress(100_000)
    assert [progress.step() for _ in range(200)][-1] == 100_200


def test_steps_into_the_unknown_become_leaps():
    progress = Progress("first")
    steps = [progress.step() for _ in range(STEPS_BEFORE_LEAPS + 40)]
    assert steps[:STEPS_BEFORE_LEAPS] == list(range(1, STEPS_BEFORE_LEAPS + 1))
    assert steps == sorted(set(steps))
    assert steps[-1] > 10**9


def test_caught_up_after_a_pause_behind_the_last_chunks_start():
    catch_up = CatchUp("first", pause=0.2, silence=2.0, since=0.0, end=50)
    assert not catch_up.done(10, 0.1)
    assert not catch_up.done(10, 1.0), "silent, but the end is further"
    assert not catch_up.done(10, 9.0), "however long"
    assert not catch_up.done(50, 9.1)
    assert not catch_up.done(60, 9.2), "the rest of the chunk"
    assert not catch_up.done(60, 9.39)
    assert catch_up.done(60, 9.41)


def test_caught_up_with_what_was_appended_since():
    catch_up = CatchUp("first", pause=0.2, silence=2.0, since=0.0, end=50)
    assert not catch_up.done(69, 0.1)
    catch_up.appended = 70
    assert not catch_up.done(69, 0.1)
    assert catch_up.done(70, 0.1)


def test_caught_up_with_an_empty_log_after_a_silence():
    catch_up = CatchUp("first", pause=0.2, silence=2.0, since=10.0)
    assert not catch_up.done(None, 11.9)
    assert catch_up.done(None, 12.1)


def test_resumed_at_the_end_a_pause_is_enough():
    catch_up = CatchUp("first", pause=0.2, silence=2.0, since=10.0, end=50)
    assert not catch_up.done(55, 10.0)
    assert catch_up.done(55, 10.25)


@pytest.mark.parametrize("start", ["first", 17, 50])
def test_an_end_that_must_come_is_waited_for_in_whatever_silence(start):
    catch_up = CatchUp(start, pause=0.2, silence=2.0, since=0.0, end=50)
    assert not catch_up.done(None, 1000.0)
    assert catch_up.silent(1000.0)
    assert not catch_up.done(50, 1000.1)
    assert not catch_up.silent(1000.1)
    assert catch_up.done(50, 1000.4)


@pytest.mark.parametrize("start", [51, MOMENT])
def test_an_end_that_may_be_before_the_start_is_not_waited_for(start):
    catch_up = CatchUp(start, pause=0.2, silence=2.0, since=0.0, end=50)
    assert not catch_up.done(None, 1.9)
    assert catch_up.done(None, 2.1)
    catch_up = CatchUp(start, pause=0.2, silence=2.0, since=0.0, end=70)
    assert not catch_up.done(60, 1.0)
    assert not catch_up.done(60, 1000.0), "but now it is known to be behind"

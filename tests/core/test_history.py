"""roomline.core.history"""

from hypothesis import given
from hypothesis import strategies as st
from roomline.core.history import History, Publication
from roomline.core.outbox import Encoded


def publication(offset: int, time: float = 0.0) -> Publication:
    return Publication(offset, f"0.{offset}.000000000000", time, Encoded("x" * (offset % 50)))


def offsets(items: list[Publication] | None) -> list[int] | None:
    return None if items is None else [item.offset for item in items]


def filled(count: int, limit: int = 100) -> History:
    history = History(limit, 3600)
    for offset in range(count):
        history.append(publication(offset))
    return history


def test_since_gives_what_came_after() -> None:
    assert offsets(filled(5).since(2)) == [3, 4]
    assert offsets(filled(5).since(4)) == []
    assert offsets(filled(5).since(-1)) == [0, 1, 2, 3, 4]


def test_since_refuses_when_something_after_it_is_gone() -> None:
    history = filled(10, limit=4)
    assert history.evicted == 5
    assert history.since(4) is None
    assert offsets(history.since(5)) == [6, 7, 8, 9]


def test_latest() -> None:
    assert offsets(filled(5).latest(2)) == [3, 4]
    assert offsets(filled(2).latest(5)) == [0, 1]
    assert offsets(filled(2).latest(0)) == []


def test_age() -> None:
    history = History(100, max_age=10)
    for offset in range(5):
        history.append(publication(offset, time=offset))
    history.expire(now=12)
    assert offsets(history.latest(9)) == [2, 3, 4]
    assert history.since(0) is None


def test_limit_of_zero_keeps_nothing_and_proves_nothing() -> None:
    history = filled(3, limit=0)
    assert len(history) == 0
    assert history.cost == 0
    assert history.since(1) is None
    assert offsets(history.since(2)) == []


@given(st.lists(st.integers(0, 40)), st.integers(0, 20), st.integers(0, 50_000))
def test_cost_is_the_sum_of_what_is_held(steps: list[int], limit: int, shrink_to: int) -> None:
    history = History(limit, 3600)
    offset = 0
    for step in steps:
        offset += step + 1
        history.append(publication(offset))
    history.shrink(shrink_to)
    held = history.latest(1000)
    assert history.cost == sum(item.cost for item in held)
    assert history.cost <= shrink_to

"""roomline.core.deadlines"""

import math

from roomline.core.deadlines import Deadlines


class Item:
    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline
        self.watched = math.inf
        self.closed = False


def test_due_in_order_and_once() -> None:
    deadlines: Deadlines[Item] = Deadlines()
    late, soon, never = Item(20), Item(10), Item(None)
    for item in (late, soon, never):
        deadlines.watch(item)
    assert deadlines.due(9) == []
    assert deadlines.due(30) == [soon, late]
    assert deadlines.due(30) == []


def test_a_deadline_that_came_closer() -> None:
    deadlines: Deadlines[Item] = Deadlines()
    item = Item(20)
    deadlines.watch(item)
    item.deadline = 10
    deadlines.watch(item)
    assert deadlines.due(10) == [item]


def test_a_deadline_that_moved_away_is_looked_at_early_and_watched_again() -> None:
    deadlines: Deadlines[Item] = Deadlines()
    item = Item(10)
    deadlines.watch(item)
    item.deadline = 20
    deadlines.watch(item)
    assert deadlines.due(10) == [item]
    deadlines.watch(item)
    assert deadlines.due(19) == []
    assert item in deadlines.due(20)


def test_the_closed_are_forgotten() -> None:
    deadlines: Deadlines[Item] = Deadlines()
    for _ in range(5000):
        item = Item(1e9)
        deadlines.watch(item)
        item.closed = True
    assert len(deadlines._heap) <= 1001
    assert deadlines.due(2e9) == []


def test_equal_deadlines_are_never_compared_further() -> None:
    deadlines: Deadlines[Item] = Deadlines()
    items = [Item(5) for _ in range(10)]
    for item in items:
        deadlines.watch(item)
    assert deadlines.due(5) == items

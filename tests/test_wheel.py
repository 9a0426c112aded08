"""Many deadlines on one timer."""

import asyncio
import logging
from collections.abc import Iterator

import pytest
from roomline.wheel import Wheel

pytestmark = pytest.mark.timeout(10)


class Item:
    """Notes when it was due."""

    def __init__(self, due: float = 0.0) -> None:
        self.due = due
        self.slot: int | None = None
        self.served: list[float] = []

    def on_due(self, now: float) -> None:
        self.served.append(now)


@pytest.fixture
async def wheel() -> Iterator[Wheel]:  # type: ignore[misc]
    wheel = Wheel(0.01)
    yield wheel
    wheel.close()


def after(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_deadlines_are_served_in_time_and_once(wheel: Wheel) -> None:
    items = [Item(after(delay)) for delay in (0.0, 0.03, 0.06, 0.1)]
    for item in items:
        wheel.watch(item)
    assert len(wheel) == 4
    await asyncio.sleep(0.25)
    for item in items:
        [served] = item.served
        assert item.due <= served
        assert item.slot is None
    assert len(wheel) == 0


async def test_a_deadline_can_be_put_off_without_telling(wheel: Wheel) -> None:
    item = Item(after(0.03))
    wheel.watch(item)
    item.due = after(0.15)
    wheel.watch(item)
    await asyncio.sleep(0.1)
    assert item.served == []
    await asyncio.sleep(0.15)
    assert len(item.served) == 1


async def test_a_deadline_can_be_advanced(wheel: Wheel) -> None:
    item = Item(after(100))
    wheel.watch(item)
    item.due = after(0.02)
    wheel.watch(item)
    assert len(wheel) == 1
    await asyncio.sleep(0.15)
    assert len(item.served) == 1


async def test_a_forgotten_deadline_is_not_served(wheel: Wheel) -> None:
    kept, forgotten = Item(after(0.02)), Item(after(0.02))
    wheel.watch(kept)
    wheel.watch(forgotten)
    wheel.forget(forgotten)
    wheel.forget(forgotten)
    await asyncio.sleep(0.1)
    assert (len(kept.served), len(forgotten.served)) == (1, 0)


async def test_one_that_is_served_may_forget_another_of_the_same_moment(wheel: Wheel) -> None:
    class Jealous(Item):
        other: Item

        def on_due(self, now: float) -> None:
            super().on_due(now)
            wheel.forget(self.other)

    one, two = Jealous(after(0.02)), Jealous(after(0.02))
    one.other, two.other = two, one
    wheel.watch(one)
    wheel.watch(two)
    await asyncio.sleep(0.1)
    assert len(one.served) + len(two.served) == 1


async def test_one_that_fails_does_not_harm_the_others(
    wheel: Wheel, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Item):
        def on_due(self, now: float) -> None:
            raise RuntimeError("a fault")

    item = Item(after(0.03))
    wheel.watch(Failing(after(0.02)))
    wheel.watch(item)
    with caplog.at_level(logging.ERROR):
        await asyncio.sleep(0.1)
    assert len(item.served) == 1
    assert "a deadline could not be served" in caplog.text


async def test_the_timer_runs_only_while_it_is_needed(wheel: Wheel) -> None:
    item = Item(after(0.02))
    wheel.watch(item)
    assert wheel._timer is not None
    await asyncio.sleep(0.1)
    assert wheel._timer is None
    item.due = after(0.02)
    wheel.watch(item)
    await asyncio.sleep(0.1)
    assert len(item.served) == 2


async def test_many_of_one_moment_leave_room_for_others(wheel: Wheel) -> None:
    due = after(0.02)
    items = [Item(due) for _ in range(1000)]
    for item in items:
        wheel.watch(item)
    counts = set()
    while not all(item.served for item in items):
        counts.add(sum(len(item.served) for item in items))
        await asyncio.sleep(0)
    assert {200, 400, 600, 800} <= counts
    assert all(len(item.served) == 1 for item in items)


async def test_a_closed_wheel_serves_nobody() -> None:
    wheel = Wheel(0.01)
    before, after_ = Item(after(0.02)), Item(after(0.02))
    wheel.watch(before)
    wheel.close()
    wheel.watch(after_)
    await asyncio.sleep(0.1)
    assert before.served == after_.served == []
    assert before.slot is after_.slot is None
    assert wheel._timer is None

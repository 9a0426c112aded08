"""roomline.repeats"""

from hypothesis import given
from hypothesis import strategies as st
from roomline.repeats import Repeats

ENTRIES = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from("ab"), st.sampled_from([None, "1", "2", "3"]))
)


@given(ENTRIES, st.integers(0, 8))
def test_a_repeat_has_its_like_within_the_window(
    steps: list[tuple[int, str, str | None]], window: int
) -> None:
    repeats = Repeats(window)
    offset = 0
    before: list[tuple[int, str, str]] = []
    for step, room, message_id in steps:
        offset += step
        expected = any(
            (room, message_id) == other and offset - at <= window
            for at, *rest in before
            for other in [tuple(rest)]
        )
        assert repeats.seen(offset, room, message_id) is expected
        if message_id is not None:
            before.append((offset, room, message_id))


def test_the_same_id_in_another_room_is_no_repeat() -> None:
    repeats = Repeats(10)
    assert not repeats.seen(1, "a", "1")
    assert not repeats.seen(2, "b", "1")


def test_memory_follows_the_window() -> None:
    repeats = Repeats(10)
    for offset in range(1000):
        repeats.seen(offset, "a", str(offset))
    assert len(repeats._offsets) == len(repeats._order) == 11

"""The outbox: what is taken is exactly what was put, and its size stays below the limit."""

from hypothesis import given
from hypothesis import strategies as st
from roomline.core.outbox import Encoded, Outbox


def test_a_message_is_as_large_as_its_text_in_utf8():
    message = Encoded("héllo")
    assert (message.text, message.size) == ("héllo", 6)
    assert message.quoted is None
    assert message.frame is None


def test_what_does_not_fit_is_said_and_not_queued():
    outbox = Outbox(10)
    assert outbox.put(Encoded("x" * 6))
    assert not outbox.put(Encoded("x" * 5))
    assert outbox.size == 6
    assert outbox.put(Encoded("x" * 4))
    assert [message.size for message in outbox.take()] == [6, 4]


def test_a_message_above_the_limit_fits_when_nothing_waits():
    outbox = Outbox(10)
    assert outbox.put(Encoded("x" * 11))
    assert not outbox.put(Encoded(""))
    assert len(outbox.take()) == 1
    assert outbox.put(Encoded("x"))


def test_what_was_taken_is_the_takers_own():
    outbox = Outbox(10)
    outbox.put(Encoded("a"))
    taken = outbox.take()
    outbox.put(Encoded("b"))
    assert [message.text for message in taken] == ["a"]
    assert [message.text for message in outbox.take()] == ["b"]
    assert outbox.take() == []


@given(st.integers(0, 30), st.lists(st.none() | st.integers(0, 40), max_size=40))
def test_nothing_is_lost_or_doubled_and_the_limit_holds(limit: int, steps: list[int | None]):
    """A number puts a message of that size, None takes."""
    outbox = Outbox(limit)
    accepted: list[Encoded] = []
    taken: list[Encoded] = []
    for step in steps:
        if step is None:
            taken += outbox.take()
            assert outbox.size == 0
        else:
            message = Encoded("x" * step)
            waiting = sum(each.size for each in outbox.items)
            fits = waiting + step <= limit or not outbox.items
            assert outbox.put(message) == fits
            if fits:
                accepted.append(message)
        assert outbox.size == sum(each.size for each in outbox.items)
        assert outbox.size <= limit or len(outbox.items) == 1
    taken += outbox.take()
    assert len(taken) == len(accepted)
    assert all(one is other for one, other in zip(taken, accepted, strict=True))

"""roomline.holding: what Django writes is what the gateway reads, and nothing else is read."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from roomline.holding import MODES, Hold, InvalidHold, check, read, write
from roomline.wire import InvalidName

HOLDS = st.builds(
    Hold,
    mode=st.sampled_from(MODES),
    room=st.sampled_from(["chat.a", "a", "object.shop.order.7"]),
    timeout=st.floats(0, 120),
    since=st.none() | st.text(max_size=64),
    answer=st.just(False),
    user=st.none() | st.just("7"),
)


@given(HOLDS)
def test_what_is_written_is_read(hold: Hold) -> None:
    text = write(hold)
    assert text.isascii()
    assert text.isprintable()
    assert read(text) == hold


def test_an_answer_of_ones_own_is_for_a_hold() -> None:
    hold = Hold("hold", "chat.a", 5, answer=True)
    assert read(write(hold)) == hold
    with pytest.raises(InvalidHold, match="only a hold"):
        write(Hold("sse", "chat.a", 5, answer=True))


def test_no_time_is_a_time() -> None:
    assert read(write(Hold("hold", "chat.a", 0))).timeout == 0


def test_a_position_that_is_too_long_stays_none() -> None:
    since = read(write(Hold("hold", "chat.a", 5, "9" * 10_000))).since
    assert since == "9" * 64


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"mode": "push"}, "mode is 'push', accepted are hold, sse, json-lines"),
        ({"timeout": 120.5}, "timeout is 120.5, accepted are 0 to 120 seconds"),
        ({"timeout": math.nan}, "accepted are 0 to 120"),
        ({"timeout": math.inf}, "accepted are 0 to 120"),
        ({"timeout": True}, "accepted are 0 to 120"),
        ({"timeout": "5"}, "accepted are 0 to 120"),
        ({"mode": "sse", "timeout": 3601}, "accepted are 0 to 3600"),
        ({"since": 7}, "since is 7, not text"),
        ({"room": 7}, "room is 7, not text"),
        ({"answer": "yes"}, "answer is 'yes'"),
        ({"user": 7}, "user is 7, not text"),
    ],
)
def test_holds_that_are_none(fields: dict[str, Any], says: str) -> None:
    hold = Hold("hold", "chat.a", 5)._replace(**fields)
    with pytest.raises(InvalidHold) as raised:
        check(hold)
    assert says in str(raised.value)


@pytest.mark.parametrize("room", ["", "chat.", "chat a", "control.users", "control", "x" * 201])
def test_rooms_that_are_none(room: str) -> None:
    with pytest.raises(InvalidName):
        check(Hold("hold", room, 5))


def test_a_user_that_is_none() -> None:
    with pytest.raises(InvalidName, match="user id"):
        check(Hold("hold", "chat.a", 5, user="not a user"))


@given(st.text() | st.sampled_from(["{}", "[]", "null", "1", '{"mode":"hold"}', "[" * 100_000]))
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidHold, match="Roomline-Hold is "):
        read(text)


def test_members_that_nobody_knows_are_refused() -> None:
    with pytest.raises(InvalidHold, match="accepted is a JSON object of mode, room, timeout"):
        read('{"mode":"hold","room":"chat.a","timeout":1,"users":7}')

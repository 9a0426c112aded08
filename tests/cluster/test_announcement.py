"""roomline.cluster.announcement: what nodes say of themselves, and who is believed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from roomline.broker import MAX_SIGNAL_BYTES
from roomline.cluster.announcement import MAX_BYTES, Announcement, State, read, write

KEY = b"k" * 32
SAID = Announcement(
    id="0123456789abcdef", name="gateway-1:8001-0", since=1_767_323_045_678, host="::1", port=8010
)


@pytest.mark.parametrize("state", State)
def test_what_is_written_is_read(state: State) -> None:
    said = msgspec.structs.replace(SAID, state=state, socket="/run/roomline/0123.node")
    assert read(write(said, KEY), KEY) == said


def test_the_longest_one_is_a_signal() -> None:
    longest = msgspec.structs.replace(SAID, name="n" * 103, host="h" * 255, socket="s" * 107)
    assert len(write(longest, KEY)) < MAX_BYTES <= MAX_SIGNAL_BYTES


def test_another_key_is_not_believed() -> None:
    assert read(write(SAID, KEY), b"x" * 32) is None


@given(st.data())
def test_nothing_can_be_changed(data: st.DataObject) -> None:
    signal = bytearray(write(SAID, KEY))
    place = data.draw(st.integers(0, len(signal) - 1))
    signal[place] ^= data.draw(st.integers(1, 255))
    assert read(bytes(signal), KEY) is None


@given(st.binary(max_size=300))
def test_anything_else_is_none(signal: bytes) -> None:
    assert read(signal, KEY) is None
    assert read(signal + bytes(MAX_BYTES), KEY) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id":1}', '{"id":"a","name":"b","since":"c"}'])
def test_what_is_signed_and_is_no_announcement_is_none(text: str) -> None:
    from roomline.cluster import announcement

    body = text.encode()
    assert read(announcement._mac(body, KEY) + body, KEY) is None


def test_a_node_goes_one_way() -> None:
    states = [msgspec.structs.replace(SAID, state=state) for state in State]
    for place, each in enumerate(states):
        for other_place, other in enumerate(states):
            assert each.later_than(other) is (place > other_place)

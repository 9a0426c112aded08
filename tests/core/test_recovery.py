"""roomline.core.recovery and roomline.core.position"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from roomline.core.codes import Unrecoverable
from roomline.core.position import BEGINNING, Position
from roomline.core.recovery import LogIndex


def entry(offset: int, fingerprint: int = 7) -> Position:
    return Position(0, offset, fingerprint)


def index_of(*offsets: int, capacity: int = 100, first_offset: int = 0) -> LogIndex:
    index = LogIndex(capacity, first_offset)
    for offset in offsets:
        index.append(entry(offset))
    return index


@given(st.integers(0, 999), st.integers(-1, 2**63 - 1), st.integers(0, 2**48 - 1))
def test_positions_survive_their_text(partition: int, offset: int, fingerprint: int) -> None:
    position = Position(partition, offset, fingerprint)
    assert Position.parse(str(position)) == position


@given(st.text())
def test_other_text_is_no_position(text: str) -> None:
    position = Position.parse(text)
    assert position is None or str(position) == text or text[0] == "0"


@pytest.mark.parametrize(
    "text", ["", "0", "0.1.2", "0.-2.000000000000", "0.1.00000000000G", "0.1.000000000000\n"]
)
def test_malformed_positions(text: str) -> None:
    assert Position.parse(text) is None


def test_an_entry_that_was_read_is_proved() -> None:
    assert index_of(0, 1, 5).doubt(entry(1)) is None


def test_another_fingerprint_is_another_log() -> None:
    assert index_of(0, 1, 5).doubt(entry(1, fingerprint=8)) is Unrecoverable.NOT_IN_LOG


def test_a_hole_is_no_entry() -> None:
    assert index_of(0, 1, 5).doubt(entry(3)) is Unrecoverable.NOT_IN_LOG


def test_beyond_the_end_is_no_entry() -> None:
    assert index_of(0, 1, 5).doubt(entry(6)) is Unrecoverable.NOT_IN_LOG
    assert index_of().doubt(entry(6)) is Unrecoverable.NOT_IN_LOG


def test_before_what_was_read_is_trimmed() -> None:
    assert index_of(7, 8).doubt(entry(6)) is Unrecoverable.TRIMMED


def test_the_beginning_is_proved_only_by_having_read_the_first_entry() -> None:
    assert index_of().doubt(BEGINNING) is None
    assert index_of(0, 1).doubt(BEGINNING) is None
    assert index_of(1, 2, first_offset=1).doubt(BEGINNING) is None
    assert index_of(1, 2).doubt(BEGINNING) is Unrecoverable.TRIMMED


def test_capacity_bounds_what_can_be_proved() -> None:
    index = index_of(*range(1000), capacity=100)
    assert index.doubt(entry(999)) is None
    assert index.doubt(entry(900)) is None
    assert index.doubt(entry(500)) is Unrecoverable.TRIMMED
    assert index.doubt(BEGINNING) is Unrecoverable.TRIMMED


def test_clear() -> None:
    index = index_of(0, 1)
    index.clear()
    assert index.last == BEGINNING
    assert index.doubt(entry(1)) is Unrecoverable.NOT_IN_LOG

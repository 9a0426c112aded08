"""roomline.core.standing: what a node says when it is asked"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from roomline.core.standing import Standing, read, write


@given(st.builds(Standing, st.booleans(), st.booleans(), st.integers(0, 1 << 50)))
def test_what_is_written_is_read(standing: Standing) -> None:
    assert read(write(standing)) == standing


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert read('{"ready":true,"opens":false,"since":7,"new":[1]}') == Standing(True, False, 7)


@pytest.mark.parametrize("text", ["", "ready", "[]", '{"ready":1}', '{"since":"now"}', "{"])
def test_what_is_none_is_not_one(text: str) -> None:
    assert read(text) is None

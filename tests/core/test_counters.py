"""roomline.core.counters: a histogram counts each value once, in the right bucket."""

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st
from roomline.core.counters import LAG_BOUNDS, Histogram

values = st.lists(st.floats(0, 1e6) | st.sampled_from(LAG_BOUNDS))


@given(values)
def test_a_bucket_has_what_is_not_above_its_bound(observed: list[float]):
    histogram = Histogram(LAG_BOUNDS)
    for value in observed:
        histogram.observe(value)
    expected = [sum(value <= bound for value in observed) for bound in LAG_BOUNDS]
    assert histogram.cumulative == [*expected, len(observed)]
    assert abs(histogram.sum - sum(observed)) <= 1e-6 * max(1, sum(observed))


def test_bounds_increase():
    assert list(LAG_BOUNDS) == sorted(set(LAG_BOUNDS))
    assert bisect_left(LAG_BOUNDS, LAG_BOUNDS[0]) == 0

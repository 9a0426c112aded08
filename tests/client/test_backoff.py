"""`roomline.client.backoff`: full jitter."""

from roomline.client.backoff import Backoff


def test_delays_are_spread_below_a_bound_that_doubles() -> None:
    bounds = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    seen: list[list[float]] = [[] for _ in bounds]
    for _ in range(200):
        backoff = Backoff(first=0.5, longest=20.0)
        for delays in seen:
            delays.append(backoff.next())
    for bound, delays in zip(bounds, seen, strict=True):
        assert max(delays) <= bound
        assert min(delays) < bound / 10 < bound * 9 / 10 < max(delays)


def test_reset_begins_anew() -> None:
    backoff = Backoff(first=0.001, longest=1000.0)
    for _ in range(5000):  # far beyond where the power would overflow
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 0.001


def test_a_few_moves_are_free_and_then_count_as_trouble(monkeypatch):
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    backoff = Backoff(first=1.0, longest=8.0)
    assert [backoff.next_move() for _ in range(5)] == [0.0, 0.0, 0.0, 1.0, 2.0]
    backoff.reset()
    assert backoff.next_move() == 0.0

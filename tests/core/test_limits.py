"""roomline.core.limits"""

from roomline.core.limits import Allowances, TokenBucket


def test_burst_then_rate() -> None:
    bucket = TokenBucket(rate=2, burst=3, now=0)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(0.5)
    assert not bucket.take(0.5)
    assert [bucket.take(100) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_is_set_back_gives_nothing_and_freezes_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=1, now=1000)
    assert bucket.take(1000)
    assert not bucket.take(10)
    assert bucket.take(11)


def test_allowances_are_per_principal() -> None:
    allowances = Allowances(rate=1, burst=1)
    assert allowances.take("a", 0)
    assert not allowances.take("a", 0)
    assert allowances.take("b", 0)


def test_allowances_forget_who_is_quiet() -> None:
    allowances = Allowances(rate=1, burst=1)
    for number in range(10_000):
        allowances.take(str(number), now=number)
    assert len(allowances._buckets) <= 1000

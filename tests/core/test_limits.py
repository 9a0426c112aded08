"""roomline.core.limits"""

from roomline.core.limits import Allowances, Rate, TokenBucket


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


def test_what_all_together_do_not_have_costs_an_address_nothing() -> None:
    rate = Rate(rate=1, burst=1, now=0, each=2, together=3)
    assert [rate.take("a", 0) for _ in range(3)] == [True, True, False]
    assert [rate.take("b", 0) for _ in range(50)] == [True] + [False] * 49
    assert [rate.take("b", 1) for _ in range(3)] == [True, True, False], "all of its burst"


def test_what_an_address_does_not_have_costs_all_together_nothing() -> None:
    rate = Rate(rate=0, burst=1, now=0, each=1, together=3)
    assert [rate.take("a", 0) for _ in range(50)] == [True] + [False] * 49
    assert [rate.take(name, 0) for name in "bcd"] == [True, True, False]


def test_a_rate_is_asked_without_being_used() -> None:
    rate = Rate(rate=0, burst=10, now=0, each=1, together=1)
    for _ in range(3):
        assert rate.has("a", 0, 10)
        assert not rate.has("a", 0, 11)
    assert rate.take("a", 0, 10)
    assert not rate.has("b", 0)

"""roomline.core.revocations: they only deny, in whatever order, and are forgotten in time"""

from hypothesis import given
from hypothesis import strategies as st
from roomline.core.revocations import FORGET_AFTER, Revocations
from roomline.revocations import Revocation, RoomRevoked, UserRevoked
from roomline.tokens import LEEWAY, MAX_LIFETIME

NAMES = st.sampled_from(["a", "b", "c"])
GENERATIONS = st.integers(0, 20)
REVOCATIONS = st.one_of(
    st.builds(UserRevoked, NAMES, GENERATIONS),
    st.builds(RoomRevoked, NAMES, GENERATIONS, st.booleans()),
)


def denied(revocations: Revocations) -> set[tuple[str, str, int]]:
    """Everything that is denied, among the names and generations of these tests."""
    return {
        (sort, name, generation)
        for sort, denies in (("user", revocations.denies_user), ("room", revocations.denies_room))
        for name in "abc"
        for generation in range(22)
        if denies(name, generation)
    }


def told(items: list[Revocation]) -> Revocations:
    revocations = Revocations()
    for item in items:
        revocations.add(item, 0.0)
    return revocations


def test_nothing_is_denied_at_first() -> None:
    assert denied(Revocations()) == set()


def test_what_is_older_is_denied_and_nothing_else() -> None:
    revocations = told([UserRevoked("a", 7)])
    assert denied(revocations) == {("user", "a", generation) for generation in range(7)}


@given(st.lists(REVOCATIONS, max_size=30))
def test_each_can_only_deny_more(items: list[Revocation]) -> None:
    revocations = Revocations()
    before: set[tuple[str, str, int]] = set()
    for item in items:
        new = revocations.add(item, 0.0)
        after = denied(revocations)
        assert before <= after
        assert new == (before != after)
        before = after


@given(
    st.lists(REVOCATIONS, max_size=12).flatmap(lambda x: st.tuples(st.just(x), st.permutations(x)))
)
def test_the_order_and_repeats_do_not_matter(
    both: tuple[list[Revocation], list[Revocation]],
) -> None:
    items, shuffled = both
    assert denied(told(items)) == denied(told(shuffled + items))


@given(st.lists(st.tuples(REVOCATIONS, st.floats(0, 3 * FORGET_AFTER)), max_size=30))
def test_what_is_too_old_to_deny_anything_is_forgotten_and_nothing_else(
    items: list[tuple[Revocation, float]],
) -> None:
    revocations = Revocations()
    now = 0.0
    kept: dict[tuple[str, str], tuple[int, float]] = {}
    for item, pause in items:
        now += pause
        revocations.forget(now)
        kept = {key: each for key, each in kept.items() if each[1] > now - FORGET_AFTER}
        assert len(revocations) == len(kept)
        key = ("user" if isinstance(item, UserRevoked) else "room", item[0])
        if item.generation > kept.get(key, (0, 0.0))[0]:
            kept[key] = (item.generation, now)
        revocations.add(item, now)
        assert denied(revocations) == {
            (sort, name, generation)
            for (sort, name), (latest, _) in kept.items()
            for generation in range(latest)
        }


def test_a_clock_that_is_set_back_makes_nothing_be_forgotten() -> None:
    revocations = Revocations()
    revocations.add(UserRevoked("a", 1), 1e6)
    revocations.add(UserRevoked("b", 1), 0.0)
    revocations.forget(FORGET_AFTER + 1)
    assert revocations.denies_user("a", 0)


def test_no_token_outlives_what_denies_it() -> None:
    assert FORGET_AFTER > MAX_LIFETIME + LEEWAY

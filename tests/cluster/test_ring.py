"""roomline.cluster.ring: who is asked for a session, in which order."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from roomline.cluster.ring import Candidate, Contender, candidates

SESSIONS = [f"session{number}" for number in range(2000)]
THREE = [Contender("a", 0), Contender("b", 0), Contender("c", 0)]


def opener(session: str, contenders: list[Contender]) -> str:
    return candidates(session, contenders)[-1].id


def test_nobody_is_asked_where_nobody_is() -> None:
    assert candidates("session", []) == []


def test_one_node_opens_every_session() -> None:
    assert candidates("session", [Contender("a", 5)]) == [Candidate("a", True)]


def test_nodes_that_began_together_are_asked_once() -> None:
    for session in SESSIONS[:100]:
        assert len(candidates(session, THREE)) == 1


def test_sessions_are_spread_evenly() -> None:
    counts = Counter(opener(session, THREE) for session in SESSIONS)
    assert min(counts.values()) > 0.85 * len(SESSIONS) / 3


def test_all_nodes_agree_in_whatever_order_they_know_each_other() -> None:
    for session in SESSIONS[:100]:
        assert candidates(session, THREE) == candidates(session, THREE[::-1])


def test_a_node_that_comes_takes_new_sessions_from_all_and_its_share_only() -> None:
    more = [*THREE, Contender("d", 7)]
    moved = [session for session in SESSIONS if opener(session, more) != opener(session, THREE)]
    assert {opener(session, more) for session in moved} == {"d"}
    assert {opener(session, THREE) for session in moved} == {"a", "b", "c"}
    assert 0.2 < len(moved) / len(SESSIONS) < 0.3


def test_who_had_a_session_before_a_node_came_is_still_asked() -> None:
    more = [*THREE, Contender("d", 7), Contender("e", 9)]
    for session in SESSIONS[:300]:
        asked = [candidate.id for candidate in candidates(session, more)]
        assert opener(session, THREE) in asked
        assert opener(session, [*THREE, Contender("d", 7)]) in asked


def test_a_node_that_drains_is_asked_and_opens_nothing() -> None:
    draining = [Contender("a", 0, draining=True), *THREE[1:]]
    for session in SESSIONS[:300]:
        asked = candidates(session, draining)
        assert opener(session, THREE) in [candidate.id for candidate in asked]
        assert asked[-1] == Candidate(opener(session, THREE[1:]), True)


def test_when_all_drain_the_first_one_says_so() -> None:
    draining = [contender._replace(draining=True) for contender in THREE]
    for session in SESSIONS[:50]:
        assert opener(session, draining) == opener(session, THREE)


def test_a_node_that_dies_moves_its_own_sessions_only() -> None:
    for session in SESSIONS[:300]:
        before = opener(session, THREE)
        if before != "a":
            assert candidates(session, THREE[1:]) == [Candidate(before, True)]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=8), st.text(min_size=1))
def test_whoever_opened_it_is_asked_whatever_came_and_drains_since(
    nodes: list[tuple[int, bool]], session: str
) -> None:
    """Nodes come one after the other, then some drain; a session may be of any time."""
    contenders = [Contender(f"n{number}", since) for number, (since, _) in enumerate(nodes)]
    now = [
        contender._replace(draining=drains)
        for contender, (_, drains) in zip(contenders, nodes, strict=True)
    ]
    asked = [candidate.id for candidate in candidates(session, now)]
    for moment in {contender.since for contender in contenders}:
        assert (
            opener(session, [contender for contender in contenders if contender.since <= moment])
            in asked
        )
    if now:
        openers = [candidate for candidate in candidates(session, now) if candidate.opens]
        assert openers == [candidates(session, now)[-1]]

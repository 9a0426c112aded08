"""How many sessions there may be."""

from types import SimpleNamespace
from typing import Any

import pytest
from roomline.core.address import network_of
from roomline.transport import TransportSettings
from roomline.transport.registry import Registry, TooManySessions


def session(name: str, address: str = "192.0.2.1") -> Any:
    return SimpleNamespace(session_id=name, address=address)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("not:an:address", "not:an:address", True),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) == same


class Clock:
    """A time that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def registry_of(clock: Clock | None = None, **options: Any) -> Registry:
    return Registry(TransportSettings(**options), clock or Clock())


def enter(registry: Registry, one: Any) -> bool:
    """Whether a client gets its session."""
    try:
        registry.arrive(one.address)
        registry.admit(one)
    except TooManySessions:
        return False
    return True


def test_sessions_are_bounded_for_an_address_and_in_total() -> None:
    registry = registry_of(sessions=3, sessions_per_address=2)
    assert [enter(registry, session(name)) for name in "abc"] == [True, True, False]
    assert enter(registry, session("c", "192.0.2.2"))
    assert not enter(registry, session("d", "192.0.2.3"))
    assert len(registry) == 3
    assert registry.refused == {"sessions": 2}


def test_whoever_was_slower_after_arriving_is_turned_away() -> None:
    registry = registry_of(sessions=1, sessions_per_address=1)
    registry.arrive("192.0.2.1")
    registry.arrive("192.0.2.1")
    registry.admit(session("a"))
    with pytest.raises(TooManySessions):
        registry.admit(session("b"))
    assert len(registry) == 1


def test_sessions_come_at_a_bounded_rate() -> None:
    """Those of an address, and of all together, however soon each one leaves."""
    clock = Clock()
    registry = registry_of(
        clock, sessions=20, sessions_per_address=10, new_sessions_per_second=2, new_sessions_burst=5
    )

    def come(address: str, times: int) -> int:
        came = 0
        for _ in range(times):
            one = session("a", address)
            if enter(registry, one):
                registry.release(one)
                came += 1
        return came

    assert come("192.0.2.1", 8) == 5
    assert come("192.0.2.2", 8) == 5, "another address is another matter"
    assert come("192.0.2.3", 8) == 0, "but there are twice as many in all"
    assert registry.refused == {"arrivals": 14}
    clock.now = 1.0
    assert come("192.0.2.1", 8) == 2
    assert come("192.0.2.3", 8) == 2
    clock.now = 2.0
    assert come("192.0.2.3", 8) == 4, "what was refused for others' sake has cost it nothing"


def test_who_leaves_makes_room() -> None:
    registry = registry_of(sessions=1, sessions_per_address=1)
    for name in "abc":
        one = session(name)
        registry.admit(one)
        registry.release(one)
    assert len(registry) == 0
    assert not registry._addresses


def test_tombstones_give_way() -> None:
    registry = registry_of(sessions=2, sessions_per_address=2)
    sessions = [session(name) for name in "abc"]
    given_way = []
    for one in sessions:
        registry.put(one)
        assert registry.find(one.session_id) is one
        given_way.append(registry.bury(one))
    assert given_way == [None, None, sessions[0]]
    assert registry.find("a") is None
    assert registry.find("b") is sessions[1]
    registry.forget(sessions[1])
    registry.forget(sessions[0])
    assert registry.find("b") is None

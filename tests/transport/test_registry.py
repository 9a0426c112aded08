"""How many sessions there may be."""

from types import SimpleNamespace
from typing import Any

import pytest
from roomline.core.address import network_of
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


def test_limits_name_themselves() -> None:
    registry = Registry(total=3, per_address=2)
    registry.admit(session("a"))
    registry.admit(session("b"))
    with pytest.raises(TooManySessions, match=r"192\.0\.2\.1 has 2 sessions"):
        registry.admit(session("c"))
    registry.admit(session("c", "192.0.2.2"))
    with pytest.raises(TooManySessions, match="there are 3 sessions"):
        registry.admit(session("d", "192.0.2.3"))
    assert len(registry) == 3


def test_who_leaves_makes_room() -> None:
    registry = Registry(total=1, per_address=1)
    for name in "abc":
        one = session(name)
        registry.admit(one)
        registry.release(one)
    assert len(registry) == 0
    assert not registry._addresses


def test_tombstones_give_way() -> None:
    registry = Registry(total=2, per_address=2)
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

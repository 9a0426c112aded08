"""What sessions may do together."""

from roomline.core.limits import NodeLimits
from roomline.core.shares import Shares

ONE, OTHER, THIRD = "192.0.2.1", "192.0.2.2", "192.0.2.3"
LIMITS = NodeLimits(
    commands_per_second=1,
    commands_burst=2,
    publications_per_second=1,
    publications_burst=1,
    bytes_per_second=100,
    bytes_burst=1000,
    subscriptions=2,
    sessions_worth_per_address=3,
    sessions_worth=4,
)


def test_commands_of_an_address_and_of_all() -> None:
    shares = Shares(LIMITS, 0.0)
    said = [shares.command(ONE, 1, 0.0) for _ in range(7)]
    assert said == [None] * 6 + ["too many commands"], "two each for three sessions"
    said = [shares.command(OTHER, 1, 0.0) for _ in range(3)]
    assert said == [None, None, "too many commands"], "and for four in all"
    assert shares.command(ONE, 1, 1.0) is None, "three more in a second"


def test_publications_of_an_address_and_of_all() -> None:
    shares = Shares(LIMITS, 0.0)
    assert [shares.publication(ONE, 0.0) for _ in range(4)] == [None] * 3 + [
        "too many publications"
    ]
    assert [shares.publication(OTHER, 0.0) for _ in range(2)] == [None, "too many publications"]


def test_bytes_of_an_address_and_of_all() -> None:
    shares = Shares(LIMITS, 0.0)
    assert shares.command(ONE, 3000, 0.0) is None
    assert shares.command(ONE, 1, 0.0) == "too much data"
    assert shares.command(OTHER, 1001, 0.0) == "too much data"
    assert shares.command(THIRD, 1000, 20.0) is None


def test_a_refusal_costs_nothing() -> None:
    """Neither the address whose turn it was not, nor its bytes when its commands are too many."""
    shares = Shares(LIMITS, 0.0)
    assert [shares.command(ONE, 1, 0.0) for _ in range(6)] == [None] * 6
    assert shares.command(ONE, 2900, 0.0) == "too many commands"
    assert [shares.command(OTHER, 1, 0.0) for _ in range(9)][2:] == ["too many commands"] * 7
    assert [shares.publication(address, 0.0) for address in (ONE, ONE, ONE, OTHER)] == [None] * 4
    assert [shares.publication(OTHER, 0.0) for _ in range(9)] == ["too many publications"] * 9
    # A second later the node has four more of each, and of its bytes what was not taken.
    assert [shares.command(OTHER, 900, 1.0) for _ in range(4)] == [None] * 3 + ["too much data"]
    assert [shares.command(OTHER, 1, 1.0) for _ in range(2)] == [None, "too many commands"]
    assert [shares.publication(OTHER, 1.0) for _ in range(4)] == [None] * 3 + [
        "too many publications"
    ]


def test_subscriptions_of_an_address_and_of_all() -> None:
    shares = Shares(LIMITS, 0.0)
    shares.subscribed(ONE, 6)
    assert not shares.may_subscribe(ONE)
    assert shares.may_subscribe(OTHER)
    shares.subscribed(OTHER, 2)
    assert not shares.may_subscribe(THIRD), "eight are all"
    shares.subscribed(ONE, -1)
    assert shares.may_subscribe(ONE)
    shares.subscribed(ONE, -5)
    shares.subscribed(OTHER, -2)
    assert not shares._subscriptions, "nothing is kept of who has left"

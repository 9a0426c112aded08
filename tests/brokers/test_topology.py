"""What is declared in RabbitMQ, and what is said when it cannot be. No broker needed."""

import pytest
from roomline.brokers.topology import (
    Binding,
    Exchange,
    Item,
    Refusal,
    Stream,
    TopologyProblem,
    ensure,
    rooms_topology,
)

ITEMS = rooms_topology(("chat", "system"), 3600, 1_000_000)


class Server:
    """Answers as RabbitMQ does to a user with or without the right to configure."""

    def __init__(self, there: set[str], *, may_configure: bool, may_bind: bool = True) -> None:
        self.there = there
        self.may_configure = may_configure
        self.may_bind = may_bind
        self.done: list[tuple[str, bool]] = []

    async def attempt(self, item: Item, passive: bool) -> Refusal | None:
        if isinstance(item, Binding):
            if not self.may_bind:
                return Refusal(403, "ACCESS_REFUSED - binding")
        elif not passive and not self.may_configure:
            return Refusal(403, "ACCESS_REFUSED - configuring")
        elif passive and item.name not in self.there:
            return Refusal(404, "NOT_FOUND - no such thing")
        self.done.append((str(item), passive))
        return None


def test_the_topology_of_two_namespaces():
    assert (
        Exchange("rooms", "topic"),
        Stream("rooms.log", 3600, 1_000_000),
        Binding("rooms", "rooms.log", "chat.#"),
        Binding("rooms", "rooms.log", "system.#"),
    ) == ITEMS


@pytest.mark.parametrize(
    ("max_bytes", "segment"),
    [(1_000_000, 100_000), (100, 1_000), (10**13, 500_000_000)],
)
def test_a_segment_is_at_most_a_tenth_of_what_is_kept(max_bytes: int, segment: int):
    assert Stream("s", 60, max_bytes).arguments == {
        "x-queue-type": "stream",
        "x-max-age": "60s",
        "x-max-length-bytes": max_bytes,
        "x-stream-max-segment-size-bytes": segment,
    }


def test_looking_states_no_shape():
    assert Exchange("e", "topic").call(passive=True).arguments == {"exchange": "e", "passive": True}
    assert Stream("s", 1, 1).call(passive=True).arguments == {"queue": "s", "passive": True}


async def test_with_rights_everything_is_declared_in_order():
    server = Server(set(), may_configure=True)
    await ensure(ITEMS, server.attempt)
    assert server.done == [(str(item), False) for item in ITEMS]


async def test_without_rights_what_is_there_is_looked_at():
    server = Server({"rooms", "rooms.log"}, may_configure=False, may_bind=False)
    await ensure(ITEMS, server.attempt)
    assert server.done == [(str(item), True) for item in ITEMS[:2]]


@pytest.mark.parametrize("missing", ["rooms", "rooms.log"])
async def test_without_rights_what_is_missing_is_named(missing: str):
    server = Server({"rooms", "rooms.log"} - {missing}, may_configure=False)
    with pytest.raises(TopologyProblem, match=f"'{missing}' is missing.*may not make it") as caught:
        await ensure(ITEMS, server.attempt)
    assert caught.value.lasting


@pytest.mark.parametrize(
    ("refusal", "said", "lasting"),
    [
        (Refusal(404, "NOT_FOUND - home node 'a' is down or inaccessible"), "not up yet", False),
        (Refusal(406, "PRECONDITION_FAILED - inequivalent arg 'x-max-age'"), "x-max-age", True),
        (Refusal(404, "NOT_FOUND - no exchange 'rooms'"), "cannot be used", False),
        (Refusal(405, "RESOURCE_LOCKED"), "RESOURCE_LOCKED", False),
    ],
)
async def test_other_refusals(refusal: Refusal, said: str, lasting: bool):
    async def attempt(item: Item, passive: bool) -> Refusal | None:
        return refusal if isinstance(item, Stream) else None

    with pytest.raises(TopologyProblem, match=said) as caught:
        await ensure(ITEMS, attempt)
    assert "rooms.log" in str(caught.value)
    assert caught.value.lasting is lasting

"""Connections that threads take turns with: how many, whose turn, and when they are closed."""

import math
import threading
import time

import pytest
from django_roomline.pool import AllTaken, Pool


class Connection:
    """Something to be closed, once."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def test_one_after_another_uses_the_same_connection() -> None:
    pool = Pool[Connection](3, math.inf)
    with pool.turn(soon()) as turn:
        assert turn.connection is None
        turn.connection = first = Connection()
    for _ in range(3):
        with pool.turn(soon()) as turn:
            assert turn.connection is first


def test_at_the_same_time_nobody_shares_one() -> None:
    pool = Pool[Connection](2, math.inf)
    with pool.turn(soon()) as one, pool.turn(soon()) as two:
        one.connection, two.connection = first, second = Connection(), Connection()
    with pool.turn(soon()) as one, pool.turn(soon()) as two:
        assert {one.connection, two.connection} == {first, second}


def test_what_is_broken_does_not_come_back_and_an_error_ends_the_turn() -> None:
    pool = Pool[Connection](1, math.inf)
    for _ in range(2):
        with pytest.raises(AttributeError), pool.turn(soon()) as turn:
            turn.connection.close()  # type: ignore[union-attr] # there is none


def test_who_waits_too_long_is_told() -> None:
    pool = Pool[Connection](1, math.inf)
    with pool.turn(soon()):
        began = time.monotonic()
        with pytest.raises(AllTaken), pool.turn(soon(0.2)):
            pass
        assert 0.1 < time.monotonic() - began < 1.0


def test_never_more_than_its_size() -> None:
    pool = Pool[Connection](3, math.inf)
    made: list[Connection] = []
    using: list[Connection] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(5):
            with pool.turn(soon()) as turn:
                if turn.connection is None:
                    turn.connection = Connection()
                    made.append(turn.connection)
                using.append(turn.connection)
                assert using.count(turn.connection) == 1
                most.append(len(using))
                time.sleep(0.002)
                using.remove(turn.connection)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(most) == 50, "no thread has failed"
    assert max(most) <= 3
    assert len(made) <= 3


def test_one_that_was_idle_for_long_is_closed_when_the_next_turn_begins() -> None:
    pool = Pool[Connection](2, 0.1)
    with pool.turn(soon()) as turn:
        turn.connection = old = Connection()
    time.sleep(0.15)
    assert not old.closed
    with pool.turn(soon()) as turn:
        assert turn.connection is None
        assert old.closed == 1


def test_closing_what_is_idle_leaves_alone_what_is_used() -> None:
    pool = Pool[Connection](2, math.inf)
    with pool.turn(soon()) as one, pool.turn(soon()) as two:
        one.connection, two.connection = Connection(), Connection()
    with pool.turn(soon()) as turn:
        used = turn.connection
        assert used
        pool.close_idle()
        assert not used.closed
    assert [one.connection and one.connection.closed, two.connection and two.connection.closed] in (
        [0, 1],
        [1, 0],
    )
    with pool.turn(soon()) as turn:
        assert turn.connection is used
    pool.close_idle()
    assert used.closed == 1

"""roomline.sqlitequeue: put, claim, answer, and what becomes of what fails"""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from roomline import sqlitequeue
from roomline.requests import ATTEMPTS, FAILED, Answer, Request
from roomline.sqlitefile import LogReplaced, LogUnavailable, LogUnusable
from roomline.sqlitelog import SqliteLog
from roomline.sqlitequeue import Claim, SqliteQueue
from roomline.wire import Sender


def request(number: int = 1, **changes: Any) -> Request:
    made = Request(f"r-{number}", "orders.cancel", b"[1]", Sender("7", "Ann"), 1234, 30.0)
    return made._replace(**changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rooms.sqlite3.requests"


@pytest.fixture
def gateway(path: Path) -> Iterator[SqliteQueue]:
    queue = SqliteQueue(path)
    yield queue
    queue.close()


@pytest.fixture
def worker(path: Path) -> Iterator[SqliteQueue]:
    queue = SqliteQueue(path)
    yield queue
    queue.close()


def claimed(queue: SqliteQueue, seconds: float = 60.0) -> Claim:
    claim = queue.claim(seconds)
    assert claim is not None
    return claim


def end_leases(path: Path) -> None:
    """Time passes."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE requests SET free = 0")
    connection.close()


def test_a_request_is_answered(gateway: SqliteQueue, worker: SqliteQueue) -> None:
    gateway.put(request(), "node-1")
    claim = claimed(worker)
    assert (claim.request, claim.node, claim.attempt) == (request(), "node-1", 1)
    before = gateway.changes()
    worker.answer(claim, Answer(b"{}"))
    worker.finish(claim)
    assert gateway.changes() != before
    assert gateway.collect("node-2") == []
    assert gateway.collect("node-1") == [("r-1", Answer(b"{}"))]
    assert gateway.collect("node-1") == []
    assert worker.claim(60) is None


def test_the_first_one_comes_first_and_none_twice(
    gateway: SqliteQueue, worker: SqliteQueue
) -> None:
    for number in range(3):
        gateway.put(request(number), "n")
    claims = [claimed(worker), claimed(gateway), claimed(worker)]
    assert [claim.request.id for claim in claims] == ["r-0", "r-1", "r-2"]
    assert worker.claim(60) is None


def test_an_anonymous_request(gateway: SqliteQueue, worker: SqliteQueue) -> None:
    gateway.put(request(sender=None, time=None), "n")
    assert claimed(worker).request == request(sender=None, time=None)


def test_what_nobody_waits_for_is_not_given_out(
    gateway: SqliteQueue, worker: SqliteQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.put(request(timeout=2.0), "n")
    later = time.time() + 2.1
    monkeypatch.setattr(sqlitequeue, "_now", lambda: int(later * 1000))
    assert worker.claim(60) is None


def test_when_a_lease_ends_another_one_takes_over(
    gateway: SqliteQueue, worker: SqliteQueue, path: Path
) -> None:
    gateway.put(request(), "n")
    first = claimed(worker)
    end_leases(path)
    second = claimed(gateway)
    assert second.attempt == 2
    worker.finish(first)  # too late: it is not his any more
    worker.release(first, 0)
    worker.renew([first], 0)
    assert worker.claim(60) is None, "the second one still holds it"
    gateway.finish(second)
    end_leases(path)
    assert worker.claim(60) is None


def test_a_lease_is_renewed(gateway: SqliteQueue, worker: SqliteQueue) -> None:
    gateway.put(request(), "n")
    claim = claimed(worker, 0.0)
    worker.renew([claim], 60)
    assert gateway.claim(60) is None


def test_what_fails_comes_again_after_a_pause_and_is_dead_in_the_end(
    gateway: SqliteQueue, worker: SqliteQueue
) -> None:
    gateway.put(request(), "n")
    for attempt in range(1, ATTEMPTS + 1):
        claim = claimed(worker)
        assert claim.attempt == attempt
        worker.release(claim, 0)
    assert worker.claim(60) is None
    assert gateway.collect("n") == [("r-1", FAILED)]
    (dead,) = worker.dead()
    assert dead.request == request()
    assert dead.died is not None
    assert abs(dead.died / 1000 - time.time()) < 60


def test_a_pause_lasts(gateway: SqliteQueue, worker: SqliteQueue) -> None:
    gateway.put(request(), "n")
    worker.release(claimed(worker), 60)
    assert worker.claim(60) is None


def test_what_kills_its_workers_is_dead_too(
    gateway: SqliteQueue, worker: SqliteQueue, path: Path
) -> None:
    gateway.put(request(1), "n")
    gateway.put(request(2), "n")
    for _ in range(ATTEMPTS):
        assert claimed(worker).request.id == "r-1"
        end_leases(path)
    assert claimed(worker).request.id == "r-2"
    assert gateway.collect("n") == [("r-1", FAILED)]
    assert [dead.request.id for dead in worker.dead()] == ["r-1"]


def bury(queue: SqliteQueue, number: int) -> None:
    queue.put(request(number), "n")
    for _ in range(ATTEMPTS):
        queue.release(claimed(queue), 0)


def test_the_dead_are_put_back(worker: SqliteQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    bury(worker, 1)
    assert worker.requeue_dead() == 1
    assert worker.dead() == []
    later = time.time() + 86_400
    monkeypatch.setattr(sqlitequeue, "_now", lambda: int(later * 1000))
    claim = claimed(worker)
    assert (claim.request, claim.attempt) == (request(1), 1)
    assert worker.requeue_dead() == 0


def test_only_the_last_of_the_dead_are_kept(
    worker: SqliteQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlitequeue, "MAX_DEAD", 2)
    for number in range(4):
        bury(worker, number)
    assert [dead.request.id for dead in worker.dead()] == ["r-2", "r-3"]
    later = time.time() + sqlitequeue.DEAD_SECONDS + 10
    monkeypatch.setattr(sqlitequeue, "_now", lambda: int(later * 1000))
    bury(worker, 5)
    assert [dead.request.id for dead in worker.dead()] == ["r-5"]


def test_so_many_wait_and_no_more(gateway: SqliteQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlitequeue, "MAX_WAITING", 2)
    gateway.put(request(1), "n")
    gateway.put(request(2), "n")
    with pytest.raises(LogUnavailable, match="2 requests wait"):
        gateway.put(request(3), "n")


def test_answers_that_are_not_fetched_go(
    gateway: SqliteQueue, worker: SqliteQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.put(request(1), "gone")
    worker.answer(claimed(worker), Answer(b"1"))
    later = time.time() + sqlitequeue.ANSWER_SECONDS + 1
    monkeypatch.setattr(sqlitequeue, "_now", lambda: int(later * 1000))
    gateway.put(request(2), "n")
    assert gateway.collect("gone") == []


def test_a_log_is_no_queue(tmp_path: Path) -> None:
    SqliteLog(tmp_path / "log").close()
    with pytest.raises(LogUnusable, match="not a Roomline queue of requests"):
        SqliteQueue(tmp_path / "log")


def test_a_file_that_was_replaced_is_noticed(gateway: SqliteQueue, path: Path) -> None:
    path.rename(path.with_suffix(".old"))
    with pytest.raises(LogReplaced):
        gateway.put(request(), "n")

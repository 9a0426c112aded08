"""The embedded queue of requests: a SQLite file beside the log, for gateways and workers.

Standard library only, so that Django's workers use the same file as the gateway. A request is a
row until it is finished; a worker that takes it holds a lease, so that another one takes it when
the first has died.

::

    put ─▶ waiting ─claim─▶ held ─finish─▶ gone, with an answer for the node
              ▲               │ release, or the lease ends
              └───────────────┤
                              └─ after `ATTEMPTS` ─▶ dead, until somebody puts it back
"""

import os
import secrets
import time
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from roomline.requests import (
    ATTEMPTS,
    DEAD_SECONDS,
    FAILED,
    MAX_DEAD,
    Answer,
    DeadRequest,
    Request,
)
from roomline.sqlitefile import Form, LogUnavailable, SqliteFile
from roomline.wire import Sender

QUEUE_SUFFIX: Final = ".requests"
"""Behind the path of the log it makes that of the queue."""
MAX_WAITING: Final = 10_000
"""Requests that wait or are held; more are refused."""
ANSWER_SECONDS: Final = 120.0
"""How long an answer is kept for a node that does not fetch it: longer than any request waits."""

# All times are in milliseconds since the epoch. `expires` is null for what never does, `died` for
# what is not dead; `free` is when it may be taken, by whomever; `lease` names who holds it.
_SCHEMA = """
CREATE TABLE requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    node TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL CHECK (typeof(body) = 'blob'),
    sender_id TEXT,
    sender_name TEXT,
    time INTEGER,
    timeout REAL NOT NULL,
    expires INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    lease TEXT,
    free INTEGER NOT NULL DEFAULT 0,
    died INTEGER
);
CREATE INDEX alive ON requests (number, free) WHERE died IS NULL;
CREATE INDEX dead ON requests (died) WHERE died IS NOT NULL;
CREATE TABLE answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    node TEXT NOT NULL,
    code TEXT,
    refusal TEXT,
    body BLOB NOT NULL,
    made INTEGER NOT NULL
);
CREATE INDEX answers_of_node ON answers (node);
"""
_FORM = Form("queue of requests", int.from_bytes(b"Rreq"), 1, _SCHEMA)
_REQUEST = "id, name, body, sender_id, sender_name, time, timeout"
_PUT = f"INSERT INTO requests ({_REQUEST}, node, expires) VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608
_FREE = "died IS NULL AND free <= ?"
_NEXT = f"SELECT {_REQUEST}, node, attempts FROM requests WHERE {_FREE} ORDER BY number LIMIT 1"  # noqa: S608
_EXPIRED = f"DELETE FROM requests WHERE {_FREE} AND expires <= ?"  # noqa: S608
_ANSWER = "INSERT INTO answers (id, node, code, refusal, body, made) VALUES (?,?,?,?,?,?)"


class Claim(NamedTuple):
    """A request that somebody holds for a while: the `attempt`-th time, from 1, that it is given
    to a handler. `node` waits for the answer."""

    request: Request
    node: str
    attempt: int
    lease: str


class SqliteQueue(SqliteFile):
    """One connection to the queue at `path`; see `SqliteFile`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, _FORM)

    def put(self, request: Request, node: str) -> None:
        """Let a worker take this, until the client's time is over.

        Raises `LogUnavailable` also when `MAX_WAITING` requests are there.
        """
        now = _now()
        row = (*_row(request), node, now + int(request.timeout * 1000))
        with self._using("write to") as connection, self._transaction(connection):
            connection.execute(_EXPIRED, (now, now))
            connection.execute(
                "DELETE FROM answers WHERE made < ?", (now - int(ANSWER_SECONDS * 1000),)
            )
            alive = connection.execute("SELECT count(*) FROM requests WHERE died IS NULL")
            if alive.fetchone()[0] >= MAX_WAITING:
                raise LogUnavailable(f"{MAX_WAITING} requests wait in {self.path} already")
            connection.execute(_PUT, row)

    def collect(self, node: str) -> list[tuple[str, Answer]]:
        """The answers for this node, with the ids of their requests; they are then gone."""
        with self._using("read") as connection:
            rows = connection.execute(
                "SELECT number, id, body, code, refusal FROM answers WHERE node = ?"
                " ORDER BY number",
                (node,),
            ).fetchall()
            if rows:
                connection.execute(
                    "DELETE FROM answers WHERE node = ? AND number <= ?", (node, rows[-1][0])
                )
            return [(id, Answer(body, code, refusal)) for _, id, body, code, refusal in rows]

    def claim(self, seconds: float) -> Claim | None:
        """Hold the request that has waited longest, for so long; None if none waits.

        What was held and not finished `ATTEMPTS` times is dead.
        """
        now = _now()
        with self._using("read") as connection:
            # Looked at first without the write lock: most often nothing waits.
            if connection.execute(_NEXT, (now,)).fetchone() is None:
                return None
            with self._transaction(connection):
                connection.execute(_EXPIRED, (now, now))
                while (row := connection.execute(_NEXT, (now,)).fetchone()) is not None:
                    *fields, node, attempts = row
                    request = _request(fields)
                    if attempts >= ATTEMPTS:
                        self._bury(request.id, node, now)
                        continue
                    claim = Claim(request, node, attempts + 1, secrets.token_hex(8))
                    connection.execute(
                        "UPDATE requests SET attempts = ?, lease = ?, free = ? WHERE id = ?",
                        (claim.attempt, claim.lease, now + int(seconds * 1000), request.id),
                    )
                    return claim
                return None

    def renew(self, claims: Iterable[Claim], seconds: float) -> None:
        """Go on to hold these; what was lost meanwhile stays lost."""
        free = _now() + int(seconds * 1000)
        with self._using("write to") as connection, self._transaction(connection):
            connection.executemany(
                "UPDATE requests SET free = ? WHERE lease = ? AND died IS NULL",
                [(free, claim.lease) for claim in claims],
            )

    def answer(self, claim: Claim, answer: Answer) -> None:
        """Give the node that waits an answer."""
        with self._using("write to") as connection, self._transaction(connection):
            self._answer(claim.request.id, claim.node, answer, _now())

    def finish(self, claim: Claim) -> None:
        """It is done with, if it is still held."""
        with self._using("write to") as connection, self._transaction(connection):
            connection.execute("DELETE FROM requests WHERE lease = ?", (claim.lease,))

    def release(self, claim: Claim, pause: float) -> None:
        """Its handler has failed, and may be tried again after `pause` seconds; dead if this was
        the last attempt, which is then answered."""
        now = _now()
        with self._using("write to") as connection, self._transaction(connection):
            held = connection.execute("SELECT 1 FROM requests WHERE lease = ?", (claim.lease,))
            if held.fetchone() is None:
                return
            if claim.attempt >= ATTEMPTS:
                self._bury(claim.request.id, claim.node, now)
            else:
                connection.execute(
                    "UPDATE requests SET free = ?, lease = NULL WHERE lease = ?",
                    (now + int(pause * 1000), claim.lease),
                )

    def dead(self) -> list[DeadRequest]:
        """What is dead, oldest first."""
        with self._using("read") as connection:
            rows = connection.execute(
                f"SELECT {_REQUEST}, died FROM requests"  # noqa: S608
                " WHERE died IS NOT NULL ORDER BY died, number"
            )
            return [DeadRequest(_request(fields), died) for *fields, died in rows]

    def requeue_dead(self) -> int:
        """Let workers take all that is dead once more, whenever that may be; returns how many.

        Nobody waits for the answers.
        """
        with self._using("write to") as connection, self._transaction(connection):
            return connection.execute(
                "UPDATE requests SET died = NULL, attempts = 0, expires = NULL, free = 0,"
                " lease = NULL WHERE died IS NOT NULL"
            ).rowcount

    def _answer(self, id: str, node: str, answer: Answer, now: int) -> None:
        fields = (id, node, answer.code, answer.refusal, answer.body, now)
        self._connection.execute(_ANSWER, fields)

    def _bury(self, id: str, node: str, now: int) -> None:
        connection = self._connection
        connection.execute("UPDATE requests SET died = ?, lease = NULL WHERE id = ?", (now, id))
        self._answer(id, node, FAILED, now)
        connection.execute(
            "DELETE FROM requests WHERE died < ? OR number IN (SELECT number FROM requests"
            " WHERE died IS NOT NULL ORDER BY died DESC, number DESC LIMIT -1 OFFSET ?)",
            (now - DEAD_SECONDS * 1000, MAX_DEAD),
        )


def _now() -> int:
    return int(time.time() * 1000)


def _row(request: Request) -> tuple[Any, ...]:
    id, name, body, sender, sent, timeout = request
    return (id, name, body, *(sender or (None, None)), sent, timeout)


def _request(fields: list[Any]) -> Request:
    id, name, body, sender_id, sender_name, sent, timeout = fields
    sender = None if sender_id is None else Sender(sender_id, sender_name)
    return Request(id, name, body, sender, sent, timeout)

"""The way of requests on one machine: through the SQLite file that workers share.

A thread owns the file. It writes what the event loop hands over, and looks for answers while, and
only while, somebody waits for one.
"""

import asyncio
import contextlib
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from roomline.broker import BrokerError, BrokerUnavailable, PublishUnconfirmed
from roomline.brokers.awaited import Awaited
from roomline.brokers.loopcalls import LoopCalls, LoopEnded
from roomline.requests import Answer, Request
from roomline.sqlitefile import LogError, LogReplaced, LogUnavailable, LogUnconfirmed, LogUnusable
from roomline.sqlitequeue import SqliteQueue

POLL_SECONDS: Final = 0.005
"""How often the file is asked whether a worker has changed it."""
RETRY_SECONDS: Final = 1.0
"""The least time between two attempts to open the file."""
CLOSE_SECONDS: Final = 5.0
_SLACK = 100  # ids of what is answered that may be kept

_logger = logging.getLogger(__name__)


class EmbeddedRequests:
    """See `roomline.broker.Requests`. `path` is that of the queue."""

    reconnects: Mapping[str, int] = MappingProxyType({})

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._node = secrets.token_hex(8)
        self._awaited = Awaited()
        self._waiting: queue.SimpleQueue[Request | None] = queue.SimpleQueue()  # None: wake up
        self._closed = False
        self._thread: threading.Thread | None = None
        self._retry_at = 0.0
        self._trouble = ""
        self._there: set[str] = set()
        """Ids of what was put into the file that is open; some are answered by now."""

    async def start(self) -> None:
        """See `Requests.start`."""
        loop = asyncio.get_running_loop()
        self._tell = LoopCalls(loop)
        self._started: asyncio.Future[None] = loop.create_future()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="roomline-requests", daemon=True)
        self._thread.start()
        await self._started

    def send(self, request: Request) -> asyncio.Future[Answer]:
        """See `Requests.send`."""
        future = self._awaited.add(request)
        if self._thread is None or self._closed:
            self._awaited.fail(request.id, BrokerUnavailable("requests are not taken any more"))
        else:
            self._waiting.put(request)
        return future

    async def close(self) -> None:
        """See `Requests.close`; takes at most `CLOSE_SECONDS`."""
        self._closed = True
        self._awaited.fail_all("this node ends")
        if self._thread is not None:
            self._waiting.put(None)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), CLOSE_SECONDS)

    # The thread's side.

    def _run(self) -> None:
        found: SqliteQueue | None = None
        try:
            while not self._closed:
                requests = self._take()
                try:
                    if found is None:
                        found = self._open()
                    self._put(found, requests)
                    requests = []
                    self._collect(found)
                    self._trouble = ""
                except LogError as error:
                    if found is not None and isinstance(error, LogUnavailable):
                        # Locked, say. What is in the file stays there, and is answered yet.
                        self._note(error)
                        continue
                    if found is not None:
                        found.close()
                        found = None
                    self._fail(error, requests)
        except LoopEnded:
            _logger.warning("the event loop ended and its requests were not closed")
        except Exception:
            _logger.exception("the thread that carries requests has failed")
            self._closed = True
            with contextlib.suppress(LoopEnded):
                self._tell(self._awaited.fail_all, "the thread that carries requests has failed")
        finally:
            if found is not None:
                found.close()
            with contextlib.suppress(LoopEnded):
                self._tell(self._ended.set)

    def _open(self) -> SqliteQueue:
        if time.monotonic() < self._retry_at:
            raise LogUnavailable(self._trouble)
        self._retry_at = time.monotonic() + RETRY_SECONDS
        found = SqliteQueue(self._path)
        self._seen = -1
        self._tell(self._begun, None)
        return found

    def _take(self) -> list[Request]:
        """What is to be sent, after waiting for it or until answers are to be looked for."""
        patience = POLL_SECONDS if self._awaited or not self._started.done() else None
        requests: list[Request] = []
        try:
            request = self._waiting.get(timeout=patience)
            while True:
                if request is not None:
                    requests.append(request)
                request = self._waiting.get_nowait()
        except queue.Empty:
            return requests

    def _put(self, found: SqliteQueue, requests: list[Request]) -> None:
        """Put these into the queue; what cannot be put is answered."""
        for request in requests:
            try:
                found.put(request, self._node)
                self._there.add(request.id)
            except LogReplaced:
                raise
            except LogUnconfirmed as error:
                self._there.add(request.id)
                self._tell(self._awaited.fail, request.id, PublishUnconfirmed(str(error)))
            except LogError as error:
                self._tell(self._awaited.fail, request.id, BrokerUnavailable(str(error)))

    def _collect(self, found: SqliteQueue) -> None:
        if not self._awaited:
            return
        changes = found.changes()
        if changes == self._seen:
            return
        self._seen = changes
        for id, answer in found.collect(self._node):
            self._tell(self._awaited.answer, id, answer)
        if len(self._there) > 2 * len(self._awaited) + _SLACK:
            self._there = {id for id in self._there if id in self._awaited}

    def _fail(self, error: LogError, requests: list[Request]) -> None:
        """The file cannot be used: nobody is left waiting for it. What comes now may yet find
        another one."""
        self._note(error)
        for request in requests:
            self._tell(self._awaited.fail, request.id, BrokerUnavailable(str(error)))
        for id in self._there:
            self._tell(self._awaited.fail, id, PublishUnconfirmed(str(error)))
        self._there.clear()
        self._tell(self._begun, error)

    def _note(self, error: LogError) -> None:
        if str(error) != self._trouble:
            self._trouble = str(error)
            _logger.warning("requests cannot be carried: %s", error)

    def _begun(self, error: LogError | None) -> None:
        if self._started.done():
            return
        if isinstance(error, LogUnusable):
            self._closed = True
            self._started.set_exception(BrokerError(str(error)))
        else:
            self._started.set_result(None)

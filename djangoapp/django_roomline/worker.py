"""The worker: gives requests to handlers in threads, and each its answer.

::

    source.take ─▶ a free thread ─▶ handler ─▶ answer, finish
                                       ├─ too slow ─▶ an error is answered; the thread goes on
                                       └─ defect ───▶ fail: again, here or elsewhere, or dead

The main thread only takes and watches, so that what was taken is kept alive however long a handler
thinks. Nothing is lost wherever this ends: a request that is not finished is given to another
worker, which may have been done already; a handler tells by the request's id.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from django.db import close_old_connections, connections, reset_queries
from roomline.requests import DEFAULT_TIMEOUT, Answer, error_answer

from django_roomline.answering import answer
from django_roomline.pauses import Pauses
from django_roomline.requests import Handler, handler_of
from django_roomline.sources import Delivery, Source, SourceUnavailable

RETRY_SECONDS: Final = (0.2, 1.0)
"""Pauses before the second and the third attempt at what has met a defect."""
_TAKE_SECONDS = 0.25  # a stop is heard between two takes
_TEND_SECONDS = 0.02

_logger = logging.getLogger("django_roomline")


class Stop(Protocol):
    """Tells whether to go on."""

    @property
    def asked(self) -> bool:
        """Whether to take nothing more, and end when what was taken is done."""


class _Running:
    """A request in the hands of a thread."""

    def __init__(self, delivery: Delivery, handler: Handler | None) -> None:
        self.delivery = delivery
        self.handler = handler
        self.deadline = time.monotonic() + (handler.timeout if handler else DEFAULT_TIMEOUT)
        self.overdue = False
        self.lock = threading.Lock()
        """Held by who decides what is answered."""


class Worker:
    """Carries out requests, at most `threads` at once, until asked to stop."""

    def __init__(
        self,
        source: Source,
        stop: Stop,
        threads: int,
        *,
        find: Callable[[str], Handler | None] = handler_of,
    ) -> None:
        self.answered = 0
        self.failed = 0
        self._source = source
        self._stop = stop
        self._find = find
        self._running: dict[str, _Running] = {}
        """By the requests' ids. Only the main thread adds, only threads remove."""
        self._given: queue.SimpleQueue[_Running | None] = queue.SimpleQueue()
        # Daemons: a handler that never returns must not keep the process alive.
        self._threads = [
            threading.Thread(target=self._work, name=f"roomline-worker-{number}", daemon=True)
            for number in range(1, threads + 1)
        ]

    def run(self) -> None:
        """Work until asked to stop; then take nothing more, and return when what was taken is
        done or has exceeded its time."""
        for thread in self._threads:
            thread.start()
        pauses = Pauses()
        try:
            while not self._stop.asked:
                try:
                    self._take()
                    pauses.reset()
                except SourceUnavailable as error:
                    pause = pauses.next()
                    _logger.warning("no requests, next try in %.1f seconds: %s", pause, error)
                    self._wait(pause)
            self._finish()
        finally:
            for _ in self._threads:
                self._given.put(None)
            self._source.close()

    def _take(self) -> None:
        if len(self._running) < len(self._threads):
            delivery = self._source.take(_TAKE_SECONDS)
            if delivery is not None:
                self._begin(delivery)
        else:
            self._source.tend(_TEND_SECONDS)
        self._watch()

    def _begin(self, delivery: Delivery) -> None:
        running = self._running.get(delivery.request.id)
        if running is not None:
            # It was lost to this worker, and came back before the handler was done.
            with running.lock:
                running.delivery = delivery
            if delivery.request.id in self._running:
                return
        handler = self._find(delivery.request.name)
        if handler is None:
            _logger.warning("no handler has the name %s", delivery.request.name)
        running = self._running[delivery.request.id] = _Running(delivery, handler)
        self._given.put(running)

    def _watch(self) -> None:
        """Answer for handlers that take too long."""
        now = time.monotonic()
        for running in list(self._running.values()):
            if running.overdue or now < running.deadline:
                continue
            with running.lock:
                if running.delivery.request.id not in self._running:
                    continue
                running.overdue = True
                request = running.delivery.request
                _logger.error(
                    "the handler of %s takes more than its time; request %s goes on without an"
                    " answer",
                    request.name,
                    request.id,
                )
                reason = "this takes too long: it may or may not be carried out"
                running.delivery.answer(error_answer("request_timeout", reason))

    def _finish(self) -> None:
        self._source.stop()
        while any(not running.overdue for running in list(self._running.values())):
            try:
                self._source.tend(_TEND_SECONDS)
            except SourceUnavailable:
                time.sleep(_TEND_SECONDS)
            self._watch()
        for running in list(self._running.values()):
            # It was answered, and would take as long elsewhere.
            running.delivery.finish()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._stop.asked:
            time.sleep(_TEND_SECONDS)
            self._watch()

    # What a thread does.

    def _work(self) -> None:
        try:
            while (running := self._given.get()) is not None:
                self._carry_out(running)
        finally:
            connections.close_all()

    def _carry_out(self, running: _Running) -> None:
        request, attempt = running.delivery.request, running.delivery.attempt
        outcome: Answer | None = None
        try:
            # As Django does around a request: connections that are broken or too old are closed.
            reset_queries()
            close_old_connections()
            outcome = answer(running.handler, request, attempt)
        except BaseException:  # SystemExit, too, ends a request and not the thread
            _logger.exception(
                "the handler of %s has failed, attempt %d at request %s",
                request.name,
                attempt,
                request.id,
            )
        finally:
            self._close_connections()
        with running.lock:
            try:
                self._settle(running, outcome)
            except Exception:
                # An answer that cannot be carried, say: the thread goes on.
                _logger.exception("the answer to request %s could not be given", request.id)
                self._retry(running.delivery)
            finally:
                # Not before: a worker that is told to stop ends when nothing is in here.
                del self._running[request.id]

    def _settle(self, running: _Running, outcome: Answer | None) -> None:
        delivery = running.delivery
        if outcome is not None:
            if not running.overdue:
                delivery.answer(outcome)
            delivery.finish()
            self.answered += 1
        elif running.overdue:
            delivery.finish()  # it was answered: nobody waits for another attempt
        else:
            self._retry(delivery)

    def _retry(self, delivery: Delivery) -> None:
        self.failed += 1
        delivery.fail(RETRY_SECONDS[min(delivery.attempt, len(RETRY_SECONDS)) - 1])

    def _close_connections(self) -> None:
        try:
            close_old_connections()
        except Exception:
            # Whatever a database's driver raises: the worker goes on, with a new connection.
            _logger.exception("a connection to the database could not be closed")

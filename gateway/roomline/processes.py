"""Several processes that do the same: started together, started again, ended together.

Knows nothing of what they do. The supervising process does nothing else: no event loop, no thread,
so that it may fork at any time.
"""

import contextlib
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Final, NamedTuple

END_AT_ONCE: Final = signal.SIGUSR1
"""The signal after SIGTERM. Nobody else sends it: to get SIGTERM from a service manager as well
is the same as once."""

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
STABLE_SECONDS: Final = 60.0
"""A process that ends is started again after a delay, which doubles each time; it begins anew
when a process has lived so long."""
_LINE_BYTES: Final = 4096

log = logging.getLogger(__name__)


class Worker(NamedTuple):
    """What one of the processes is told about itself."""

    number: int
    """From 0; a process that is started again has that of the one before it."""
    restarts: int
    """How often its number was started again."""
    supervisor: int
    """A descriptor that ends when the supervising process has ended, for whatever reason."""
    report: int
    """A descriptor to write to, once, one line, when it serves. To be closed then."""


class _Child:
    """One number, and the process that has it now."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        """0: there is none."""
        self.report: int | None = None
        self.said = ""
        """What it has reported."""
        self.served = False
        """Whether one with this number has ever reported."""
        self.restarts = 0
        self.due = 0.0
        self._began = 0.0
        self._delay = FIRST_DELAY

    def started(self, pid: int, report: int) -> None:
        self.pid, self.report, self.said = pid, report, ""
        self._began = time.monotonic()

    def ended(self) -> float:
        """Returns after how many seconds it is to be started again."""
        now = time.monotonic()
        if now - self._began >= STABLE_SECONDS:
            self._delay = FIRST_DELAY
        delay = self._delay
        self._delay = min(2 * delay, LONGEST_DELAY)
        self.pid, self.due = 0, now + delay
        self.restarts += 1
        return delay


class Supervisor:
    """Runs `work` in `count` processes until a signal ends it.

    After the first SIGTERM or SIGINT each of them gets a SIGTERM, after the second
    `END_AT_ONCE`; `run` returns when they have ended. One that ends before is started again.
    One that ends with a status other than 0 without ever having reported ends everything with
    that status: it could not start.
    """

    def __init__(
        self, count: int, work: Callable[[Worker], int], serving: Callable[[list[str]], None]
    ) -> None:
        """`serving` is told what all have reported, when all have for the first time."""
        self._work = work
        self._serving = serving
        self._children = [_Child(number) for number in range(count)]
        self._selector = selectors.DefaultSelector()
        self._ending = False
        self._status = 0
        self._told = False

    def run(self) -> int:
        """Returns the exit status."""
        self._alive, self._life = os.pipe()
        wake, self._waker = os.pipe()
        for descriptor in (wake, self._waker):
            os.set_blocking(descriptor, False)
        self._selector.register(wake, selectors.EVENT_READ)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        before = {number: signal.signal(number, self._signalled) for number in numbers}
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        try:
            while not self._over():
                self._start_due()
                for key, _ in self._selector.select(self._patience()):
                    if key.fd == wake:
                        with contextlib.suppress(BlockingIOError):
                            os.read(wake, _LINE_BYTES)
                    else:
                        self._read_report(key.fd)
                self._reap()
            return self._status
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            for descriptor in (self._alive, self._life, wake, self._waker):
                os.close(descriptor)

    def _over(self) -> bool:
        return self._ending and not any(child.pid for child in self._children)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._end()

    def _end(self) -> None:
        """Have all processes end; the second time, at once."""
        number = END_AT_ONCE if self._ending else signal.SIGTERM
        self._ending = True
        for child in self._children:
            if child.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, number)

    def _patience(self) -> float | None:
        """Seconds until one is to be started again; None if that is not the case."""
        if self._ending:
            return None
        waiting = [child.due for child in self._children if not child.pid]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _start_due(self) -> None:
        for child in self._children:
            if not child.pid and not self._ending and child.due <= time.monotonic():
                self._start(child)

    def _start(self, child: _Child) -> None:
        reported, report = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that comes now waits until both sides know who they are.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        try:
            if not self._ending:
                self._fork(child, reported, report, held)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            os.close(report)
            if child.report is None:
                os.close(reported)

    def _fork(
        self, child: _Child, reported: int, report: int, mask: set[int | signal.Signals]
    ) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            if not child.served:
                raise
            log.error("process %d could not be started again: %s", child.number, error)
            child.ended()
            return
        if pid == 0:
            self._become(child, report, mask)
        child.started(pid, reported)
        os.set_blocking(reported, False)
        self._selector.register(reported, selectors.EVENT_READ)

    def _become(self, child: _Child, report: int, mask: set[int | signal.Signals]) -> None:
        """In the new process; does not return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._selector.close()
            os.close(self._life)  # so that `_alive` ends with the supervising process
            for other in self._children:
                if other.report is not None:
                    os.close(other.report)
            status = self._work(Worker(child.number, child.restarts, self._alive, report))
        except BaseException:
            log.exception("process %d has failed", child.number)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _read_report(self, descriptor: int) -> None:
        child = next(child for child in self._children if child.report == descriptor)
        try:
            read = os.read(descriptor, _LINE_BYTES).decode(errors="replace")
        except BlockingIOError:
            return
        child.said += read
        if read and "\n" not in child.said:
            return
        self._close_report(child)
        child.served = child.served or bool(child.said)
        if not self._told and all(child.said for child in self._children):
            self._told = True
            self._serving([child.said.strip() for child in self._children])

    def _close_report(self, child: _Child) -> None:
        if child.report is not None:
            self._selector.unregister(child.report)
            os.close(child.report)
            child.report = None

    def _reap(self) -> None:
        for child in self._children:
            if not child.pid:
                continue
            pid, code = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                continue
            if child.report is not None:
                self._read_report(child.report)
            self._close_report(child)
            status = os.waitstatus_to_exitcode(code)
            delay = child.ended()
            if self._ending:
                continue
            if not child.served and status > 0:
                self._status = status
                self._end()
            else:
                log.error(
                    "process %d has ended with status %d; it is started again in %g s",
                    child.number,
                    status,
                    delay,
                )

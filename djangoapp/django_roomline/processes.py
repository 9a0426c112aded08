"""Several programs that live and die together, for development on one machine."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, Self

GRACE_SECONDS: Final = 5.0
"""How long a program may take to stop when asked to, before it is killed."""
_POLL_SECONDS = 0.1
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """SIGINT or SIGTERM came."""


class ProgramEnded(Exception):
    """One of the programs ended by itself; the text says which and how."""


class NotAnswering(Exception):
    """A program did not come up in time; the text says what it answered last."""


class Programs:
    """Child processes that are all stopped when the block ends, however it ends.

    In the block, which is one of the main thread, whatever waits raises `Stopped` after SIGINT or
    SIGTERM. The handler itself raises nothing: an exception at any moment could come while
    `subprocess` holds a lock, or where Python drops it. Further signals change nothing, so that an
    impatient second Ctrl-C leaves no programs behind.
    """

    def __init__(self) -> None:
        self._signalled = False
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._signal) for number in _STOP_SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop_all()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        interactive: bool = True,
    ) -> None:
        """Start a program. It shares the terminal, so that a debugger in it can be used.

        One that is not interactive hears of a Ctrl-C only from here, when everything is stopped:
        it would not expect one while it starts.
        """
        self._running[name] = subprocess.Popen(  # noqa: S603 - ours
            command, env=environment, preexec_fn=None if interactive else _ignore_interrupts
        )

    def wait_until_answering(
        self, name: str, url: str, accept: Callable[[int], bool], seconds: float
    ) -> None:
        """Return when GET `url` gives a status that `accept` takes.

        Raises `Stopped`, `ProgramEnded`, or `NotAnswering` after that many seconds.
        """
        deadline = time.monotonic() + seconds
        while True:
            self._check()
            status, text = _get(url)
            if accept(status):
                return
            if time.monotonic() > deadline:
                raise NotAnswering(f"{name} is not ready after {seconds:g} seconds: {text}")
            time.sleep(_POLL_SECONDS)

    def wait(self) -> NoReturn:
        """Wait until a signal comes or one of them ends; raises `Stopped` or `ProgramEnded`."""
        while True:
            self._check()
            time.sleep(_POLL_SECONDS)

    def _signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True

    def _check(self) -> None:
        ended = {name: process.poll() for name, process in self._running.items()}
        # After that look: a Ctrl-C ends the programs, too.
        if self._signalled:
            raise Stopped
        for name, status in ended.items():
            if status is not None:
                how = f"with status {status}" if status >= 0 else f"by signal {-status}"
                raise ProgramEnded(f"{name} ended {how}")

    def _stop_all(self) -> None:
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for name, process in self._running.items():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                print(f"{name} did not stop in {GRACE_SECONDS:g} seconds: killed", file=sys.stderr)
                process.kill()
                process.wait()
        self._running.clear()


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _NotFollowed(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for an answer: where it leads is not the program that is asked."""

    def redirect_request(self, *_: Any) -> None:
        return None


# The servers are on this machine: no proxy that the environment may name.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NotFollowed)


def _get(url: str) -> tuple[int, str]:
    """The status of GET, 0 if there is no answer, and a short text about it."""
    try:
        with _opener.open(url, timeout=5) as response:
            return response.status, ""
    except urllib.error.HTTPError as error:
        with error:
            body = error.read(300).decode(errors="replace").strip()
        return error.code, f"{url} answers {error.code} {body}"
    except OSError as error:
        return 0, f"{url} gives no answer ({error})"

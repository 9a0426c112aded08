"""SIGINT and SIGTERM for commands that run for ever: heard between two steps."""

import os
import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Final, Protocol, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Stop(Protocol):
    """Tells whether to go on, and waits."""

    @property
    def asked(self) -> bool:
        """Whether to end as soon as nothing is half done."""

    def wait(self, seconds: float) -> None:
        """Return after that time, or earlier when it is asked to stop."""


class StopSignals:
    """In the block, which is one of the main thread, the first signal is kept in `asked`.

    A second one ends the process at once and without a word. The handler takes no lock, so that it
    can run at any moment. A signal that whoever started the process had ignored stays ignored, as
    with ``nohup``: a Ctrl-C is for the terminal's leader then, and its SIGTERM would be a second.
    """

    def __init__(self) -> None:
        self.asked = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._heard, self._hear = socket.socketpair()
        self._hear.setblocking(False)
        self._handlers = {
            number: signal.signal(number, self._stop)
            for number in SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._heard.close()
        self._hear.close()

    def wait(self, seconds: float) -> None:
        """Return after that time, or when a signal comes."""
        select.select([self._heard], [], [], seconds)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            os._exit(128 + number)
        self.asked = True
        self._hear.send(b"x")

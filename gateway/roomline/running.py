"""A gateway from its start to the signal that ends it: one process, or several behind one port."""

import asyncio
import contextlib
import gc
import logging
import os
import secrets
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from roomline import logs
from roomline.config import Settings
from roomline.from_settings import Place
from roomline.listening import StartError, bind
from roomline.processes import END_AT_ONCE, Supervisor, Worker
from roomline.server import Gateway

log = logging.getLogger(__name__)

_COLLECTION: Final = (2_000, 5, 200)
"""New objects until the young ones are looked through; after so many times those that were left
over; and after so many times of that, everything."""


def serve(settings: Settings) -> int:
    """Run a gateway until a signal ends it; returns the exit status.

    Prints one line on standard output when it serves. The first SIGTERM or SIGINT drains it, the
    second ends it at once.
    """
    logs.set_up(settings.log_level, settings.log_format)
    if settings.keys is None and not settings.anonymous:
        log.warning("nobody can connect: there are no keys, and anonymous is false")
    try:
        if settings.processes > 1:
            return _serve_in_processes(settings)
        asyncio.run(_serve(settings, _say))
    except StartError as error:
        print(f"roomline: {error}", file=sys.stderr)
        return 2
    return 0


def _say(url: str, internal: str) -> None:
    print(f"roomline: serving {url}, internal {internal}", flush=True)


# Several processes.


def _serve_in_processes(settings: Settings) -> int:
    began = int(1000 * time.time())
    key = secrets.token_bytes(32)
    with contextlib.ExitStack() as undo:
        port = _reserve(settings, undo)
        directory = undo.enter_context(tempfile.TemporaryDirectory(prefix="roomline-"))
        settings = replace(settings, port=port)

        def work(worker: Worker) -> int:
            since = int(1000 * time.time()) if worker.restarts else began
            place = Place(worker.number, since, worker.restarts, directory, key)
            return _work(settings, place, worker)

        def serving(reports: list[str]) -> None:
            pairs = [report.split(" ") for report in reports]
            _say(pairs[0][0], ",".join(internal for _, internal in pairs))

        return Supervisor(settings.processes, work, serving).run()


def _work(settings: Settings, place: Place, worker: Worker) -> int:
    """One of the processes, until it ends; returns its exit status."""

    def report(url: str, internal: str) -> None:
        os.write(worker.report, f"{url} {internal}\n".encode())
        os.close(worker.report)

    logs.set_up(settings.log_level, settings.log_format, place.number)
    try:
        asyncio.run(_serve(settings, report, place, worker.supervisor))
    except StartError as error:
        print(f"roomline: {error}", file=sys.stderr)
        return 2
    finally:
        if select.select([worker.supervisor], [], [], 0)[0]:
            # Whose it is has been killed. The last one to end can remove it.
            with contextlib.suppress(OSError):
                Path(place.directory).rmdir()
    return 0


def _reserve(settings: Settings, undo: contextlib.ExitStack) -> int:
    """The port for clients, which nobody listens on and nobody takes until `undo`, but processes
    of this user that mean to share it. Raises `StartError`."""
    with contextlib.ExitStack() as free:
        # Alone first: another gateway of this user would share it without a word.
        names = [
            (each.family, each.getsockname())
            for each in bind("", settings.host, settings.port, free)
        ]
    for family, name in names:
        kept = undo.enter_context(socket.socket(family))
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            kept.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            kept.bind(name)
        except OSError as error:
            raise StartError(
                f"port: port {name[1]} of {settings.host} cannot be kept: {error.strerror}"
            ) from None
    port: int = names[0][1][1]
    return port


# One node.


async def _serve(
    settings: Settings,
    serving: Callable[[str, str], None],
    place: Place | None = None,
    supervisor: int | None = None,
) -> None:
    """Serve until a signal comes, or until the descriptor of a supervising process ends.
    `serving` is told the addresses, once."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.log_loop_exception)
    gateway = Gateway(settings, place)
    with _signals(loop, supervisor) as (drain, end):
        try:
            await _unless(end, gateway.start())
            _collect_seldom()
            if not drain.is_set():
                serving(gateway.url, gateway.internal_url)
            await drain.wait()
            log.info("draining: clients are sent elsewhere within %g s", settings.drain)
            await _unless(end, gateway.drain())
        finally:
            await gateway.close()
    log.info("ended")


def _collect_seldom() -> None:
    """Let Python look through everything that lives after two million new objects.

    By itself it does so whenever that has grown by a quarter, and stands still meanwhile: for most
    of a second when there are 10,000 sessions, which have a million objects, and again and again
    while a crowd connects. What a session leaves is freed without it: it is for the exceptions.
    """
    gc.collect()
    gc.freeze()  # modules and settings stay
    gc.set_threshold(*_COLLECTION)


@contextlib.contextmanager
def _signals(
    loop: asyncio.AbstractEventLoop, supervisor: int | None
) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Two events: the first signal sets the first, another one the second. Below a supervising
    process, which has its own signal for that, all others and its death set the first alone."""
    drain, end = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (end if drain.is_set() and supervisor is None else drain).set()

    def told_twice() -> None:
        drain.set()
        end.set()

    def orphaned() -> None:
        drain.set()
        if supervisor is not None:
            loop.remove_reader(supervisor)

    handlers = {signal.SIGTERM: signalled, signal.SIGINT: signalled}
    if supervisor is not None:
        handlers[END_AT_ONCE] = told_twice
        loop.add_reader(supervisor, orphaned)
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield drain, end
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
        if supervisor is not None:
            loop.remove_reader(supervisor)


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do some work, or drop it when the event is set."""
    doing, waiting = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
    finally:
        for task in (doing, waiting):
            task.cancel()
        await asyncio.gather(doing, waiting, return_exceptions=True)

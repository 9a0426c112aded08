"""For the tests of those who use Roomline: a real gateway, on a log of its own, in this process.

::

    with LiveGateway(namespaces="chat:read=public,write=public") as gateway:
        with gateway.client() as client:
            lobby = client.subscribe("chat.lobby")
            gateway.publish("chat.lobby", {"text": "hello"})
            assert lobby.next().data == {"text": "hello"}

It is the gateway that ``roomline serve`` runs, on the embedded log, in a thread. Nothing of it is
left when the block ends, and any number of them may run at the same time.
"""

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Self

from roomline.client import BlockingClient
from roomline.config import load
from roomline.server import Gateway
from roomline.sqlitelog import PUBLISHER, SqliteLog
from roomline.wire import Envelope, Kind, body_of, check_room

START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 20.0

_DEFAULTS: Final = {
    "host": "127.0.0.1",
    "port": "0",
    "internal_port": "0",
    "anonymous": "true",
    "namespaces": "chat:read=public,write=public",
    "drain": "0",
}


class LiveGateway:
    """A gateway that serves while the ``with`` block lasts, or from `start` to `stop`.

    `settings` are those of ``roomline serve`` by their names, as text (docs/settings.rst); where
    they say nothing, anonymous clients may read and write the rooms of ``chat``, on free ports of
    127.0.0.1, and the log is a file that goes with the gateway. `broker` may name another log.
    Raises `roomline.config.SettingsError` for settings that are not accepted.
    """

    def __init__(self, **settings: str) -> None:
        self.url = ""
        """The SockJS endpoint, once it serves."""
        self.internal_url = ""
        """Where health, metrics and the HTTP API are."""
        self.broker = settings.get("broker", "")
        """The address of the log, once it serves: for others that are to use it."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._settings = load(
            {},
            {f"ROOMLINE_{name.upper()}": value for name, value in (_DEFAULTS | settings).items()},
        )
        self._thread: threading.Thread | None = None
        self._end: Callable[[], object] = lambda: None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return when it serves and has read its log.

        Raises `roomline.listening.StartError`, and `TimeoutError` after `START_SECONDS`; nothing of
        the gateway is left then.
        """
        if self._thread is not None:
            raise RuntimeError("a live gateway is started once: make another one")
        if not self.broker:
            self._folder = tempfile.TemporaryDirectory(
                prefix="roomline-", ignore_cleanup_errors=True
            )
            self.broker = f"embedded:{self._folder.name}/log.sqlite3"
        started = threading.Event()
        failure: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self._serve(started))
            except BaseException as error:
                failure.append(error)
                started.set()

        self._thread = threading.Thread(target=run, name="roomline-gateway", daemon=True)
        self._thread.start()
        in_time = started.wait(START_SECONDS)
        error = failure[0] if failure else None
        if not in_time:
            late = f"the gateway has not read its log within {START_SECONDS:g} seconds"
            error = TimeoutError(late)
        if error is not None:
            with contextlib.suppress(TimeoutError):  # the first error says more
                self.stop()
            raise error

    def stop(self) -> None:
        """End it, even if it is still starting; clients are disconnected. Idempotent.

        Raises `TimeoutError` if it does not end within `STOP_SECONDS`.
        """
        try:
            if self._thread is not None:
                self._end()
                self._thread.join(STOP_SECONDS)
                if self._thread.is_alive():
                    raise TimeoutError(f"the gateway has not ended within {STOP_SECONDS:g} seconds")
        finally:
            if self._folder is not None:
                self._folder.cleanup()

    def client(self, **options: Any) -> BlockingClient:
        """A client of this gateway, not connected; `options` are those of
        `roomline.client.Client`, for instance ``transport="xhr-polling"``."""
        return BlockingClient(self.url, **options)

    def publish(self, room: str, data: Any, kind: Kind = "message") -> None:
        """Append to the log as a publisher that gateways trust does.

        Only on the embedded log. Raises `roomline.wire.InvalidName` and `InvalidData`.
        """
        path = self.broker.removeprefix("embedded:")
        if path == self.broker:
            raise ValueError("publish is for gateways on an embedded log: use the broker's own way")
        now = int(time.time() * 1000)
        log = SqliteLog(path)
        try:
            log.append(
                [
                    Envelope(
                        check_room(room), body_of(data), time=now, kind=kind, publisher=PUBLISHER
                    )
                ]
            )
        finally:
            log.close()

    async def _serve(self, started: threading.Event) -> None:
        loop, serving = asyncio.get_running_loop(), asyncio.current_task()
        assert serving is not None
        gateway = Gateway(replace(self._settings, broker=self.broker))
        self.url, self.internal_url = gateway.url, gateway.internal_url
        # Wherever it is: a start that hangs ends like anything else.
        self._end = lambda: loop.is_closed() or loop.call_soon_threadsafe(serving.cancel)
        try:
            await gateway.start()
            while not gateway.node.ready:  # noqa: ASYNC110 - once in a life
                await asyncio.sleep(0.005)
            started.set()
            await loop.create_future()
        finally:
            await gateway.close()

"""A part of the soak's crowd: holds sessions of mixed transports, and tells how they fared.

Run as a child. It writes a line when all are connected, and an account when a line comes in.
"""

import argparse
import asyncio
import json
import re
import resource
import sys
import time
from dataclasses import asdict, dataclass, field

from bench.sessions import MIX, Ended, Session

ROOM = "bench.room"
WITNESS_EVERY = 51
"""One in so many sessions subscribes to the room, of every transport; the others are idle."""
CONNECT = json.dumps({"id": 1, "type": "connect", "version": 1})
SUBSCRIBE = json.dumps({"id": 2, "type": "subscribe", "room": ROOM})
_TIME = re.compile(r"@\d+\.(\d+)@")


@dataclass
class Account:
    """How the sessions fared. Times in ms."""

    connected: int = 0
    failed: int = 0
    """Sessions that ended before they were connected."""
    dropped: int = 0
    """Sessions that ended after."""
    silent: int = 0
    """Sessions that for much longer than a heartbeat heard nothing."""
    heartbeats: int = 0
    witnesses: int = 0
    connecting: list[float] = field(default_factory=list)
    """How long each took from its first byte to its answer."""
    deliveries: list[tuple[float, float]] = field(default_factory=list)
    """When each publication was sent (s, of the monotonic clock), and how long it took."""
    problems: list[str] = field(default_factory=list)


class Crowd:
    """Sessions that are held from one source address."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._patience = options.heartbeat * 1.5 + 2
        self._tasks: list[asyncio.Task[None]] = []
        self._sessions: list[Session] = []
        self.account = Account()
        self._connecting = asyncio.Semaphore(options.at_once)
        self._heard: dict[Session, float] = {}
        """When each connected session last heard something."""
        self._settled = 0
        self.all_settled = asyncio.Event()

    async def gather(self) -> None:
        """Begin with all, evenly over the given time."""
        options = self._options
        begun = time.monotonic()
        for number in range(options.count):
            await asyncio.sleep(begun + number * options.over / options.count - time.monotonic())
            await self._connecting.acquire()
            path = f"/roomline/000/{options.name}-{number}"
            session = MIX[number % len(MIX)](options.port, path, options.source)
            witness = options.witnesses and number % WITNESS_EVERY == 0
            self._sessions.append(session)
            self._tasks.append(asyncio.create_task(self._hold(session, witness)))

    async def _hold(self, session: Session, witness: bool) -> None:
        account, begun = self.account, time.monotonic()
        connected = False
        try:
            async for frame in session.frames():
                now = time.monotonic()
                if connected:
                    self._hear(session, now)
                if frame == "h":
                    account.heartbeats += 1
                elif frame == "o":
                    await session.send(CONNECT)
                elif frame.startswith("c["):
                    raise Ended(f"{session.transport}: {frame}")
                elif not connected:
                    if '\\"connected\\"' not in frame:
                        raise Ended(f"{session.transport}: {frame[:200]}")
                    connected = True
                    account.connected += 1
                    account.connecting.append((now - begun) * 1000)
                    self._heard[session] = now
                    self._settle()
                    if witness:
                        await session.send(SUBSCRIBE)
                        account.witnesses += 1
                else:
                    for sent in _TIME.findall(frame):
                        at = int(sent) / 1e9
                        account.deliveries.append((at, (now - at) * 1000))
        except (Ended, OSError, EOFError, ValueError) as error:
            if connected:
                account.dropped += 1
            else:
                account.failed += 1
                self._settle()
            if len(account.problems) < 5:
                account.problems.append(f"{session.transport}: {error!r}")
            self._heard.pop(session, None)

    def _hear(self, session: Session, now: float) -> None:
        if now - self._heard[session] > self._patience:
            self.account.silent += 1
        self._heard[session] = now

    def finish(self) -> Account:
        """The account, with those that hear nothing any more."""
        now = time.monotonic()
        for session in self._heard:
            self._hear(session, now)
        for task in self._tasks:
            task.cancel()
        for session in self._sessions:
            session.abort()
        return self.account

    def _settle(self) -> None:
        self._settled += 1
        self._connecting.release()
        if self._settled == self._options.count:
            self.all_settled.set()


async def hold(options: argparse.Namespace) -> None:
    """Gather, say so, hold until told, account."""
    crowd = Crowd(options)
    await crowd.gather()
    await crowd.all_settled.wait()
    print(json.dumps([crowd.account.connected, crowd.account.failed]), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(asdict(crowd.finish())), flush=True)


def main() -> None:
    """Read the command line and hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.held")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", required=True, help="begins the ids of its sessions")
    parser.add_argument("--source", required=True, help="the address that it connects from")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--over", type=float, required=True, help="seconds for all to begin in")
    parser.add_argument("--at-once", type=int, required=True, help="so many may be connecting")
    parser.add_argument("--heartbeat", type=float, required=True, help="seconds between two")
    parser.add_argument("--witnesses", action="store_true", help="let some subscribe")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As many connections, as many messages on their way at worst, and some of its own.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2 * options.count + 100, hard), hard))
    asyncio.run(hold(options))


if __name__ == "__main__":
    main()

"""The load: many raw websockets and one of them publishing, all in one epoll loop.

Received bytes are parsed once per distinct chunk, not once per client, since the clients of a
room receive the same bytes: so one core of load keeps up with one core of server.
"""

import json
import select
import socket
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from bench.websocket import Marks, frame, marked, marks_of, upgrade

GREETING_SECONDS = 30.0
QUIET_SECONDS = 3.0
"""Deliveries that have not come after so long without any are counted as lost."""


class Dialogue(NamedTuple):
    """How a server wants to be spoken to.

    `path` and `greeting` take the client's number: where its websocket is, and what it sends one
    after the other, each with the text that the answer contains. `publish` takes the
    publication's number and makes a client's message of its text.
    """

    path: Callable[[int], str]
    greeting: Callable[[int], Sequence[tuple[str, str]]]
    publish: Callable[[int, str], str]


class Outcome(NamedTuple):
    """What one run of publications came to. Times in seconds, latencies in nanoseconds."""

    publications: int
    deliveries: int
    seconds: float
    lost: int
    disordered: int
    latencies: "array[int]"


class _Client:
    __slots__ = ("next", "rest", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.rest = b""
        self.next = 0
        """The number of the publication that should come next."""


class Crowd:
    """`size` websockets on a server's port, greeted and subscribed; the first one publishes."""

    def __init__(self, port: int, size: int, dialogue: Dialogue, payload: int) -> None:
        self._dialogue = dialogue
        self._payload = payload
        self._published = 0
        self._received = 0
        self._disordered = 0
        self._latencies: array[int] = array("q")
        self._parsed: dict[bytes, Marks] = {}
        self._epoll = select.epoll()
        self._clients: dict[int, _Client] = {}
        for number in range(size):
            connection = _greeted(port, number, dialogue)
            self._clients[connection.fileno()] = _Client(connection)
            self._epoll.register(connection, select.EPOLLIN)
        self._size = size
        self._last = time.monotonic()
        self._publisher = next(iter(self._clients.values())).socket

    def close(self) -> None:
        """Hang up everywhere."""
        for client in self._clients.values():
            client.socket.close()
        self._epoll.close()

    def run_window(self, seconds: float, window: int) -> Outcome:
        """Publish for so long, `window` publications ahead of what the crowd has received."""
        with self._run() as outcome:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                behind = self._published - self._received // self._size
                if behind < window:
                    self._publish(window - behind)
                elif not self._receive(QUIET_SECONDS):
                    break  # the server has stopped delivering
        return outcome[0]

    def run_paced(self, seconds: float, rate: float) -> Outcome:
        """Publish `rate` times a second for so long."""
        with self._run() as outcome:
            start = time.monotonic()
            for number in range(int(seconds * rate)):
                due = start + number / rate
                while (wait := due - time.monotonic()) > 0:
                    self._receive(wait)
                self._publish(1)
        return outcome[0]

    @contextmanager
    def _run(self) -> Iterator[list[Outcome]]:
        """Account for a run of publications, and wait for the last of its deliveries."""
        self._disordered = 0
        self._latencies = array("q")
        published, received = self._published, self._received
        start = self._last = time.monotonic()
        outcome: list[Outcome] = []
        yield outcome
        expected = received + (self._published - published) * self._size
        while self._received < expected and self._receive(QUIET_SECONDS):
            pass
        outcome.append(
            Outcome(
                publications=self._published - published,
                deliveries=self._received - received,
                seconds=self._last - start,
                lost=expected - self._received,
                disordered=self._disordered,
                latencies=self._latencies,
            )
        )
        # What was lost stays lost: the next run begins with everybody at the same number.
        self._received = expected
        for client in self._clients.values():
            client.next = self._published

    def _publish(self, count: int) -> None:
        frames = []
        for number in range(self._published, self._published + count):
            text = marked(number, time.monotonic_ns(), self._payload)
            message = json.dumps([self._dialogue.publish(number, text)])
            frames.append(frame(message.encode(), masked=True))
        self._publisher.sendall(b"".join(frames))
        self._published += count

    def _receive(self, wait: float) -> bool:
        """Take what has come, waiting so long (seconds) for the first; False: nothing came."""
        events = self._epoll.poll(wait)
        for descriptor, _ in events:
            client = self._clients[descriptor]
            chunk = client.socket.recv(262144)
            if not chunk:
                self._epoll.unregister(descriptor)  # what it does not get is lost
                continue
            if client.rest:
                chunk = client.rest + chunk
            marks = self._parsed.get(chunk)
            if marks is None:
                if len(self._parsed) > 256:
                    self._parsed.clear()
                marks = self._parsed[chunk] = marks_of(chunk)
            client.rest = marks.rest
            if marks.numbers:
                self._account(client, marks)
        self._last = time.monotonic()
        return bool(events)

    def _account(self, client: _Client, marks: Marks) -> None:
        now = time.monotonic_ns()
        self._latencies.extend([now - sent for sent in marks.times])
        if marks.in_sequence and marks.numbers[0] == client.next:
            client.next += len(marks.numbers)
            self._received += len(marks.numbers)
            return
        for number in marks.numbers:
            if number < client.next:
                self._disordered += 1  # a repeat, or too late
            else:
                client.next = number + 1
                self._received += 1


def _greeted(port: int, number: int, dialogue: Dialogue) -> socket.socket:
    """A websocket that has said what it has to say before publications come."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=GREETING_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(upgrade(dialogue.path(number), port))
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection, received)
    _wait_for(connection, b"o", received.partition(b"\r\n\r\n")[2])
    for message, answer in dialogue.greeting(number):
        connection.sendall(frame(json.dumps([message]).encode(), masked=True))
        _wait_for(connection, answer.encode())
    connection.settimeout(None)
    return connection


def _wait_for(connection: socket.socket, answer: bytes, received: bytes = b"") -> None:
    """Read whole frames until one has the answer."""
    while answer not in received or marks_of(received).rest:
        received += _some(connection, received)


def _some(connection: socket.socket, before: bytes) -> bytes:
    try:
        chunk = connection.recv(65536)
    except TimeoutError:
        chunk = b""
    if not chunk:
        raise RuntimeError(f"the server did not greet as expected; it said {before[-500:]!r}")
    return chunk

"""Where the servers of a development machine listen: given addresses, or free ones."""

import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

LOOPBACK: Final = "127.0.0.1"
_TRIES = 100


class BadAddress(ValueError):
    """An address that cannot be used; the text names it and says what is accepted."""


class Address(NamedTuple):
    """A host, as a name or number without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """As a browser has it, without a slash at the end."""
        return f"http://{self}"

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins that a page served here may have."""
        also = (f"http://localhost:{self.port}",) if self.host == LOOPBACK else ()
        return (self.url, *also)


class Addresses(NamedTuple):
    """Of the gateway for browsers, which has Django's pages behind it, of Django itself, and of
    the gateway for operators."""

    page: Address
    django: Address
    internal: Address


def parse(text: str) -> Address:
    """``PORT`` or ``HOST:PORT`` as an address; raises `BadAddress`."""
    try:
        parts = urlsplit(f"//{LOOPBACK}:{text}" if text.isdigit() else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.path:
        raise BadAddress(f"{text} is not an address: accepted is PORT or HOST:PORT")
    if host in ("0.0.0.0", "::"):  # noqa: S104 - refused, not bound
        raise BadAddress(
            f"{text} is every address of this machine: give the one that browsers will use, because"
            " the page tells them where the gateway is"
        )
    return Address(host, port)


@contextlib.contextmanager
def alone(wait: Callable[[], None]) -> Iterator[None]:
    """Choose addresses, and start what listens there, while nobody else of this user on this
    machine does: a port stays free until a server has come up. `wait` is called before waiting
    for somebody."""
    path = Path(tempfile.gettempdir()) / f"roomline-ports-{os.getuid()}"
    # O_NOFOLLOW: the folder may be everybody's.
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def choose(page: Address | None, django_port: int | None) -> Addresses:
    """The addresses given, and free ones in place of None; raises `BadAddress`."""
    given = [page] if page else []
    if django_port is not None:
        given.append(Address(LOOPBACK, django_port))
    for address in given:
        _check_free(address)
    taken = [address.port for address in given]
    if len(taken) != len(set(taken)):
        raise BadAddress(
            f"port {taken[0]} is asked for twice: the gateway and Django need two ports"
        )
    if page is None:
        page = Address(LOOPBACK, _next_free(LOOPBACK, 8000, taken))
        taken.append(page.port)
    if django_port is None:
        django_port = _next_free(LOOPBACK, 8001, taken)
        taken.append(django_port)
    return Addresses(
        page=page,
        django=Address(LOOPBACK, django_port),
        internal=Address(LOOPBACK, _next_free(LOOPBACK, 8002, taken)),
    )


def _check_free(address: Address) -> None:
    if not 1 <= address.port <= 65_535:
        raise BadAddress(f"port {address.port} is not accepted: 1 to 65535 are")
    problem = _problem_of(address)
    if problem is not None:
        raise BadAddress(f"{address} cannot be listened on ({problem}): choose another port")


def _next_free(host: str, first: int, taken: Sequence[int]) -> int:
    for port in range(first, first + _TRIES):
        if port not in taken and _problem_of(Address(host, port)) is None:
            return port
    raise BadAddress(f"none of the ports {first} to {first + _TRIES - 1} of {host} is free")


def _problem_of(address: Address) -> str | None:
    """Why no server could listen there now, or None."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(tuple(address))
        except OSError as error:
            return error.strerror
    return None

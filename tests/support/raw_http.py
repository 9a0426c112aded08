"""Requests as bytes, right and wrong ones, over plain blocking sockets."""

import socket
from typing import NamedTuple

SECONDS = 10.0
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\n\r\n"
"""What is said, before the connection ends, to what is no request."""


class Said(NamedTuple):
    """The head of an answer, and what has come of its body."""

    status: int
    headers: dict[str, str]
    body: bytes


def head(method: str, path: str, *lines: str, host: str = "127.0.0.1") -> bytes:
    """The head of a request; `lines` are its headers, as they are."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode(
        "latin1"
    )


def until_closed(port: int, data: bytes) -> bytes:
    """Everything that is answered until the server ends the connection; `TimeoutError` if it does
    not."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        try:
            client.sendall(data)
            while more := client.recv(65_536):
                said += more
        except ConnectionError:
            pass  # it did not read to the end what it had refused
    return said


def answer(port: int, data: bytes) -> Said | None:
    """The answer to one request: its head, and its body as far as its length is told. None: the
    connection was ended without one. `TimeoutError` if nothing comes."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        try:
            client.sendall(data)
            while (parsed := parse(said)) is None or len(parsed.body) < _length(data, parsed):
                more = client.recv(65_536)
                if not more:
                    break
                said += more
        except ConnectionError:
            pass
    parsed = parse(said)
    if parsed is None or "content-length" not in parsed.headers:
        return parsed
    return parsed._replace(body=parsed.body[: _length(data, parsed)])


def parse(said: bytes) -> Said | None:
    """An answer from its bytes; None if not even its head is there."""
    start, end, body = said.partition(b"\r\n\r\n")
    if not end:
        return None
    line, *lines = start.decode("latin1").split("\r\n")
    pairs = [text.split(":", 1) for text in lines]
    headers = {name.lower(): value.strip() for name, value in pairs}
    return Said(int(line.split()[1]), headers, body)


def _length(asked: bytes, said: Said) -> int:
    return 0 if asked.startswith(b"HEAD ") else int(said.headers.get("content-length", "0"))

"""Just enough of RFC 6455 for load: text frames of either direction, as bytes."""

import re
import secrets
import struct
from typing import NamedTuple

_MARK = re.compile(rb"@(\d+)\.(\d+)@")


class Marks(NamedTuple):
    """The publications in some received bytes, by the marks in their data.

    `numbers` and `times` (ns, of the monotonic clock) are parallel; `rest` is an unfinished
    frame at the end.
    """

    numbers: tuple[int, ...]
    times: tuple[int, ...]
    in_sequence: bool
    rest: bytes


def marked(number: int, time_ns: int, size: int) -> str:
    """A text of `size` characters that carries its number and the time when it was sent."""
    return f"@{number}.{time_ns}@".ljust(size, "x")


def marks_of(received: bytes) -> Marks:
    """The marks in all complete frames of a stream that begins with a frame."""
    end = 0
    while (after := _after_frame(received, end)) is not None:
        end = after
    found = _MARK.findall(received, 0, end)
    numbers = tuple([int(number) for number, _ in found])
    return Marks(
        numbers,
        tuple([int(time) for _, time in found]),
        not numbers or numbers == tuple(range(numbers[0], numbers[0] + len(numbers))),
        received[end:],
    )


def upgrade(path: str, port: int) -> bytes:
    """The request that opens a websocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


def frame(payload: bytes, *, masked: bool = False) -> bytes:
    """A text frame; clients must mask theirs."""
    bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x81, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x81, bit | 126, size)
    else:
        head = struct.pack("!BBQ", 0x81, bit | 127, size)
    if not masked:
        return head + payload
    mask = secrets.token_bytes(4)
    return head + mask + _xor(payload, mask)


def unmask(received: bytes) -> tuple[list[bytes], bytes]:
    """The payloads of all complete masked frames shorter than 64 KiB, and what is left."""
    payloads = []
    while (end := _after_frame(received, 0)) is not None:
        start = 8 if received[1] & 0x7F == 126 else 6
        payloads.append(_xor(received[start:end], received[start - 4 : start]))
        received = received[end:]
    return payloads, received


def _after_frame(data: bytes, start: int) -> int | None:
    """Where the frame that begins at `start` ends; None: it is not complete."""
    if len(data) < start + 2:
        return None
    size, head = data[start + 1] & 0x7F, 2
    if size == 126:
        size, head = int.from_bytes(data[start + 2 : start + 4]), 4
    elif size == 127:
        size, head = int.from_bytes(data[start + 2 : start + 10]), 10
    if data[start + 1] & 0x80:
        head += 4
    end = start + head + size
    # A length that has not arrived whole gives an end inside what is missing.
    return end if len(data) >= max(end, start + head) else None


def _xor(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(size)

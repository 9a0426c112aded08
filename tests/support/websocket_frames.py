"""Websocket frames as bytes, right and wrong ones."""

import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0
MASK = b"\x12\x34\xab\xcd"


def frame(
    payload: bytes = b"",
    opcode: int = TEXT,
    *,
    final: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    size: int | None = None,
    length_bytes: int | None = None,
) -> bytes:
    """A frame. `reserved` are the three reserved bits, `size` is what the frame claims to hold,
    and `length_bytes` (0, 2 or 8) how that is written, which is as short as it can be."""
    size = len(payload) if size is None else size
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65_536 else 8
    masked = 0 if mask is None else 0x80
    head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
    if length_bytes == 0:
        head += bytes([masked | size])
    elif length_bytes == 2:
        head += struct.pack("!BH", masked | 126, size)
    else:
        head += struct.pack("!BQ", masked | 127, size)
    if mask is None:
        return head + payload
    pad = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload) ^ int.from_bytes(pad)
    return head + mask + masked.to_bytes(len(payload))


def fragments(*payloads: bytes, opcode: int = TEXT) -> list[bytes]:
    """A message in as many frames."""
    last = len(payloads) - 1
    return [
        frame(payload, CONTINUATION if place else opcode, final=place == last)
        for place, payload in enumerate(payloads)
    ]


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(b"" if code is None else struct.pack("!H", code) + reason, CLOSE)

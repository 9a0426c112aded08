"""What pika's errors say, for those who must act on it. Imports no pika."""

import re

_DECODING = re.compile(
    r"lost: (ValueError|OverflowError|RecursionError|error|Invalid\w+|Unicode\w+)\b"
)


def tells_undecodable(text: str) -> bool:
    """Whether a lost connection was lost because pika could not decode what it received."""
    return _DECODING.search(text) is not None

"""What a command line says is to be published; for the gateway's command and Django's.

Standard library only.
"""

import json
import sys
from typing import Any, NoReturn

from roomline.wire import (
    CONTROL_NAMESPACE,
    MAX_BODY_BYTES,
    InvalidData,
    InvalidName,
    check_room,
    namespace_of,
    shorten,
)


def room_from(argument: str) -> str:
    """The room that is meant; raises `InvalidName`, also for those that steer gateways."""
    if namespace_of(argument) == CONTROL_NAMESPACE:
        raise InvalidName(f"room {shorten(argument)} is reserved: control steers gateways")
    return check_room(argument)


def data_from(argument: str, *, text: bool) -> Any:
    """The data that are meant: JSON, or `text`, or ``-`` for standard input.

    Raises `InvalidData`.
    """
    if argument == "-":
        argument = _read()
    if text:
        return argument
    try:
        return json.loads(argument, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidData(
            f"{shorten(argument)} is not JSON ({error}); with --text it is published as text"
        ) from None


def _read() -> str:
    # One byte more than is taken, so that too much is noticed and never all read.
    content = sys.stdin.buffer.read(MAX_BODY_BYTES + 1)
    if len(content) > MAX_BODY_BYTES:
        raise InvalidData(f"standard input is too long: at most {MAX_BODY_BYTES} bytes are taken")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidData(f"standard input is not UTF-8: {error}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")

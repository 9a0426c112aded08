"""How Django asks the gateway in front of it to hold a response: one header, written and read here.

Standard library only, because both sides import it.
"""

import json
from typing import Any, Final, Literal, NamedTuple, get_args

from roomline.wire import (
    CONTROL_NAMESPACE,
    InvalidName,
    check_room,
    check_user_id,
    namespace_of,
    shorten,
)

HOLD_HEADER: Final = "Roomline-Hold"
"""On a response from upstream: hold it. It never leaves the gateway."""
POSITION_HEADER: Final = "Roomline-Position"
"""On a request to the upstream: where the gateway stood in the log when the request came (empty
while it does not know), and so the sign that there is a gateway. On a held response: where to
continue from. No gateway lets one in from outside."""
OWN_PREFIX: Final = "roomline-"
"""What the names of the gateway's own headers begin with, in lower case."""

Mode = Literal["hold", "sse", "json-lines"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)

MAX_HOLD_SECONDS: Final = 120
MAX_STREAM_SECONDS: Final = 3600
MAX_POSITION: Final = 64
"""Characters of a position."""
MAX_ANSWER_BYTES: Final = 65_536
"""The largest body (bytes) of what Django answers itself when the time is over."""


class InvalidHold(ValueError):
    """A hold that is not well formed; the text names the value and says what is accepted."""


class Hold(NamedTuple):
    """What is to be held: until the room's next publication after a position, or streaming all
    of them, for at most `timeout` seconds.

    Without `since` what counts is what comes after the gateway has begun to hold. With `answer`
    the response itself is what the visitor gets when the time is over. It ends early when the
    rights of `user`, a user's id, are revoked.
    """

    mode: Mode
    room: str
    timeout: float
    since: str | None = None
    answer: bool = False
    user: str | None = None


def check(hold: Hold) -> Hold:
    """Return `hold` if it is well formed, else raise `InvalidHold`, or `InvalidName` for its room
    or user.

    A position is not looked at: one that no gateway gave is nothing to continue from, and the
    visitor is told so.
    """
    if hold.mode not in MODES:
        raise InvalidHold(f"mode is {shorten(hold.mode)}, accepted are {', '.join(MODES)}")
    if not isinstance(hold.room, str):
        raise InvalidHold(f"room is {shorten(hold.room)}, not text")
    if namespace_of(check_room(hold.room)) == CONTROL_NAMESPACE:
        raise InvalidName(f"room {hold.room} is not for visitors: control steers gateways")
    longest = MAX_HOLD_SECONDS if hold.mode == "hold" else MAX_STREAM_SECONDS
    if not _is_number(hold.timeout) or not 0 <= hold.timeout <= longest:
        raise InvalidHold(
            f"timeout is {shorten(hold.timeout)}, accepted are 0 to {longest} seconds"
        )
    if hold.since is not None and not isinstance(hold.since, str):
        raise InvalidHold(f"since is {shorten(hold.since)}, not text")
    if not isinstance(hold.answer, bool) or (hold.answer and hold.mode != "hold"):
        raise InvalidHold(f"answer is {shorten(hold.answer)}, and only a hold can have one")
    if hold.user is not None:
        if not isinstance(hold.user, str):
            raise InvalidHold(f"user is {shorten(hold.user)}, not text")
        check_user_id(hold.user)
    return hold


def write(hold: Hold) -> str:
    """The header's value; raises like `check`."""
    fields = check(hold)._asdict()
    if hold.since is not None:
        fields["since"] = hold.since[:MAX_POSITION]
    said = {
        name: value for name, value in fields.items() if value is not None and value is not False
    }
    return json.dumps(said)


def read(text: str) -> Hold:
    """The hold in a header's value; raises like `check`."""
    try:
        fields: Any = json.loads(text)
        hold = Hold(**fields)
    except (ValueError, TypeError, RecursionError):
        raise InvalidHold(
            f"{HOLD_HEADER} is {shorten(text)}, accepted is a JSON object of"
            f" {', '.join(Hold._fields)}"
        ) from None
    return check(hold)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

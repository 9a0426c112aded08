"""The AMQP side: room names, exchange and stream names, and what travels with a publication.

Everybody who publishes shares this module: the gateway, Django, a script. It has no dependency
and does no I/O. The body of a publication is the user's data and nothing else, so that a person
can type one into the RabbitMQ console; what Roomline adds travels in AMQP properties.
"""

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple, get_args

ROOMS_EXCHANGE: Final = "rooms"
"""The durable topic exchange that every publication enters; its routing key is the room."""

ROOMS_STREAM: Final = "rooms.log"
"""The RabbitMQ stream that is the log."""

CONTROL_NAMESPACE: Final = "control"
"""Reserved: publications in it steer gateways and are never for clients."""

CONTROL_STREAM: Final = "control.log"
"""The RabbitMQ stream that holds them, and nothing else."""

NOTICES_ROOM: Final = "system.notices"
"""The room that every client hears without subscribing, if its namespace is configured."""

MAX_ROOM_BYTES: Final = 200
MAX_BODY_BYTES: Final = 65536
"""The largest body (bytes) that a broker takes; RabbitMQ is configured with the same number."""
MAX_KEY_LENGTH: Final = 128
MAX_SENDER_NAME: Final = 200
"""Characters; a publication with a longer name of its sender shows the sender's id."""

Kind = Literal["message", "system", "admin"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_ROOM = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_POSITION = re.compile(r"(\d{1,3})\.(-1|\d{1,19})\.([0-9a-f]{12})", re.ASCII)
_MAX_TIME = 253_402_300_799_999  # the last millisecond of the year 9999, where datetime ends


class InvalidName(ValueError):
    """A room, namespace or user id that is not well formed; the text says what is accepted."""


class InvalidData(ValueError):
    """Data that cannot be a publication's body; the text says why."""


class DataTooLarge(InvalidData):
    """Data that is longer as JSON than a broker takes."""


class Sender(NamedTuple):
    """Who a publication is from, as its publisher vouches for it."""

    id: str
    name: str


class Envelope(NamedTuple):
    """One publication on its way through the exchange and the log.

    ``time`` is in milliseconds since the epoch, or None when the publisher stated none.
    ``publisher`` is the AMQP user that the broker validated, or None when the publisher did not
    state it: only then may ``sender`` and ``kind`` carry authority.
    """

    room: str
    body: bytes
    message_id: str | None = None
    time: int | None = None
    kind: Kind = "message"
    sender: Sender | None = None
    key: str | None = None
    publisher: str | None = None


MAX_GENERATION: Final = 2**53 - 1
"""Generations are whole numbers from 0 to this one, which every JSON parser keeps exactly."""


def check_room(room: str) -> str:
    """Return `room` if it is a well-formed room name, else raise `InvalidName`."""
    if _ROOM.fullmatch(room) and len(room) <= MAX_ROOM_BYTES:
        return room
    raise InvalidName(
        f"room {shorten(room)} is not a room name: words of A-Z a-z 0-9 _ - joined by single"
        f" dots, at most {MAX_ROOM_BYTES} bytes"
    )


def check_user_id(user_id: str) -> str:
    """Return `user_id` if it is well formed, else raise `InvalidName`."""
    if _USER_ID.fullmatch(user_id):
        return user_id
    raise InvalidName(
        f"user id {shorten(user_id)} is not accepted: 1 to 64 characters of A-Z a-z 0-9 _ -"
    )


def namespace_of(room: str) -> str:
    """The first word of a room name: ``chat`` of ``chat.lobby``."""
    return room.partition(".")[0]


def user_room(user_id: str) -> str:
    """The room that reaches one user wherever they are connected."""
    return f"user.{check_user_id(user_id)}"


def message_id_of(principal: str, room: str, key: str) -> str:
    """The message id of a publish that may be retried: the same three give the same id.

    The principal is part of it so that nobody can suppress another's publication.
    """
    return _digest(16, principal.encode(), room.encode(), key.encode()).hex()


def fingerprint_of(envelope: Envelope) -> int:
    """48 bits that tell this log entry from any other that could stand at its offset."""
    digest = _digest(
        6,
        envelope.room.encode(),
        (envelope.message_id or "").encode(),
        str(envelope.time).encode(),
        envelope.body,
    )
    return int.from_bytes(digest)


def position_text(partition: int, offset: int, fingerprint: int) -> str:
    """An entry's place in the log as clients see it: opaque to them, checked by whoever reads it.

    The fingerprint (`fingerprint_of`) tells that the log was replaced.
    """
    return f"{partition}.{offset}.{fingerprint:012x}"


def parse_position(text: str) -> tuple[int, int, int] | None:
    """The partition, offset and fingerprint in `text`, or None if it is no position."""
    match = _POSITION.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3], 16)) if match else None


def _digest(size: int, *fields: bytes) -> bytes:
    """Hash fields so that no two lists of fields give the same bytes to the hash."""
    joined = b"".join([b"%d:%b" % (len(field), field) for field in fields])
    return blake2b(joined, digest_size=size).digest()


def body_of(data: Any) -> bytes:
    """JSON data as the body of a publication; raises `InvalidData`.

    `data` is anything that `json` can write, NaN and infinities excepted.
    """
    try:
        body = _dumps(data).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidData(f"data cannot be written as JSON: {error}") from None
    if len(body) > MAX_BODY_BYTES:
        raise DataTooLarge(f"data is {len(body)} bytes of JSON, at most {MAX_BODY_BYTES} are taken")
    return body


def json_of(body: bytes) -> str:
    """The JSON text that clients see for a body: every body has one.

    JSON if it parses as strict JSON, else its text as a JSON string if it is UTF-8, else
    ``{"base64": "..."}``. Unpaired surrogates become U+FFFD.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return json.dumps({"base64": base64.b64encode(body).decode()})
    try:
        return _dumps(_decoder.decode(text))
    except (ValueError, RecursionError):
        return _dumps(text)


def _dumps(data: Any) -> str:
    return well_formed(_encoder.encode(data))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Made once: json.dumps and json.loads would make new ones for each publication.
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def publication_fields(
    envelope: Envelope, data: object, position: str, previous: str | None, *, trusted: bool
) -> dict[str, Any]:
    """The fields of the ``publication`` push, in their order; `data` is for the body's JSON.

    Unless its publisher is trusted, a publication is from operations: its sender is not shown and
    its kind is not admin.
    """
    fields: dict[str, Any] = {
        "type": "publication",
        "room": envelope.room,
        "position": position,
        "previous": previous,
        "data": data,
        "kind": envelope.kind if trusted or envelope.kind != "admin" else "message",
        "time": None if envelope.time is None else iso_time(envelope.time),
    }
    if not trusted:
        fields["origin"] = "operations"
    elif envelope.sender is not None:
        fields["sender"] = envelope.sender._asdict()
    if envelope.key is not None:
        fields["key"] = envelope.key
    return fields


def publication_json(envelope: Envelope, position: str, previous: str | None, trusted: bool) -> str:
    """The ``publication`` push as JSON text, as a gateway sends it but for blanks and escapes."""
    # Spliced in as text: read and written again, a number of a thousand digits would not be itself.
    before, after = _dumps(
        publication_fields(envelope, 0, position, previous, trusted=trusted)
    ).split('"data":0', 1)
    return f'{before}"data":{json_of(envelope.body)}{after}'


def well_formed(text: str) -> str:
    """`text` with every unpaired surrogate replaced by U+FFFD, so that UTF-8 can carry it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def utf8_length(text: str) -> int:
    """How many bytes `text` is as UTF-8, unpaired surrogates included. ASCII costs nothing."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def iso_time(milliseconds: int) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC, as clients see it."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def properties_of(envelope: Envelope) -> dict[str, Any]:
    """The AMQP properties of an envelope, as keyword arguments of ``pika.BasicProperties``.

    The time travels twice: in ``timestamp`` (seconds, what AMQP has) and in the header
    ``timestamp_in_ms``, the name that RabbitMQ's own interceptor uses.
    """
    headers: dict[str, Any] = {}
    properties: dict[str, Any] = {"type": envelope.kind, "delivery_mode": 2, "app_id": "roomline"}
    if envelope.message_id is not None:
        properties["message_id"] = envelope.message_id
    if envelope.time is not None:
        properties["timestamp"] = envelope.time // 1000
        headers["timestamp_in_ms"] = envelope.time
    if envelope.sender is not None:
        headers["sender-id"], headers["sender-name"] = envelope.sender
    if envelope.key is not None:
        headers["key"] = envelope.key
    if envelope.publisher is not None:
        properties["user_id"] = envelope.publisher
    if headers:
        properties["headers"] = headers
    return properties


def envelope_of(room: str, body: bytes, properties: Mapping[str, Any]) -> Envelope:
    """The envelope of a message as the broker delivers it. Never raises.

    Anybody with the right to publish may have written the properties by hand, so what is not of
    the expected type or size counts as absent. `room` is the delivered routing key; CC and BCC
    are not looked at.
    """
    headers = properties.get("headers")
    if not isinstance(headers, Mapping):
        headers = {}
    sender_id = _text(headers.get("sender-id"), 64)
    kind = properties.get("type")
    return Envelope(
        room=room,
        body=body,
        message_id=_text(properties.get("message_id"), 255),
        time=_time(headers.get("timestamp_in_ms"), 1) or _time(properties.get("timestamp"), 1000),
        kind=kind if kind in KINDS else "message",
        sender=Sender(sender_id, _text(headers.get("sender-name"), MAX_SENDER_NAME) or sender_id)
        if sender_id
        else None,
        key=_text(headers.get("key"), MAX_KEY_LENGTH),
        publisher=_text(properties.get("user_id"), 255),
    )


def is_generation(value: object) -> bool:
    """Whether this is a whole number that can be a generation."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_GENERATION


def _text(value: object, limit: int) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= limit else None


def _time(value: object, unit: int) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value * unit <= _MAX_TIME:
        return int(value) * unit
    return None


def shorten(value: object, limit: int = 60) -> str:
    """`value` as it may stand in an error or a log line: quoted, escaped, of bounded length."""
    try:
        text = ascii(value if not isinstance(value, str) else value[: limit + 1])
    except (ValueError, RecursionError):  # a number of thousands of digits, or nested as deep
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit + 2 else f"{text[:limit]}…{text[0]}"

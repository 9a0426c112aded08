"""Requests of clients and the answers of handlers: names, values, and how AMQP carries them.

A request travels as a publication does: routed by its name, with the same properties, and a few
more that say who waits for the answer and until when. Gateways and Django share this module; it
does no I/O and has no dependency.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

from roomline.wire import Envelope, InvalidName, Sender, envelope_of, properties_of, shorten

REQUESTS_EXCHANGE: Final = "requests"
"""The durable topic exchange that every request enters; its routing key is the request's name."""

REQUESTS_QUEUE: Final = "requests"
"""The queue that workers share."""

DEAD_REQUESTS: Final = "requests.dead"
"""The exchange, and the queue, of requests whose handler has failed too often."""

NODES_EXCHANGE: Final = "nodes"
"""The direct exchange of answers; its routing key is where a node waits for them."""

NODE_QUEUE_PREFIX: Final = "node."
"""How the name of the queue begins in which a node waits for answers."""

MAX_NAME_LENGTH: Final = 100
NAME_PATTERN: Final = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
DEFAULT_TIMEOUT: Final = 30.0
MIN_TIMEOUT: Final = 0.1
MAX_TIMEOUT: Final = 60.0
"""Seconds that a client may wait for an answer."""
ATTEMPTS: Final = 3
"""How often a request is given to a handler that fails, or whose worker dies."""
MAX_DEAD: Final = 1000
DEAD_SECONDS: Final = 7 * 86_400
"""How many requests whose handler has failed too often are kept, and for how long."""
MAX_REFUSAL_LENGTH: Final = 64
MAX_REASON_LENGTH: Final = 1000

ErrorAnswer = Literal["request_failed", "request_unknown", "request_timeout", "forbidden"]
"""The codes of answers that are errors: those of `roomline.core.codes.ErrorCode`."""

_RESPONSE = "response"
_FAILED = "this request has failed"

_NAME = re.compile(NAME_PATTERN)


class Request(NamedTuple):
    """What a client asks a handler. `id` is its own for ever, however often it is delivered;
    `body` is the JSON of its data; `time` is in milliseconds since the epoch. The client waits
    for `timeout` seconds."""

    id: str
    name: str
    body: bytes
    sender: Sender | None = None
    time: int | None = None
    timeout: float = DEFAULT_TIMEOUT

    def envelope(self, publisher: str | None = None) -> Envelope:
        """The request as what goes through an exchange: its name is the routing key."""
        return Envelope(
            self.name, self.body, self.id, self.time, sender=self.sender, publisher=publisher
        )


class DeadRequest(NamedTuple):
    """A request whose handler has failed too often, and when, in milliseconds since the epoch
    (None: not known)."""

    request: Request
    died: int | None


class Answer(NamedTuple):
    """What becomes of a request: without a `code` it is a response and `body` the JSON of its
    data, else an error and `body` the reason as text, for the user. `refusal` is the handler's
    own code of a ``request_failed``."""

    body: bytes
    code: ErrorAnswer | None = None
    refusal: str | None = None

    @property
    def reason(self) -> str:
        """The text of an error."""
        return self.body.decode(errors="replace")


def error_answer(code: ErrorAnswer, reason: str, refusal: str | None = None) -> Answer:
    """An answer that is an error; what is longer than an error may be is cut."""
    return Answer(reason[:MAX_REASON_LENGTH].encode(errors="replace"), code, refusal)


FAILED: Final = error_answer("request_failed", _FAILED)
"""What is answered when a handler meets a defect: its words are not for users."""


def check_request_name(name: str) -> str:
    """Return `name` if it is a well-formed name of requests, else raise `InvalidName`."""
    if len(name) <= MAX_NAME_LENGTH and _NAME.fullmatch(name):
        return name
    raise InvalidName(
        f"{shorten(name)} is not a name of requests: words of A-Z a-z 0-9 _ - joined by single"
        f" dots, at most {MAX_NAME_LENGTH} characters"
    )


def request_properties(request: Request, reply_to: str, publisher: str | None) -> dict[str, Any]:
    """The AMQP properties of a request, as keyword arguments of ``pika.BasicProperties``.

    It expires when nobody waits any more, so that nobody carries it out then.
    """
    return properties_of(request.envelope(publisher)) | {
        "type": request.name,
        "correlation_id": request.id,
        "reply_to": reply_to,
        "expiration": str(int(request.timeout * 1000)),
    }


def request_of(body: bytes, properties: Mapping[str, Any]) -> Request | None:
    """The request of a message as the broker delivers it; None if it is none. Never raises.

    Whether its sender may be believed depends on the ``user_id`` that the broker has validated.
    """
    name = properties.get("type")
    if not isinstance(name, str):
        return None
    envelope = envelope_of(name, body, properties)
    try:
        check_request_name(name)
    except InvalidName:
        return None
    if envelope.message_id is None:
        return None
    timeout = DEFAULT_TIMEOUT
    expiration = properties.get("expiration")
    if isinstance(expiration, str) and re.fullmatch(r"\d{1,9}", expiration, re.ASCII):
        timeout = min(int(expiration) / 1000, MAX_TIMEOUT)
    return Request(envelope.message_id, name, body, envelope.sender, envelope.time, timeout)


def answer_properties(id: str, answer: Answer, publisher: str | None) -> dict[str, Any]:
    """The AMQP properties of the answer to the request with that id."""
    properties: dict[str, Any] = {
        "type": answer.code or _RESPONSE,
        "correlation_id": id,
        "app_id": "roomline",
        "delivery_mode": 1,
    }
    if answer.refusal is not None:
        properties["headers"] = {"refusal": answer.refusal}
    if publisher is not None:
        properties["user_id"] = publisher
    return properties


def answer_of(body: bytes, properties: Mapping[str, Any]) -> tuple[str, Answer] | None:
    """The id of the request and the answer of a message; None if it is none. Never raises."""
    id, kind = properties.get("correlation_id"), properties.get("type")
    if not isinstance(id, str) or (kind != _RESPONSE and kind not in get_args(ErrorAnswer)):
        return None
    headers = properties.get("headers")
    refusal = headers.get("refusal") if isinstance(headers, Mapping) else None
    if not isinstance(refusal, str) or not 0 < len(refusal) <= MAX_REFUSAL_LENGTH:
        refusal = None
    return id, Answer(body, None if kind == _RESPONSE else kind, refusal)

"""``/api/rooms/<room>/publications``: publish into a room, and read its history."""

import hmac
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from roomline.broker import BrokerError, PublishRejected
from roomline.core.codec import ProtocolError
from roomline.core.codes import ErrorCode
from roomline.core.messages import Count, Key
from roomline.core.policy import Policy
from roomline.http.errors import ApiError, Failure
from roomline.http.handler import Handler
from roomline.node import Node
from roomline.wire import (
    CONTROL_NAMESPACE,
    MAX_BODY_BYTES,
    Envelope,
    InvalidData,
    InvalidName,
    Sender,
    body_of,
    check_user_id,
    message_id_of,
    namespace_of,
    shorten,
)

PRINCIPAL = "api"
"""Whom a key belongs to: all who hold an API token are one, and retry each other's publishes."""
_DEFAULT_LIMIT = 50


class SenderFields(Struct, frozen=True, forbid_unknown_fields=True):
    """Who a publication is from, as the holder of the API token vouches for it."""

    id: str
    name: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class PublishRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a POST."""

    data: Any
    kind: Literal["message", "system"] = "message"
    key: Key | None = None
    sender: SenderFields | None = None


_decode = msgspec.json.Decoder(PublishRequest).decode


class Publications(Handler):
    """For programs that hold an API token; there is no CORS, browsers are not among them."""

    def initialize(self, node: Node, policy: Policy, api_tokens: tuple[str, ...]) -> None:
        self._node = node
        self._policy = policy
        self._tokens = [token.encode() for token in api_tokens]

    def prepare(self) -> None:
        if not self._tokens:
            raise Failure(ApiError.API_OFF, "the HTTP API is off: no api_tokens are configured")
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        given = token.strip().encode()
        # All are compared, each in constant time, so that timing tells nothing about any.
        matches = [hmac.compare_digest(given, known) for known in self._tokens]
        if scheme.lower() != "bearer" or not any(matches):
            raise Failure(
                ApiError.UNAUTHORIZED, "the header Authorization: Bearer needs a configured token"
            )

    async def post(self, room: str) -> None:
        """Publish; answers when the broker has confirmed."""
        self._check(room)
        envelope = _envelope(room, self.request.body)
        try:
            await self._node.publish(envelope)
        except PublishRejected as error:
            raise Failure(ApiError.REJECTED, str(error)) from None
        except BrokerError as error:
            raise Failure(ApiError.UNAVAILABLE, str(error)) from None
        self.answer({"room": room}, 201)

    def get(self, room: str) -> None:
        """The latest publications that the node holds, oldest first."""
        self._check(room)
        limit = self._limit()
        if not self._node.ready:
            raise Failure(ApiError.CATCHING_UP, f"this node is not ready: {self._node.status}")
        position, publications = self._node.history(room, limit)
        self.answer(
            {
                "room": room,
                "position": position,
                "publications": [msgspec.Raw(text.encode()) for text in publications],
            }
        )

    def _check(self, room: str) -> None:
        if namespace_of(room) == CONTROL_NAMESPACE:
            raise Failure(ApiError.FORBIDDEN, ApiError.FORBIDDEN.meaning)
        try:
            self._policy.namespace(room)
        except ProtocolError as error:
            unknown = error.code is ErrorCode.ROOM_UNKNOWN
            code = ApiError.ROOM_UNKNOWN if unknown else ApiError.ROOM_INVALID
            raise Failure(code, error.reason) from None

    def _limit(self) -> int:
        for name in self.request.query_arguments:
            if name != "limit":
                raise Failure(
                    ApiError.BAD_REQUEST, f"parameter {shorten(name)} is unknown, there is limit"
                )
        text = self.get_query_argument("limit", str(_DEFAULT_LIMIT))
        try:
            return msgspec.convert(text, Count, strict=False)
        except msgspec.ValidationError:
            raise Failure(
                ApiError.BAD_REQUEST, f"limit is {shorten(text)}, accepted is 0 to 10000"
            ) from None


def _envelope(room: str, content: bytes) -> Envelope:
    """The envelope that the body of a POST asks for; raises `Failure`."""
    try:
        fields = _decode(content)
        sender = fields.sender
        return Envelope(
            room=room,
            body=body_of(fields.data),
            message_id=message_id_of(PRINCIPAL, room, fields.key) if fields.key else None,
            kind=fields.kind,
            sender=Sender(check_user_id(sender.id), sender.name or sender.id) if sender else None,
            key=fields.key,
        )
    except InvalidData as error:
        # What came as JSON can be written as JSON: only its size can be wrong, or its depth.
        code = ApiError.TOO_LARGE if len(content) > MAX_BODY_BYTES else ApiError.BAD_REQUEST
        raise Failure(code, str(error)) from None
    except (msgspec.DecodeError, InvalidName, RecursionError) as error:
        raise Failure(ApiError.BAD_REQUEST, f"the body is not accepted: {error}") from None

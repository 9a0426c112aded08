"""``/api/rooms/<room>/publications``: publish into a room, and read its history."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from roomline.broker import BrokerError, PublishRejected
from roomline.core.codec import ProtocolError
from roomline.core.codes import ErrorCode
from roomline.core.messages import Count, Key
from roomline.core.policy import Policy
from roomline.http.errors import ApiError, Failure
from roomline.http.handler import ApiHandler
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


class Publications(ApiHandler):
    """Publishing and history."""

    def initialize(self, node: Node, policy: Policy, api_tokens: tuple[str, ...]) -> None:
        self.api_tokens = api_tokens
        self._node = node
        self._policy = policy

    async def post(self, room: str) -> None:
        """Publish; answers when the broker has confirmed."""
        check_room(self._policy, room)
        envelope = _envelope(room, self.request.body)
        await publish(self._node, envelope)
        self.answer({"room": room}, 201)

    def get(self, room: str) -> None:
        """The latest publications that the node holds, oldest first."""
        check_room(self._policy, room)
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


def check_room(policy: Policy, room: str) -> None:
    """Raise `Failure` for what is no room, or none that people publish into."""
    if namespace_of(room) == CONTROL_NAMESPACE:
        raise Failure(ApiError.FORBIDDEN, ApiError.FORBIDDEN.meaning)
    try:
        policy.namespace(room)
    except ProtocolError as error:
        unknown = error.code is ErrorCode.ROOM_UNKNOWN
        code = ApiError.ROOM_UNKNOWN if unknown else ApiError.ROOM_INVALID
        raise Failure(code, error.reason) from None


async def publish(node: Node, envelope: Envelope) -> None:
    """Return when the broker has confirmed; raises `Failure`."""
    try:
        await node.publish(envelope)
    except PublishRejected as error:
        raise Failure(ApiError.REJECTED, str(error)) from None
    except BrokerError as error:
        raise Failure(ApiError.UNAVAILABLE, str(error)) from None


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

"""What the page asks: how things stand, once or on and on; and what it does about it."""

import asyncio
import logging
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from tornado.iostream import StreamClosedError

from roomline.core.messages import Key
from roomline.http.bearer import Bearers
from roomline.http.errors import ApiError, Failure
from roomline.http.handler import Handler
from roomline.http.publications import check_room, publish
from roomline.inspector.following import Following
from roomline.inspector.snapshot import session_row, snapshot
from roomline.inspector.subject import Subject
from roomline.live import LiveSession
from roomline.wire import Envelope, Sender, body_of, message_id_of, shorten

log = logging.getLogger(__name__)

LOOKERS: Final = 10
"""Streams of one node at a time."""
TURN_SECONDS: Final = 1.0
_UNREAD_SECONDS: Final = 10.0
"""A looker that does not read for so long is gone."""


class Lookers:
    """Who looks on at a node now, counted."""

    def __init__(self) -> None:
        self.count = 0


class Guarded(Handler):
    """For holders of an inspector token. `holder` is the name of the one who asks."""

    holder: str

    def initialize(self, subject: Subject, lookers: Lookers) -> None:
        self._subject = subject
        self._node = subject.node
        self._lookers = lookers

    def prepare(self) -> None:
        tokens = Bearers(self._subject.tokens)
        if not tokens:
            raise Failure(
                ApiError.INSPECTOR_OFF, "the inspector is off: no inspect_tokens are configured"
            )
        holder = tokens.holder(self.request.headers.get("Authorization", ""))
        if holder is None:
            raise Failure(
                ApiError.UNAUTHORIZED, "the header Authorization: Bearer needs an inspector token"
            )
        self.holder = holder

    def session(self, id: str) -> LiveSession:
        """The session with this id; raises `Failure`."""
        live = self._node.find(id)
        if live is None:
            raise Failure(ApiError.NOT_FOUND, f"this node has no session {shorten(id)}")
        return live


class State(Guarded):
    """``/inspect/state``: the node now."""

    def get(self) -> None:
        self.answer(snapshot(self._subject))


class Stream(Guarded):
    """``/inspect/stream``: the node once a second, as server-sent events; and with ``room`` or
    ``session`` what is published there."""

    def initialize(self, subject: Subject, lookers: Lookers) -> None:
        super().initialize(subject, lookers)
        self._gone = asyncio.Event()
        self._followed: LiveSession | None = None

    async def get(self) -> None:
        following = self._following()
        if self._lookers.count >= LOOKERS:
            raise Failure(ApiError.TOO_MANY, f"{LOOKERS} look on at this node, which is the most")
        self._lookers.count += 1
        try:
            self.set_header("Content-Type", "text/event-stream")
            self.set_header("X-Accel-Buffering", "no")
            while not self._gone.is_set():
                self.write(b"data: " + msgspec.json.encode(self._told(following)) + b"\n\n")
                async with asyncio.timeout(_UNREAD_SECONDS):
                    await self.flush()
                try:
                    await asyncio.wait_for(self._gone.wait(), TURN_SECONDS)
                except TimeoutError:
                    continue
        except (StreamClosedError, TimeoutError):
            # Nobody is there to be told.
            connection: Any = self.request.connection
            connection.stream.close()
        finally:
            self._lookers.count -= 1
            if following is not None:
                following.close()

    def on_connection_close(self) -> None:
        self._gone.set()

    def _following(self) -> Following | None:
        room = self.get_query_argument("room", None)
        session = self.get_query_argument("session", None)
        if room is None and session is None:
            return None
        if room is not None and session is not None:
            raise Failure(ApiError.BAD_REQUEST, "either a room or a session is followed, not both")
        contents = "with" if self._subject.data else "without"
        if room is not None:
            check_room(self._subject.policy, room)
            log.info(
                *("inspector %s follows the room, %s data", self.holder, contents),
                extra={"room": room},
            )
            return Following(self._node, lambda: (room,), data=self._subject.data)
        assert session is not None
        live = self._followed = self.session(session)
        log.info(
            *("inspector %s follows the rooms of the session, %s data", self.holder, contents),
            extra={"session": session},
        )
        return Following(
            self._node,
            lambda: () if live.closed else list(live.session.subscriptions),
            data=self._subject.data,
        )

    def _told(self, following: Following | None) -> dict[str, Any]:
        told = snapshot(self._subject)
        if following is not None:
            told["followed"] = following.look()
        if self._followed is not None:
            there = self._followed in self._node.sessions
            told["followed"]["session"] = session_row(self._followed) if there else None
        return told


class Remove(Guarded):
    """``/inspect/sessions/<session>/disconnect``: end a session that is not to come back."""

    def post(self, id: str) -> None:
        live = self.session(id)
        log.warning("inspector %s ends the session", self.holder, extra={"session": id})
        self._node.remove(live)
        self.answer({"session": id})


class NoticeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a notice. `key`: sent again with the same one, it is published once."""

    text: Annotated[str, Meta(min_length=1, max_length=2000)]
    key: Key | None = None


_decode = msgspec.json.Decoder(NoticeRequest).decode


class Notice(Guarded):
    """``/inspect/rooms/<room>/notice``: publish a notice, as staff does from Django's admin."""

    async def post(self, room: str) -> None:
        check_room(self._subject.policy, room)
        try:
            asked = _decode(self.request.body)
        except msgspec.DecodeError as error:
            raise Failure(ApiError.BAD_REQUEST, f"the body is not accepted: {error}") from None
        key = asked.key
        log.warning("inspector %s sends a notice", self.holder, extra={"room": room})
        await publish(
            self._node,
            Envelope(
                room=room,
                body=body_of({"text": asked.text}),
                message_id=message_id_of(f"inspector:{self.holder}", room, key) if key else None,
                kind="admin",
                sender=Sender(self.holder, self.holder),
                key=key,
            ),
        )
        self.answer({"room": room}, 201)

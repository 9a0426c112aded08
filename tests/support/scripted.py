"""A one-room-log gateway in the test's own process that loses, refuses and closes on command.

It stands on the stock sockjs-tornado and exists for what a real gateway does not do when asked:
losing a push, refusing one command, answering in small pages.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from tests.support.sockjs_server import Address, SockJSConnection, serving

Fields = dict[str, Any]


class Scripted:
    """The log, and the faults to come. Positions are numbers in decimal; 0 is the beginning."""

    def __init__(self) -> None:
        self.address = Address("")
        self.log: list[Fields] = []
        self.commands: list[Fields] = []
        """Every command received."""
        self.sessions: list[_Session] = []
        """Those open."""
        self.page = 1000
        self.lose = 0
        """How many pushes are counted but not sent."""
        self.double = 0
        """How many pushes are sent twice and counted once."""
        self.mute = False
        """Whether commands are not answered."""
        self.errors: dict[str, list[tuple[str, bool]]] = {}
        """For each command: errors to answer with, first to last, instead of carrying it out."""
        self.forgets = False
        """Whether positions cannot be continued from."""
        self.automatic: list[str] = []
        self.expires_in: int | None = None

    @classmethod
    @asynccontextmanager
    async def serving(cls) -> AsyncIterator[Self]:
        script = cls()
        handler = type("Handler", (_Session,), {"script": script})
        async with serving(handler) as script.address:
            yield script

    def publish(self, room: str, data: Any, key: str | None = None) -> None:
        """Append, and push to whoever is subscribed."""
        publication = {
            "type": "publication",
            "room": room,
            "position": str(len(self.log) + 1),
            "previous": self.head(room),
            "data": data,
            "kind": "message",
            "time": None,
        }
        self.log.append(publication | ({"key": key} if key else {}))
        for session in self.sessions:
            if room in session.rooms:
                session.push(self.log[-1])

    def head(self, room: str) -> str | None:
        return next((p["position"] for p in reversed(self.log) if p["room"] == room), None)

    def push(self, **fields: Any) -> None:
        """Push to every session."""
        for session in self.sessions:
            session.push(fields)

    def close(self, code: int, reason: str) -> None:
        """Close every session."""
        for session in list(self.sessions):
            session.session.close(code, reason)

    def received(self, kind: str) -> list[Fields]:
        """The commands of one sort."""
        return [command for command in self.commands if command["type"] == kind]


class _Session(SockJSConnection):  # type: ignore[misc]
    script: Scripted

    def on_open(self, info: object) -> None:
        self.rooms: set[str] = set()
        self.sent = 0
        self.script.sessions.append(self)

    def on_close(self) -> None:
        self.script.sessions.remove(self)

    def on_message(self, text: str) -> None:
        command = json.loads(text)
        self.script.commands.append(command)
        kind = command["type"]
        if self.script.mute:
            return
        if errors := self.script.errors.get(kind):
            code, temporary = errors.pop(0)
            reply = {"type": "error", "code": code, "reason": "scripted", "temporary": temporary}
        else:
            reply = getattr(self, f"_{kind}")(command)
        self.send(json.dumps({"id": command["id"], **reply}))

    def push(self, fields: Fields) -> None:
        self.sent += 1
        if self.script.lose:
            self.script.lose -= 1
            return
        self.send(json.dumps(fields))
        if self.script.double:
            self.script.double -= 1
            self.send(json.dumps(fields))

    def _connect(self, command: Fields) -> Fields:
        script = self.script
        self.rooms.update(script.automatic)
        end = str(len(script.log))
        return {
            "type": "connected",
            "version": 1,
            "session": "s",
            "user": None,
            "node": str(script.address),
            "limits": {"message_bytes": 65536, "subscriptions": 100, "history": 100},
            "expires_in": script.expires_in,
            "rooms": [
                {"room": room, "position": end, "head": script.head(room)}
                for room in script.automatic
            ],
        }

    def _subscribe(self, command: Fields) -> Fields:
        script, room = self.script, command["room"]
        reply: Fields = {"type": "subscribed", "room": room}
        since = command.get("since")
        missed = [
            publication
            for publication in script.log[int(since or 0) :]
            if publication["room"] == room
        ]
        if since is None or script.forgets:
            history = command.get("history", 0)
            missed = missed[len(missed) - history :] if history else []
        if since is not None:
            reply |= {"recovered": not script.forgets}
            reply |= {"reason": "trimmed"} if script.forgets else {}
        reply["publications"] = missed[: script.page]
        if len(missed) > script.page:
            self.rooms.discard(room)
            last = reply["publications"][-1]["position"]
            return reply | {"position": last, "head": last, "more": True}
        self.rooms.add(room)
        return reply | {"position": str(len(script.log)), "head": script.head(room)}

    def _unsubscribe(self, command: Fields) -> Fields:
        self.rooms.discard(command["room"])
        return {"type": "unsubscribed", "room": command["room"]}

    def _publish(self, command: Fields) -> Fields:
        self.script.publish(command["room"], command["data"], command.get("key"))
        return {"type": "published", "room": command["room"]}

    def _history(self, command: Fields) -> Fields:
        held = [p for p in self.script.log if p["room"] == command["room"]]
        return {
            "type": "history",
            "room": command["room"],
            "position": str(len(self.script.log)),
            "publications": held[-command.get("limit", 50) :],
        }

    def _refresh(self, command: Fields) -> Fields:
        return {"type": "refreshed", "expires_in": self.script.expires_in}

    def _ping(self, command: Fields) -> Fields:
        return {"type": "pong", "sent": self.sent, "position": str(len(self.script.log))}

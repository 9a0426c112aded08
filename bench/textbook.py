"""The textbook: sockjs-tornado as it comes, broadcasting what one client says to all of them.

Run as a child: listens on the port that is its first argument.
"""

import asyncio
import sys
from typing import Any

from sockjs.tornado import SockJSConnection, SockJSRouter
from tornado.web import Application


class Room(SockJSConnection):  # type: ignore[misc]  # the package has no types
    """The chat example of the package's own documentation."""

    participants: set["Room"] = set()  # noqa: RUF012 - shared by all on purpose

    def on_open(self, request: Any) -> None:
        self.participants.add(self)

    def on_message(self, message: str) -> None:
        self.broadcast(self.participants, message)

    def on_close(self) -> None:
        self.participants.discard(self)


async def main(port: int) -> None:
    """Serve until killed."""
    router = SockJSRouter(Room, "/bench")
    Application(router.urls).listen(port, "127.0.0.1", backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

"""Whether the process lives, and whether it should be sent clients."""

from roomline.http.handler import Handler
from roomline.node import Node


class Health(Handler):
    """``/healthz``: 200 while the process serves at all. Restart it when this fails."""

    def get(self) -> None:
        self.answer({"status": "ok"})

    head = get


class Readiness(Handler):
    """``/readyz``: 503, with the reason, until the node has caught up with the log, while it
    cannot read the log, and when it drains. Send clients elsewhere meanwhile."""

    def initialize(self, node: Node) -> None:
        self._node = node

    def get(self) -> None:
        ready = self._node.ready
        self.answer(
            {"ready": ready, "status": self._node.status, "node": self._node.name},
            200 if ready else 503,
        )

    head = get

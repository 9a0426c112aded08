"""``/api/sessions/<session>``: how a session reached this node, for whoever looks for a proxy's
faults."""

from roomline.http.errors import ApiError, Failure
from roomline.http.handler import ApiHandler
from roomline.node import Node


class Sessions(ApiHandler):
    """For programs that hold an API token."""

    def initialize(self, node: Node, api_tokens: tuple[str, ...]) -> None:
        self.api_tokens = api_tokens
        self._node = node

    def get(self, id: str) -> None:
        """The session with the id that its client was told."""
        live = self._node.find(id)
        if live is None:
            raise Failure(ApiError.NOT_FOUND, "this node has no such session")
        transport, address = live.link.transport, live.link.address
        self.answer({"session": id, "transport": transport, "address": address})

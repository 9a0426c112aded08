"""The internal port's application: which path is answered by whom."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tornado.routing import Rule
from tornado.web import Application, RequestHandler

from roomline.core.policy import Policy
from roomline.http.handler import NothingHere
from roomline.http.health import Health, Readiness
from roomline.http.metrics import Metrics, registry
from roomline.http.publications import Publications
from roomline.http.sessions import Sessions
from roomline.logs import no_access
from roomline.node import Node
from roomline.wire import MAX_BODY_BYTES

Route = tuple[str, type[RequestHandler], dict[str, Any]]
"""A pattern of paths, the handler, and what it is initialized with."""

# JSON may write a character in six, and what is only a little too large should get an answer
# that says so.
_BODY_BYTES: Final = 8 * MAX_BODY_BYTES

INTERNAL_LIMITS: Final[Mapping[str, Any]] = {
    "max_body_size": _BODY_BYTES,
    "max_buffer_size": _BODY_BYTES + 65_536,
    "max_header_size": 16_384,
    "idle_connection_timeout": 75.0,
    "body_timeout": 30.0,
}
"""Arguments for the ``tornado.httpserver.HTTPServer`` of the internal port: bytes and seconds."""


def internal_application(
    node: Node,
    policy: Policy,
    api_tokens: tuple[str, ...],
    first: Sequence[Rule] = (),
    more: Sequence[Route] = (),
) -> Application:
    """Health, readiness, metrics, and the HTTP API for whoever holds one of `api_tokens`; the
    rules `first` come before them, and `more` is what else the port has."""
    api = {"node": node, "api_tokens": api_tokens}
    return Application(
        [
            *first,
            (r"/healthz", Health),
            (r"/readyz", Readiness, {"node": node}),
            (r"/metrics", Metrics, {"collectors": registry(node)}),
            (r"/api/rooms/([^/]*)/publications", Publications, api | {"policy": policy}),
            (r"/api/sessions/([^/]*)", Sessions, api),
            *more,
        ],
        default_handler_class=NothingHere,
        log_function=no_access,
    )

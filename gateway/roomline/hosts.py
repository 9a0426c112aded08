"""Which names a port answers to. A page whose name leads here without our doing, by a name server
of its owner's, is then nobody's own."""

from collections.abc import Collection
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, Rule
from tornado.web import RequestHandler

MISDIRECTED = 421


class _OtherHosts(Matcher):
    def __init__(self, hosts: Collection[str]) -> None:
        self._hosts = hosts

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        return None if request.host_name.lower() in self._hosts else {}


class _Misdirected(RequestHandler):
    """Answers nothing but that."""

    SUPPORTED_METHODS = (*RequestHandler.SUPPORTED_METHODS, "TRACE", "CONNECT")

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.clear_header("Content-Type")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        self.set_status(MISDIRECTED)
        self.finish()


def host_rules(hosts: Collection[str]) -> list[Rule]:
    """The rules to put before all others; none if every name will do. `hosts` are lower case,
    without a port."""
    return [Rule(_OtherHosts(frozenset(hosts)), _Misdirected)] if hosts else []

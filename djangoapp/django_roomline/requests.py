"""`handles`: functions that answer the requests of clients.

Example, in an app's ``handlers.py``::

    @handles("orders.cancel", permission="orders.cancel_order")
    def cancel(request):
        order = Order.objects.get(pk=request.data["order"])
        if order.shipped:
            raise RequestRefused("This order has been shipped.", code="shipped")
        order.cancel()
        return {"status": order.status}
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import autodiscover_modules
from roomline.requests import (
    DEFAULT_TIMEOUT,
    MAX_REFUSAL_LENGTH,
    MAX_TIMEOUT,
    check_request_name,
)
from roomline.requests import Request as Wired
from roomline.wire import Sender, json_of, shorten

F = TypeVar("F", bound=Callable[["Request"], Any])

MODULE: Final = "handlers"
"""The module of each app in which `discover` looks for handlers."""


class RequestRefused(Exception):
    """Raised by a handler: the request is refused, and the reason is for the user.

    `code` (1 to 64 characters) is for programs: clients find it as the error's ``refusal``.
    """

    def __init__(self, reason: str, code: str | None = None) -> None:
        super().__init__(reason)
        if code is not None and not 0 < len(code) <= MAX_REFUSAL_LENGTH:
            raise ValueError(
                f"code is {shorten(code)}, accepted is text of 1 to {MAX_REFUSAL_LENGTH} characters"
            )
        self.reason = reason
        self.code = code


@dataclass(frozen=True)
class Request:
    """What a handler gets. `id` stays the same however often the request is delivered: a handler
    that is not to do the same twice remembers it. `sender` is who the gateway says it is from:
    also guests, who are no users, have an id and a name; None for anonymous clients."""

    id: str
    name: str
    data: Any
    user: Any
    sender: Sender | None
    attempt: int
    """How often this request has been given to a handler, this time included: from 1."""


class Handler(NamedTuple):
    """A function that answers requests, and for whom. `timeout` is in seconds."""

    name: str
    function: Callable[[Request], Any]
    timeout: float
    permission: str | None
    authenticated: bool


_handlers: dict[str, Handler] = {}


def handles(
    name: str,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    permission: str | None = None,
    authenticated: bool = True,
) -> Callable[[F], F]:
    """Have the decorated function answer the requests of this name.

    It gets a `Request` and returns what clients get, any data that JSON can carry. It runs in a
    worker (``manage.py roomline_worker``) with the database as in a view. `RequestRefused` and
    Django's ``PermissionDenied``, ``Http404`` and ``ValidationError`` refuse; any other exception
    is a defect: it is logged, tried again twice, and answered with an error that tells clients
    nothing of it.

    With `permission` (``"app_label.codename"``) the user must have it; with `authenticated`, the
    default, there must be a user who is active. After `timeout` seconds the client gets an error;
    the function is not stopped.

    Raises `roomline.wire.InvalidName` for the name, `ValueError` for the time-out, `TypeError` for
    an async function, and `ImproperlyConfigured` if another function has the name.
    """
    check_request_name(name)
    if isinstance(timeout, bool) or not 0 < timeout <= MAX_TIMEOUT:
        raise ValueError(f"timeout is {timeout}, accepted are seconds up to {MAX_TIMEOUT:g}")
    if permission is not None and not authenticated:
        raise ValueError("authenticated=False contradicts a permission: only users have any")

    def register(function: F) -> F:
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} is async, and handlers run in threads")
        other = _handlers.get(name)
        if other is not None and _place(other.function) != _place(function):
            raise ImproperlyConfigured(
                f"{_place(function)} and {_place(other.function)} both handle {name}"
            )
        _handlers[name] = Handler(name, function, float(timeout), permission, authenticated)
        return function

    return register


def discover() -> dict[str, Handler]:
    """All handlers by their names, after importing the ``handlers`` module of every app."""
    autodiscover_modules(MODULE)
    return dict(_handlers)


def handler_of(name: str) -> Handler | None:
    """The handler that has been registered under a name."""
    return _handlers.get(name)


def data_of(request: Wired) -> Any:
    """What the client has sent."""
    return json.loads(json_of(request.body))


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', function)}"

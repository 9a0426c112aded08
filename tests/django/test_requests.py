"""django_roomline.requests and the worker's command: what they refuse, and with which words"""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.http import Http404
from django_roomline import requests
from django_roomline.answering import answer
from django_roomline.requests import Handler, Request, RequestRefused, discover, handler_of, handles
from roomline.requests import Answer, error_answer
from roomline.requests import Request as Wired
from roomline.wire import InvalidName, Sender


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers of a test's own."""
    monkeypatch.setattr(requests, "_handlers", {})


def some(request: Request) -> Any:
    return request.data


def other(request: Request) -> Any:
    return request.data


def test_a_handler_is_found_by_its_name() -> None:
    assert handles("orders.cancel", timeout=5, permission="orders.cancel_order")(some) is some
    assert handler_of("orders.cancel") == Handler(
        "orders.cancel", some, 5.0, "orders.cancel_order", True
    )
    assert handler_of("orders.other") is None
    assert set(discover()) == {"orders.cancel"}, "no app of this project has a handlers module"


def test_one_name_is_for_one_function() -> None:
    handles("a")(some)
    handles("a")(some)  # its module was imported twice, as when code is reloaded
    with pytest.raises(ImproperlyConfigured, match=r"other and .*some both handle a"):
        handles("a")(other)


@pytest.mark.parametrize("timeout", [0, -1, 61, True, float("nan")])
def test_time_outs_that_are_none(timeout: float) -> None:
    with pytest.raises(ValueError, match="accepted are seconds up to 60"):
        handles("a", timeout=timeout)


def test_what_cannot_be_a_handler() -> None:
    with pytest.raises(InvalidName):
        handles("a b")
    with pytest.raises(ValueError, match="contradicts a permission"):
        handles("a", permission="a.b", authenticated=False)

    async def later(request: Request) -> Any:
        return 1

    with pytest.raises(TypeError, match="later is async"):
        handles("a")(later)


@pytest.mark.parametrize("code", ["", "x" * 65])
def test_codes_of_refusals_are_bounded(code: str) -> None:
    with pytest.raises(ValueError, match="1 to 64 characters"):
        raise RequestRefused("no", code)


def wired(sender: str | None) -> Wired:
    return Wired("r-1", "a", b'{"n":1}', Sender(sender, "Ann") if sender else None)


def told(sender: str | None, function: Callable[[Request], Any] = some, **rules: Any) -> Answer:
    requests._handlers.clear()
    handles("a", **rules)(function)
    return answer(handler_of("a"), wired(sender), 1)


def test_a_user_is_loaded_as_they_are_now(users: dict[str, Any]) -> None:
    ann = users["member"]

    def who(request: Request) -> Any:
        return [request.user.pk == ann.pk, request.user.username, request.id, request.attempt]

    assert told(str(ann.pk), who) == Answer(b'[true,"ann","r-1",1]')


@pytest.mark.parametrize("sender", [None, "guest-1", "no-number", "4711", "9" * 40])
def test_who_is_no_user(users: dict[str, Any], sender: str | None) -> None:
    refused = error_answer("forbidden", "this is for users who are logged in")
    assert told(sender) == refused


def test_an_inactive_user_is_nobody(users: dict[str, Any]) -> None:
    inactive = str(users["inactive"].pk)
    assert told(inactive).code == "forbidden"


def test_a_permission(users: dict[str, Any]) -> None:
    boss, member = users["staff"], users["member"]
    boss.is_superuser = True
    boss.save()
    assert told(str(boss.pk), permission="auth.change_user") == Answer(b'{"n":1}')
    assert told(str(member.pk), permission="auth.change_user").code == "forbidden"


def test_words_of_a_denial_are_told() -> None:
    def deny(request: Request) -> Any:
        raise PermissionDenied("not on Sundays")

    assert told(None, deny, authenticated=False) == error_answer("forbidden", "not on Sundays")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            Http404("No Order matches the given query."),
            ("what this is about is not there", "not_found"),
        ),
        (ValidationError(["Too many.", "Too late."]), ("Too many. Too late.", "invalid")),
        (ValidationError({"amount": ["Too many."]}), ("Too many.", "invalid")),
    ],
)
def test_what_a_client_has_wrong_is_no_defect(raised: Exception, said: tuple[str, str]) -> None:
    def refuse(request: Request) -> Any:
        raise raised

    expected = error_answer("request_failed", *said)
    assert told(None, refuse, authenticated=False) == expected


def test_an_unknown_name() -> None:
    assert answer(None, wired(None), 1).code == "request_unknown"


@pytest.mark.parametrize("threads", [0, 101])
def test_threads_are_bounded(threads: int) -> None:
    with pytest.raises(CommandError, match="1 to 100 are accepted"):
        call_command("roomline_worker", threads=threads)


def test_a_worker_without_handlers_says_so() -> None:
    with pytest.raises(CommandError, match="no app has a handlers module"):
        call_command("roomline_worker", stdout=StringIO())


def test_the_dead_of_a_queue_that_cannot_be(roomline: Callable[..., None]) -> None:
    roomline(BROKER="embedded:/nonexistent/rooms.sqlite3")
    with pytest.raises(CommandError, match="is not a directory"):
        call_command("roomline_worker", dead=True)

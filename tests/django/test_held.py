"""django_roomline.held: the header that it writes, and what is said without a gateway."""

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory
from django_roomline import hold, position_of, stream
from django_roomline.held import NO_GATEWAY
from roomline.holding import Hold, InvalidHold, read
from roomline.wire import InvalidName

HERE = "0.5.00000000000a"
THERE = "0.3.00000000000b"


def user(pk: int = 7) -> User:
    return User(pk=pk, username=f"user{pk}")


def request(position: str | None = HERE, **headers: str) -> HttpRequest:
    if position is not None:
        headers["Roomline-Position"] = position
    return RequestFactory().get("/", headers=headers)


def test_hold_begins_where_the_request_came() -> None:
    response = hold(request(), "chat.a")
    assert read(response["Roomline-Hold"]) == Hold("hold", "chat.a", 25, HERE)
    assert response["Cache-Control"] == "no-store"
    assert response["Content-Type"] == "application/json"


def test_hold_begins_where_it_is_told() -> None:
    response = hold(request(), "chat.a", timeout=5, since=THERE)
    assert read(response["Roomline-Hold"]) == Hold("hold", "chat.a", 5, THERE)


def test_an_empty_position_is_one_that_no_gateway_gave() -> None:
    """What comes from a query string may be anything."""
    assert read(hold(request(), "chat.a", since="")["Roomline-Hold"]).since == ""


def test_an_answer_of_ones_own() -> None:
    own = HttpResponse("nothing new", status=203, headers={"Cache-Control": "private"})
    response = hold(request(), "chat.a", response=own)
    assert response is own
    assert (response.status_code, response.content) == (203, b"nothing new")
    assert response["Cache-Control"] == "private"
    assert read(response["Roomline-Hold"]).answer


def test_an_answer_of_ones_own_does_not_stream() -> None:
    with pytest.raises(ValueError, match="its body must be there"):
        hold(request(), "chat.a", response=StreamingHttpResponse(["a"]))  # type: ignore[arg-type]


@pytest.mark.parametrize("format", ["sse", "json-lines"])
def test_stream_begins_where_the_request_came(format: str) -> None:
    response = stream(request(), "chat.a", format=format)  # type: ignore[arg-type]
    assert read(response["Roomline-Hold"]) == Hold(format, "chat.a", 300, HERE)  # type: ignore[arg-type]


def test_stream_goes_on_after_the_last_event() -> None:
    response = stream(request(**{"Last-Event-ID": THERE}), "chat.a", timeout=60)
    assert read(response["Roomline-Hold"]) == Hold("sse", "chat.a", 60, THERE)
    response = stream(request(**{"Last-Event-ID": THERE}), "chat.a", since=HERE)
    assert read(response["Roomline-Hold"]).since == HERE


def test_it_is_for_the_request_s_user() -> None:
    asked = request()
    asked.user = user()
    assert read(hold(asked, "chat.a")["Roomline-Hold"]).user == "7"
    assert read(stream(asked, "chat.a")["Roomline-Hold"]).user == "7"
    assert read(stream(asked, "chat.a", user=user(8))["Roomline-Hold"]).user == "8"
    asked.user = AnonymousUser()
    assert read(hold(asked, "chat.a")["Roomline-Hold"]).user is None


def test_without_a_gateway_it_says_so() -> None:
    for response in (hold(request(None), "chat.a"), stream(request(None), "chat.a")):
        assert response.status_code == 501
        assert response.content.decode() == NO_GATEWAY
        assert "Roomline-Hold" not in response


def test_a_gateway_that_does_not_know_where_it_is() -> None:
    asked = request("")
    assert position_of(asked) is None
    assert read(hold(asked, "chat.a")["Roomline-Hold"]) == Hold("hold", "chat.a", 25, None)


def test_position_of() -> None:
    assert position_of(request()) == HERE
    assert position_of(request(None)) is None


@pytest.mark.parametrize("position", [HERE, None])
def test_bad_arguments_are_errors_with_and_without_a_gateway(position: str | None) -> None:
    asked = request(position)
    for room in ("not a room", "control.a"):
        with pytest.raises(InvalidName):
            hold(asked, room)
        with pytest.raises(InvalidName):
            stream(asked, room)
    with pytest.raises(InvalidHold, match="accepted are 0 to 120"):
        hold(asked, "chat.a", 121)
    with pytest.raises(InvalidHold, match="accepted are 0 to 3600"):
        stream(asked, "chat.a", 3601)
    with pytest.raises(InvalidHold, match="accepted are hold, sse, json-lines"):
        stream(asked, "chat.a", format="xml")  # type: ignore[arg-type]

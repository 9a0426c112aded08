"""roomline.requests: names, and how AMQP carries requests and answers"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from roomline.requests import (
    Answer,
    Request,
    answer_of,
    answer_properties,
    check_request_name,
    error_answer,
    request_of,
    request_properties,
)
from roomline.wire import InvalidName, Sender

REQUEST = Request("r-1", "orders.cancel", b'{"order":7}', Sender("7", "Ann"), 1234567, 2.5)


@pytest.mark.parametrize("name", ["a", "orders.cancel", "A-1.b_2", "x" * 100])
def test_names(name: str) -> None:
    assert check_request_name(name) == name


@pytest.mark.parametrize("name", ["", ".a", "a.", "a..b", "a b", "ä", "a\n", "x" * 101])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(InvalidName, match="is not a name of requests"):
        check_request_name(name)


def test_a_request_comes_through() -> None:
    properties = request_properties(REQUEST, "node.1", "gateway")
    assert properties["reply_to"] == "node.1"
    assert properties["user_id"] == "gateway"
    assert properties["expiration"] == "2500"
    assert request_of(REQUEST.body, properties) == REQUEST


def test_an_anonymous_request_comes_through() -> None:
    request = REQUEST._replace(sender=None, time=None)
    assert request_of(request.body, request_properties(request, "node.1", None)) == request


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"null"),
        error_answer("request_failed", "no", "shipped"),
        error_answer("forbidden", ""),
    ],
)
def test_an_answer_comes_through(answer: Answer) -> None:
    properties = answer_properties("r-1", answer, "django")
    assert properties["user_id"] == "django"
    assert answer_of(answer.body, properties) == ("r-1", answer)


def test_a_reason_is_bounded() -> None:
    assert len(error_answer("request_failed", "x" * 5000).reason) == 1000
    assert error_answer("request_failed", "\ud800").reason == "?"


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"type": "orders.cancel"},
        {"message_id": "r-1"},
        {"type": "no name", "message_id": "r-1"},
        {"type": 7, "message_id": "r-1"},
        {"type": "orders.cancel", "message_id": 7},
    ],
)
def test_what_is_no_request(properties: dict[str, Any]) -> None:
    assert request_of(b"1", properties) is None


@pytest.mark.parametrize("expiration", [None, "", "-1", "1e9", "soon", 5, "9" * 30])
def test_a_time_out_that_is_none_is_the_usual_one(expiration: object) -> None:
    request = request_of(b"1", {"type": "a", "message_id": "r", "expiration": expiration})
    assert request is not None
    assert request.timeout == 30


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"type": "response"},
        {"correlation_id": "r-1"},
        {"type": "unavailable", "correlation_id": "r-1"},
        {"type": "response", "correlation_id": 7},
    ],
)
def test_what_is_no_answer(properties: dict[str, Any]) -> None:
    assert answer_of(b"1", properties) is None


VALUES = st.none() | st.integers() | st.text() | st.binary() | st.dictionaries(st.text(), st.text())


@given(
    st.binary(),
    st.dictionaries(
        st.sampled_from(["type", "message_id", "correlation_id", "headers", "expiration"]), VALUES
    ),
)
def test_nothing_that_is_delivered_raises(body: bytes, properties: dict[str, Any]) -> None:
    request_of(body, properties)
    answer_of(body, properties)

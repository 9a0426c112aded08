"""Who a visitor is to the gateway."""

from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django_roomline.identity import MAX_NAME, Visitor, clean_name, name_guest, visitor_of
from roomline.wire import check_user_id


def request_of(user: Any, session: SessionStore | None = None) -> HttpRequest:
    request = HttpRequest()
    request.user = user
    request.session = session or SessionStore()
    return request


def test_a_user_is_known_by_primary_key_and_name(users: dict[str, Any]) -> None:
    ann, sue = users["member"], users["staff"]
    assert visitor_of(request_of(ann)) == Visitor(str(ann.pk), "Ann", False)
    assert visitor_of(request_of(sue)) == Visitor(str(sue.pk), "sue", False)


def test_a_guest_stays_the_same_in_a_session_and_no_two_are_alike(db: None) -> None:
    request = request_of(AnonymousUser())
    visitor = visitor_of(request)
    assert visitor is not None
    assert visitor.is_guest
    assert check_user_id(visitor.id).startswith("guest-")
    assert visitor.name == f"Guest {visitor.id[-4:]}"
    assert visitor_of(request) == visitor
    assert visitor_of(request_of(AnonymousUser())) != visitor


def test_a_guest_may_choose_a_name(db: None) -> None:
    request = request_of(AnonymousUser())
    before = visitor_of(request)
    name_guest(request, "  Bo\tb\n")
    after = visitor_of(request)
    assert (before and before.id, "Bo b") == (after and after.id, after and after.name)
    name_guest(request, "\n")
    assert visitor_of(request) == before


def test_guests_only_if_the_project_allows_them(db: None, roomline: Any) -> None:
    roomline(GUESTS=False)
    request = request_of(AnonymousUser())
    assert visitor_of(request) is None
    assert request.session.is_empty()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Ann", "Ann"),
        ("Zoë 😀", "Zoë 😀"),
        ("a\u202eb\u200bc\x00d", "a b c d"),
        ("x" * 100, "x" * MAX_NAME),
        ("x" * (MAX_NAME - 1) + " y", "x" * (MAX_NAME - 1)),
        ("<b>&amp;", "<b>&amp;"),
        ("\ud800", ""),
    ],
)
def test_names_are_one_line_of_what_can_be_seen(given: str, shown: str) -> None:
    assert clean_name(given) == shown


@pytest.mark.parametrize("key", ["ann@example.com", "x" * 65, "", "guest-ann"])
def test_a_primary_key_that_cannot_be_a_user_id_is_said(key: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="user"):
        visitor_of(request_of(Mock(is_authenticated=True, pk=key)))

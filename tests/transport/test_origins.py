"""The allow-list of origins."""

import pytest
from roomline.transport.origins import Origins, own_origin

OWN = "https://chat.example"


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("https", "chat.example", "https://chat.example"),
        ("https", "Chat.Example:443", "https://chat.example"),
        ("http", "chat.example:80", "http://chat.example"),
        ("http", "chat.example:443", "http://chat.example:443"),
        ("http", "[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_endpoints_own_origin(scheme: str, host: str, origin: str) -> None:
    assert own_origin(scheme, host) == origin


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        (None, True),
        ("https://chat.example", True),
        ("https://other.example", True),
        ("HTTPS://OTHER.example", True),
        ("http://chat.example", False),
        ("https://chat.example:8443", False),
        ("https://chat.example.evil.example", False),
        ("https://evil-chat.example", False),
        ("https://other.exampl", False),
        ("ther.exampl", False),
        ("https://other.example/", False),
        ("null", False),
        ("*", False),
        ("", False),
    ],
)
def test_origins_are_exact(origin: str | None, admitted: bool) -> None:
    origins = Origins(["https://other.example"])
    assert origins.admits(origin, OWN) == admitted
    headers = origins.headers(origin, OWN)
    if admitted and origin is not None:
        assert headers["Access-Control-Allow-Origin"] == origin
    else:
        assert headers == {}


def test_a_star_admits_everybody_but_trusts_nobody() -> None:
    origins = Origins(["*", "https://other.example"])
    assert origins.admits("https://evil.example", OWN)
    star = {"Access-Control-Allow-Origin": "*"}
    assert origins.headers("https://evil.example", OWN) == star
    assert origins.headers(None, OWN) == star
    assert origins.headers("https://other.example", OWN)["Access-Control-Allow-Credentials"]
    assert origins.frame_ancestors() is None


def test_who_may_embed_the_iframe_page() -> None:
    origins = Origins(["https://b.example", "null", "https://a.example"])
    assert origins.frame_ancestors() == "frame-ancestors 'self' https://a.example https://b.example"

"""roomline.proxy.headers, as values: the rest is seen over sockets in test_proxy."""

import pytest
from roomline.proxy.headers import delimited, downward
from tornado.httputil import HTTPHeaders


@pytest.mark.parametrize(
    ("headers", "plain"),
    [
        ({}, True),
        ({"Content-Length": "0"}, True),
        ({"Content-Length": "12"}, True),
        ({"Transfer-Encoding": "chunked"}, True),
        ({"Transfer-Encoding": "Chunked"}, True),
        ({"Content-Length": ""}, False),
        ({"Content-Length": "-1"}, False),
        ({"Content-Length": "1_0"}, False),
        ({"Content-Length": "٣"}, False),
        ({"Content-Length": "5,5"}, False),
        ({"Content-Length": "9" * 19}, False),
        ({"Transfer-Encoding": "gzip, chunked"}, False),
        ({"Transfer-Encoding": "identity"}, False),
        ({"Transfer-Encoding": ""}, False),
        ({"Transfer-Encoding": "chunked", "Content-Length": "5"}, False),
    ],
)
def test_how_long_a_body_is_must_be_plain(headers: dict[str, str], plain: bool) -> None:
    made = HTTPHeaders()
    for name, value in headers.items():
        made[name] = value
    assert delimited(made) is plain


@pytest.mark.parametrize(
    ("status", "length", "buffered"),
    [(200, "5", True), (200, None, False), (304, None, True), (204, "0", True)],
)
def test_proxies_in_front_collect_what_has_an_end(
    status: int, length: str | None, buffered: bool
) -> None:
    answered = HTTPHeaders({"Content-Length": length} if length else {})
    headers = downward(answered, status)
    assert ("X-Accel-Buffering" not in headers) is buffered
    assert ("Content-Length" in headers) == (length == "5")

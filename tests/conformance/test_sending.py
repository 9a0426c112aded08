"""The two requests that send: ``xhr_send``, which streaming uses as well, and ``jsonp_send``."""

import json

import pytest

from tests.conformance.carriers import (
    ECHO,
    FORM,
    OPEN,
    PAGE,
    XHR,
    receiving,
    send,
    send_text,
    session,
)
from tests.transport.clients import ask, connected

pytestmark = pytest.mark.timeout(20)

NOT_CACHED = "no-store, no-cache, no-transform, must-revalidate, max-age=0"

senders = pytest.mark.parametrize(
    ("by", "status", "said"), [("xhr_send", 204, b""), ("jsonp_send", 200, b"ok")]
)
BROKEN = [
    *("", "[", '["x', "]", "nonsense", "{}", "1", "null", '"abc"', "[1]", '[["a"]]', '["a",]'),
    *('{"a": "b"}', '["a"]x', "[" * 10_000),
]


@senders
async def test_the_answer(port: int, by: str, status: int, said: bytes) -> None:
    path = session()
    async with receiving(port, path, XHR) as frames:
        assert await frames.next() == OPEN
        for messages in (["x"], [], ["y", "z"]):
            response = await send(port, path, *messages, by=by, headers=PAGE)
            assert (response.status, response.body) == (status, said)
            # Firefox takes an answer without a type for XML, even when there is none.
            assert response["Content-Type"] == "text/plain; charset=UTF-8"
            assert response["Cache-Control"] == NOT_CACHED
            assert response["Expires"] is response["Last-Modified"] is None
            assert response["Set-Cookie"] is None
            assert response["Access-Control-Allow-Origin"] == "test"
            assert response["Access-Control-Allow-Credentials"] == "true"
        assert await frames.messages(3) == ["x", "y", "z"]


@senders
async def test_many_on_one_connection(port: int, by: str, status: int, said: bytes) -> None:
    path = session()
    headers = {"Content-Type": "text/plain"}
    async with receiving(port, path, XHR) as frames, connected(port) as connection:
        assert await frames.next() == OPEN
        for number in range(5):
            body = json.dumps([str(number)]).encode()
            response = await connection.request("POST", f"{path}/{by}", body, headers)
            assert (response.status, await connection.body(response)) == (status, said)
        assert await frames.messages(5) == ["0", "1", "2", "3", "4"]


@senders
async def test_to_nobody(port: int, by: str, status: int, said: bytes) -> None:
    path = session()
    for text in ('["x"]', "[]", "", "["):
        response = await send_text(port, path, text, by=by)
        assert (response.status, response.body) == (404, b"")
    async with receiving(port, path, XHR) as frames:
        assert await frames.next() == OPEN, "it has not been opened by that"


@senders
@pytest.mark.parametrize("text", BROKEN)
async def test_what_is_no_array_of_texts(
    port: int, by: str, status: int, said: bytes, text: str
) -> None:
    path = session()
    async with receiving(port, path, XHR) as frames:
        assert await frames.next() == OPEN
        response = await send_text(port, path, text, by=by, headers=PAGE)
        assert response.status == 500
        assert response.body in (b"Payload expected.", b"Broken JSON encoding.")
        assert response["Content-Type"] == "text/plain; charset=UTF-8"
        # The page must be able to read that.
        assert response["Access-Control-Allow-Origin"] == "test"
        assert (await send(port, path, "a", by=by)).status == status
        assert await frames.next() == 'a["a"]'


@pytest.mark.parametrize("body", [b"\xff", b'["\xc3"]', b'["\xed\xa0\x80"]'])
async def test_what_is_no_utf_8(port: int, body: bytes) -> None:
    path = session()
    async with receiving(port, path, XHR) as frames:
        assert await frames.next() == OPEN
        for by in ("xhr_send", "jsonp_send"):
            async with connected(port) as connection:
                response = await connection.request("POST", f"{path}/{by}", body)
                assert response.status == 500
                assert await connection.body(response) == b"Broken JSON encoding."
        form = "d=" + "".join(f"%{byte:02x}" for byte in body)
        response = await ask(port, "POST", f"{path}/jsonp_send", form, FORM)
        assert (response.status, response.body) == (500, b"Broken JSON encoding.")


async def test_the_type_of_a_body_does_not_matter(port: int) -> None:
    types = [
        *("text/plain", "T", "application/json", "application/xml", "", "text/xml"),
        *("application/json; charset=utf-8", "text/xml; charset=utf-8"),
        *("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
    ]
    path = session()
    async with receiving(port, path, XHR) as frames:
        assert await frames.next() == OPEN
        for content_type in types:
            response = await ask(
                port, "POST", f"{path}/xhr_send", '["a"]', {"Content-Type": content_type}
            )
            assert (response.status, response.body) == (204, b"")
        assert await frames.messages(len(types)) == ["a"] * len(types)


async def test_only_a_form_is_read_as_one(port: int) -> None:
    path = session()
    bodies = [
        ("d=%5B%22abc%22%5D", "application/x-www-form-urlencoded"),
        ("x=1&d=%5B%22%C3%A9+%2B%22%5D", "Application/X-WWW-Form-Urlencoded; charset=UTF-8"),
        ('["%61bc"]', "text/plain"),
        ('["+"]', ""),
    ]
    async with receiving(port, path, XHR) as frames:
        assert await frames.next() == OPEN
        for body, content_type in bodies:
            response = await ask(
                port, "POST", f"{path}/jsonp_send", body, {"Content-Type": content_type}
            )
            assert (response.status, response.body) == (200, b"ok")
        assert await frames.messages(4) == ["abc", "é +", "%61bc", "+"]


async def test_a_body_in_chunks(port: int) -> None:
    path = session()
    async with receiving(port, path, XHR) as frames, connected(port) as connection:
        assert await frames.next() == OPEN
        connection.writer.write(
            f"POST {path}/xhr_send HTTP/1.1\r\nHost: {ECHO[1:]}\r\n".encode()
            + b'Transfer-Encoding: chunked\r\n\r\n2\r\n["\r\n3\r\na"]\r\n0\r\n\r\n'
        )
        assert (await connection.head()).status == 204
        assert await frames.next() == 'a["a"]'

"""roomline.proxy: what goes up, what comes down, and what happens when either side fails."""

import asyncio
import ipaddress
import json

import pytest

from tests.proxy.conftest import Asked, Fronts, hello
from tests.support.until import until
from tests.transport.clients import connected

pytestmark = pytest.mark.timeout(30)

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_request_goes_up_and_its_response_comes_down(front: Fronts) -> None:
    async def answer(asked: Asked) -> None:
        await asked.read_body()
        asked.reply(b"made", "Content-Type: text/plain", "X-Own: 1", status="201 Made It")

    node = await front(answer)
    async with connected(node.port) as client:
        response = await client.request("POST", "/a/b%20c?x=%0a&y=ü", b"body")
        assert (response.status, response["X-Own"]) == (201, "1")
        assert await client.body(response) == b"made"
    [asked] = node.asked
    assert asked.body == b"body"
    assert asked.line == "POST /a/b%20c?x=%0a&y=%C3%BC HTTP/1.1"
    assert asked.get("Host") == [f"127.0.0.1:{node.port}"]
    assert asked.get("X-Forwarded-For") == ["127.0.0.1"]
    assert asked.get("X-Forwarded-Proto") == ["http"]
    assert asked.get("X-Forwarded-Host") == [f"127.0.0.1:{node.port}"]
    assert asked.get("Roomline-Position") == [node.node.position]


async def test_paths_that_are_sockjs_own_stay(front: Fronts) -> None:
    node = await front()
    async with connected(node.port) as client:
        info = await client.request("GET", "/roomline/info")
        assert json.loads(await client.body(info))["websocket"] is True
        for path in ("/", "/roomline/token", "/roomlines", "/roomline/a/b/nothing"):
            response = await client.request("GET", path)
            assert await client.body(response) == b"hello", path
    assert len(node.asked) == 4


async def test_a_connection_serves_one_request_after_another(front: Fronts) -> None:
    node = await front()
    async with connected(node.port) as client:
        for number in range(50):
            method = ("GET", "HEAD", "POST", "DELETE")[number % 4]
            response = await client.request(method, "/", b"x" * number if number % 4 == 2 else b"")
            assert method == "HEAD" or await client.body(response) == b"hello"
    bodies = [b"x" * number if number % 4 == 2 else b"" for number in range(50)]
    assert [asked.body for asked in node.asked] == bodies
    assert {asked.get("Connection")[0] for asked in node.asked} == {"close"}


@pytest.mark.parametrize("status", [204, 304])
async def test_what_has_no_body_ends(front: Fronts, status: int) -> None:
    async def answer(asked: Asked) -> None:
        asked.send(f"HTTP/1.1 {status} X\r\nETag: e\r\n\r\n".encode())

    node = await front(answer)
    async with connected(node.port) as client:
        for _ in range(2):
            response = await client.request("GET", "/", headers={"If-None-Match": "e"})
            assert (response.status, response["ETag"]) == (status, "e")
            assert response["Transfer-Encoding"] is None
    assert node.asked[0].get("If-None-Match") == ["e"]


async def test_head(front: Fronts) -> None:
    async def answer(asked: Asked) -> None:
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")

    node = await front(answer)
    async with connected(node.port) as client:
        for _ in range(2):
            response = await client.request("HEAD", "/")
            assert (response.status, response["Content-Length"]) == (200, "1000")
    assert node.asked[0].line == "HEAD / HTTP/1.1"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("sort", ["chunked", "length", "until the end", "HTTP/1.0"])
async def test_chunks_come_as_they_are_made(front: Fronts, sort: str, version: str) -> None:
    go = asyncio.Event()
    heads = {
        "chunked": CHUNKED,
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        "until the end": b"HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n",
    }

    async def answer(asked: Asked) -> None:
        asked.send(heads[sort])
        for part in (b"first", b"other"):
            asked.send(b"5\r\n%b\r\n" % part if sort == "chunked" else part)
            await go.wait()
        if sort == "chunked":
            asked.send(b"0\r\n\r\n")

    node = await front(answer)
    async with connected(node.port) as client:
        response = await client.request(
            "GET", "/", version=version, headers={"Connection": "keep-alive"}
        )
        chunked = response["Transfer-Encoding"] == "chunked"
        assert chunked == (version == "1.1" and sort != "length")
        assert response["X-Accel-Buffering"] == (None if sort == "length" else "no")
        first = await client.chunk() if chunked else await client.reader.readexactly(5)
        assert first == b"first"
        go.set()
        assert await client.body(response) == b"other" if chunked else True
        if not chunked and sort != "length":
            assert await client.reader.read() == b"other"


async def test_a_chunked_upload_goes_up_as_it_comes(front: Fronts) -> None:
    seen = bytearray()

    async def answer(asked: Asked) -> None:
        while size := int(await asked.reader.readuntil(b"\r\n"), 16):
            seen.extend((await asked.reader.readexactly(size + 2))[:-2])
        asked.reply(b"")

    node = await front(answer)
    async with connected(node.port) as client:
        client.writer.write(
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"
        )
        await until(lambda: bytes(seen) == b"part")
        client.writer.write(b"3\r\n two\r\n0\r\n\r\n".replace(b"3", b"4", 1))
        assert (await client.head()).status == 200
    assert bytes(seen) == b"part two"


async def test_neither_side_is_read_faster_than_the_other_takes_it(front: Fronts) -> None:
    total = 64 << 20
    sent = 0

    async def answer(asked: Asked) -> None:
        nonlocal sent
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            asked.send(b"x" * 65536)
            await asked.writer.drain()
            sent += 65536

    node = await front(answer)
    async with connected(node.port) as client:
        response = await client.request("GET", "/")
        before = -1
        while sent != before:  # until all that is between the two is full
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 32 << 20
        left = int(response["Content-Length"] or 0)
        while left:
            left -= len(await client.reader.read(1 << 20))
        assert sent == total


async def test_an_upload_waits_for_an_upstream_that_does_not_read(front: Fronts) -> None:
    total = 64 << 20
    read = asyncio.Event()

    async def answer(asked: Asked) -> None:
        await read.wait()
        await asked.read_body()
        asked.reply(b"%d" % len(asked.body))

    node = await front(answer, body_bytes=total)
    sent = 0
    async with connected(node.port) as client:
        client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total)

        async def upload() -> None:
            nonlocal sent
            while sent < total:
                client.writer.write(b"x" * 65536)
                await client.writer.drain()
                sent += 65536

        task = asyncio.create_task(upload())
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 32 << 20
        read.set()
        response = await client.head()
        await task
        assert await client.body(response) == b"%d" % total


async def test_hop_by_hop_headers_stay_behind(front: Fronts) -> None:
    async def answer(asked: Asked) -> None:
        asked.reply(b"", "Connection: X-Private", "X-Private: 1", "Keep-Alive: 5", "Trailer: x")

    node = await front(answer)
    async with connected(node.port) as client:
        headers = {
            "Connection": "keep-alive, X-Mine, Content-Length, Host",
            "X-Mine": "1",
            "TE": "trailers",
            "Upgrade": "h2c",
            "Proxy-Authorization": "Basic x",
            "Keep-Alive": "300",
            "X-Kept": "1",
        }
        response = await client.request("POST", "/", b"abc", headers=headers)
        assert {"x-private", "keep-alive", "trailer"}.isdisjoint(response.headers)
    [asked] = node.asked
    names = {name.lower() for name, _ in asked.headers}
    assert "x-kept" in names
    assert {"x-mine", "te", "upgrade", "proxy-authorization", "keep-alive"}.isdisjoint(names)
    assert asked.get("Content-Length") == ["3"]
    assert asked.get("Host") == [f"127.0.0.1:{node.port}"]


FORGED = {
    "X-Forwarded-For": "192.0.2.66",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "bank.example",
    "X-Forwarded-Port": "443",
    "X-Real-IP": "192.0.2.66",
    "Forwarded": "for=192.0.2.66",
    "X_Forwarded_For": "192.0.2.66",
    "Roomline-Hold": '{"mode":"hold","room":"chat.a","timeout":1}',
    "Roomline-Position": "0.5.000000000000",
    "Roomline-Anything": "1",
}


async def test_what_a_stranger_says_of_itself_is_not_passed_on(front: Fronts) -> None:
    node = await front()
    async with connected(node.port) as client:
        response = await client.request("GET", "/", headers=FORGED)
        assert await client.body(response) == b"hello"
    [asked] = node.asked
    assert not [name for name, value in asked.headers if value in FORGED.values()]
    assert not [name for name, _ in asked.headers if "_" in name]
    assert asked.get("X-Forwarded-For") == ["127.0.0.1"]
    assert asked.get("X-Forwarded-Proto") == ["http"]
    assert asked.get("X-Forwarded-Host") == [f"127.0.0.1:{node.port}"]


async def test_what_a_trusted_proxy_says_is(front: Fronts) -> None:
    node = await front(trusted=LOOPBACK)
    async with connected(node.port) as client:
        await client.request("GET", "/", headers=FORGED)
    [asked] = node.asked
    assert asked.get("X-Forwarded-For") == ["192.0.2.66"]
    assert asked.get("X-Forwarded-Proto") == ["https"]
    assert asked.get("X-Forwarded-Host") == ["bank.example"]
    # Not even such a one speaks for the gateway.
    assert asked.get("Roomline-Position") == [node.node.position]
    assert not asked.get("Roomline-Hold")
    assert not asked.get("Forwarded")


async def test_the_gateways_own_headers_do_not_leave(front: Fronts) -> None:
    async def answer(asked: Asked) -> None:
        asked.reply(b"", "Roomline-Position: 0.1.000000000000", "roomline-other: 1")

    node = await front(answer)
    async with connected(node.port) as client:
        response = await client.request("GET", "/")
    assert not [name for name in response.headers if name.startswith("roomline")]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET http://bank.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
    ],
)
async def test_requests_that_do_not_go_up(front: Fronts, request_: bytes, status: int) -> None:
    node = await front(body_bytes=1000)
    async with connected(node.port) as client:
        client.writer.write(request_)
        assert (await client.head()).status == status
    assert node.asked == []


async def test_heads_that_are_too_long(front: Fronts) -> None:
    async def answer(asked: Asked) -> None:
        asked.reply(b"", f"X-Long: {'x' * 70_000}")

    node = await front(answer)
    async with connected(node.port) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n")
        assert await client.closed()
    assert node.asked == []
    async with connected(node.port) as client:
        assert (await client.request("GET", "/")).status == 502


async def test_a_chunked_upload_that_grows_too_long_is_ended(front: Fronts) -> None:
    node = await front(body_bytes=1000)
    async with connected(node.port) as client:
        client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.writer.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\nx\r\n0\r\n\r\n")
        assert await client.closed()
    await node.requests("gone")
    assert len(node.asked[0].body) <= 1000


async def test_no_upstream(front: Fronts) -> None:
    node = await front(port=1)
    async with connected(node.port) as client:
        response = await client.request("GET", "/")
        assert response.status == 502
        assert b"cannot be reached" in await client.body(response)
        info = await client.closed()
        assert info
    assert node.node.counters.upstream["unreachable"] == 1


async def test_a_silent_upstream(front: Fronts) -> None:
    async def answer(asked: Asked) -> None:
        await asyncio.sleep(60)

    node = await front(answer, timeout=0.3)
    async with connected(node.port) as client:
        response = await client.request("GET", "/")
        assert response.status == 504
        assert b"does not answer" in await client.body(response)


async def test_a_request_that_stops_in_the_middle(front: Fronts) -> None:
    node = await front(timeout=0.3)
    async with connected(node.port) as client:
        client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome")
        assert (await client.head()).status == 408
        assert await client.closed()


@pytest.mark.parametrize("head", [CHUNKED, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"])
async def test_an_upstream_that_breaks_off_is_seen_to_have(front: Fronts, head: bytes) -> None:
    async def answer(asked: Asked) -> None:
        asked.send(head, b"5\r\nfirst\r\n")

    node = await front(answer)
    async with connected(node.port) as client:
        response = await client.request("GET", "/")
        assert response.status == 200
        with pytest.raises(asyncio.IncompleteReadError):
            await client.body(response)
    await node.requests("broken")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
    ],
)
async def test_what_is_no_response_is_none(front: Fronts, said: bytes) -> None:
    async def answer(asked: Asked) -> None:
        asked.send(said)

    node = await front(answer)
    async with connected(node.port) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.head()).status == 502
    await node.requests("broken")


async def test_interim_responses_are_kept_back(front: Fronts) -> None:
    async def answer(asked: Asked) -> None:
        asked.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        asked.reply(b"then")

    node = await front(answer)
    async with connected(node.port) as client:
        response = await client.request("GET", "/")
        assert (response.status, response["Link"]) == (200, None)
        assert await client.body(response) == b"then"


async def test_an_answer_before_the_upload_is_through(front: Fronts) -> None:
    async def answer(asked: Asked) -> None:
        asked.reply(b"no", status="403 Forbidden")

    node = await front(answer)
    async with connected(node.port) as client:
        client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome")
        response = await client.head()
        assert response.status == 403
        assert await client.body(response) == b"no"


@pytest.mark.parametrize("when", ["before", "within"])
async def test_a_client_that_goes_takes_the_request_with_it(front: Fronts, when: str) -> None:
    async def answer(asked: Asked) -> None:
        if when == "within":
            asked.send(CHUNKED, b"5\r\nfirst\r\n")
        with pytest.raises(asyncio.IncompleteReadError):
            await asked.reader.readexactly(1)
        asked.gone.set()

    node = await front(answer)
    async with connected(node.port) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: node.asked)
        if when == "within":
            await client.head()
            await client.chunk()
        client.hang_up()
        await asyncio.wait_for(node.asked[0].gone.wait(), 10)
    await node.requests("gone")


async def test_a_client_that_stops_reading_is_let_go(front: Fronts) -> None:
    async def answer(asked: Asked) -> None:
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        for _ in range(1 << 10):
            asked.send(b"x" * 65536)
            await asked.writer.drain()

    node = await front(answer, timeout=0.5)
    async with connected(node.port) as client:
        await client.request("GET", "/")
        await node.requests("stalled")


async def test_requests_under_way_are_bounded(front: Fronts) -> None:
    release = asyncio.Event()

    async def answer(asked: Asked) -> None:
        await release.wait()
        await hello(asked)

    node = await front(answer, requests=1)
    async with connected(node.port) as one, connected(node.port) as two:
        one.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: node.asked)
        refused = await two.request("GET", "/")
        assert (refused.status, refused["Retry-After"]) == (503, "1")
        release.set()
        assert (await one.head()).status == 200
    async with connected(node.port) as three:
        assert (await three.request("GET", "/")).status == 200


async def test_one_address_does_not_take_all_there_is(front: Fronts) -> None:
    release = asyncio.Event()

    async def answer(asked: Asked) -> None:
        await release.wait()
        await hello(asked)

    def from_(address: str) -> dict[str, str]:
        return {"X-Forwarded-For": address}

    node = await front(answer, requests_per_address=1, trusted=LOOPBACK)
    async with (
        connected(node.port) as one,
        connected(node.port) as two,
        connected(node.port) as other,
    ):
        first = asyncio.create_task(one.request("GET", "/", headers=from_("2001:db8::1")))
        await until(lambda: node.asked)
        refused = await two.request("GET", "/", headers=from_("2001:db8::2"))
        assert (refused.status, refused["Retry-After"]) == (429, "1")
        second = asyncio.create_task(other.request("GET", "/", headers=from_("2001:db9::1")))
        await until(lambda: len(node.asked) == 2)
        release.set()
        assert {(await first).status, (await second).status} == {200}
    async with connected(node.port) as again:
        assert (await again.request("GET", "/", headers=from_("2001:db8::2"))).status == 200


async def test_requests_under_way_end_before_the_node_does(front: Fronts) -> None:
    release = asyncio.Event()

    async def answer(asked: Asked) -> None:
        await release.wait()
        await hello(asked)

    node = await front(answer)
    async with connected(node.port) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: node.asked)
        draining = asyncio.create_task(node.proxy.drain(20))
        await asyncio.sleep(0.05)
        assert not draining.done()
        release.set()
        assert await client.body(await client.head()) == b"hello"
        await asyncio.wait_for(draining, 5)


async def test_before_the_log_is_read_requests_pass_without_a_position(front: Fronts) -> None:
    node = await front(ready=False)
    async with connected(node.port) as client:
        assert (await client.request("GET", "/")).status == 200
    assert node.asked[0].get("Roomline-Position") == [""]

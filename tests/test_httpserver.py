"""roomline.httpserver: whom forwarded headers are believed from, and what bounds open files."""

import asyncio
import ipaddress
import json
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from roomline.httpserver import Client, GatewayServer, forwarded, raise_file_limit
from tornado.httputil import HTTPHeaders
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

TRUSTED = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "127.0.0.1", "fd00::/8")]


def client(peer: str, *hops: str, scheme: str | None = None, **others: str) -> Client:
    headers = HTTPHeaders({name.replace("_", "-"): value for name, value in others.items()})
    for hop in hops:
        headers.add("X-Forwarded-For", hop)
    if scheme is not None:
        headers.add("X-Forwarded-Proto", scheme)
    return forwarded(Client(peer, "http"), headers, TRUSTED)


class TestForwarded:
    def test_a_stranger_is_not_believed(self) -> None:
        assert client("192.0.2.1", "198.51.100.7", scheme="https") == ("192.0.2.1", "http")

    def test_a_listed_proxy_is_believed(self) -> None:
        assert client("10.1.2.3", "198.51.100.7", scheme="https") == ("198.51.100.7", "https")
        assert client("fd00::1", "2001:db8::7").address == "2001:db8::7"

    def test_an_ipv4_address_is_the_same_when_ipv6_carries_it(self) -> None:
        assert client("::ffff:10.1.2.3", "198.51.100.7").address == "198.51.100.7"
        assert client("10.1.2.3", "198.51.100.7, ::ffff:10.9.9.9").address == "198.51.100.7"
        assert client("::ffff:192.0.2.1", "198.51.100.7").address == "::ffff:192.0.2.1"

    def test_only_the_hops_of_listed_proxies_are_believed(self) -> None:
        assert client("10.1.2.3", "203.0.113.9, 198.51.100.7, 10.9.9.9").address == "198.51.100.7"
        assert client("10.1.2.3", "203.0.113.9", "198.51.100.7", "10.9.9.9") == (
            "198.51.100.7",
            "http",
        )

    def test_a_request_that_comes_from_a_proxy_itself(self) -> None:
        assert client("127.0.0.1", "10.0.0.1").address == "10.0.0.1"
        assert client("127.0.0.1").address == "127.0.0.1"

    @pytest.mark.parametrize(
        "hop", ["unknown", "", "1.2.3.4:", "1.2.3.4:x", "[::1", "_hidden", "1.2.3", "é"]
    )
    def test_what_is_no_address_ends_the_way(self, hop: str) -> None:
        assert client("10.1.2.3", f"198.51.100.7, {hop}, 10.9.9.9").address == "10.9.9.9"

    @pytest.mark.parametrize(
        ("hop", "address"),
        [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
        ],
    )
    def test_a_port_behind_an_address(self, hop: str, address: str) -> None:
        assert client("10.1.2.3", f"198.51.100.7, {hop}").address == address

    def test_the_nearest_proxy_says_the_scheme(self) -> None:
        assert client("10.1.2.3", scheme="https, http").scheme == "http"
        assert client("10.1.2.3", scheme="http, HTTPS").scheme == "https"
        assert client("10.1.2.3", scheme="javascript").scheme == "http"

    def test_other_headers_of_this_sort_mean_nothing(self) -> None:
        assert client("10.1.2.3", X_Real_Ip="192.0.2.1", X_Scheme="https") == ("10.1.2.3", "http")

    @given(st.text(), st.text())
    def test_whatever_a_stranger_writes(self, hops: str, scheme: str) -> None:
        headers = HTTPHeaders()
        headers._dict = {"X-Forwarded-For": hops, "X-Forwarded-Proto": scheme}
        peer = Client("192.0.2.1", "http")
        assert forwarded(peer, headers, TRUSTED) == peer
        believed = forwarded(Client("10.0.0.1", "http"), headers, TRUSTED)
        ipaddress.ip_address(believed.address)
        assert believed.scheme in ("http", "https")


class Who(RequestHandler):
    def get(self) -> None:
        self.write({"address": self.request.remote_ip, "scheme": self.request.protocol})


@asynccontextmanager
async def serving(**options: object) -> AsyncIterator[int]:
    """The port of a server with these attributes."""
    server = GatewayServer(Application([("/", Who)], log_function=lambda handler: None))
    for name, value in options.items():
        setattr(server, name, value)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        server.stop()
        await server.close_all_connections()


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: str = ""
) -> dict[str, str]:
    writer.write(f"GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
    answer: dict[str, str] = json.loads(await reader.readexactly(length))
    return answer


FORWARDED = "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n"


class TestServer:
    async def test_nobody_is_believed_by_default(self) -> None:
        async with serving() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            answer = await ask(reader, writer, FORWARDED)
            assert answer == {"address": "127.0.0.1", "scheme": "http"}
            writer.close()

    async def test_each_request_of_a_connection_has_its_own_client(self) -> None:
        async with serving(trusted_proxies=TRUSTED) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for headers, expected in (
                (FORWARDED, {"address": "198.51.100.7", "scheme": "https"}),
                ("", {"address": "127.0.0.1", "scheme": "http"}),
                ("X-Forwarded-For: 192.0.2.1\r\n", {"address": "192.0.2.1", "scheme": "http"}),
            ):
                assert await ask(reader, writer, headers) == expected
            writer.close()

    async def test_connections_beyond_the_files_are_closed_at_once(self) -> None:
        with socket.socket() as probe:
            free = probe.fileno()
        # The client's own ends take descriptors as well: three pairs and the listening socket.
        async with serving(max_files=free + 7) as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
            await asyncio.sleep(0.05)
            answered = 0
            for reader, writer in held:
                try:
                    await ask(reader, writer)
                    answered += 1
                except (ConnectionError, asyncio.IncompleteReadError):
                    pass
            assert 0 < answered < 12
            for _, writer in held:
                writer.close()
            await asyncio.sleep(0.05)
            # Those that left have made room.
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await ask(reader, writer)
            writer.close()


class TestFileLimit:
    def test_it_is_raised_and_some_files_are_spared(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        limits: list[tuple[int, int]] = []
        monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
        monkeypatch.setattr(resource, "setrlimit", lambda which, both: limits.append(both))
        assert raise_file_limit(1000, 100) == 4096 - 64 - 100
        assert limits == [(4096, 4096)]
        assert not caplog.records
        assert raise_file_limit(5000, 0) == 4096 - 64
        assert "may open 4096 files, too few for the 5000 that" in caplog.text

    def test_without_a_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        infinity = resource.RLIM_INFINITY
        monkeypatch.setattr(resource, "getrlimit", lambda which: (infinity, infinity))
        assert raise_file_limit(10**6, 0) > 10**6

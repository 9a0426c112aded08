"""roomline.cluster: requests that land on another node than their session's."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from roomline.cluster import cluster as module
from roomline.transport import Endpoint, TransportSettings
from roomline.transport.echoes import Echo

from tests.cluster.nodes import Node, cluster, session, session_of, streaming
from tests.support.until import until
from tests.transport.clients import ask, connected, poll, post

pytestmark = pytest.mark.timeout(30)

FRIEND = "https://friend.example"


@pytest.fixture(params=["unix", "tcp"])
async def nodes(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[list[Node]]:
    """Two nodes that reach each other in one of the two ways."""
    async with cluster(tmp_path, tcp=request.param == "tcp") as nodes:
        await until(lambda: all(len(node.cluster.membership) == 2 for node in nodes))
        yield nodes


async def test_every_request_finds_the_session_wherever_it_lands(nodes: list[Node]) -> None:
    one, other = nodes
    for owner in nodes:
        path = session_of(owner)
        assert await poll(one.port, path) == "o"
        assert owner.endpoint.sessions == 1
        assert await post(other.port, path, "first") == 204
        assert await post(one.port, path, "second") == 204
        assert await poll(other.port, path) == 'a["first","second"]'
        waiting = asyncio.create_task(poll(one.port, path))
        await asyncio.sleep(0.05)
        assert await post(other.port, path, "third") == 204
        assert await waiting == 'a["third"]'
    for node in nodes:
        assert node.counters.forwarded == {"answered": 3}


async def test_what_one_node_takes_another_takes_from_it(nodes: list[Node]) -> None:
    """A head becomes longer on the way."""
    one, other = nodes
    path = session_of(other)
    assert await poll(one.port, path) == "o"
    async with connected(one.port) as client:
        cookie = "a=" + "x" * 15_000
        answer = await client.request(
            "POST", f"{path}/xhr_send", b'["long"]', headers={"Cookie": cookie}
        )
        assert answer.status == 204
    async with connected(one.port) as client:
        head = (
            f"POST {path}/xhr_send?{'é' * 5_000} HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"
        )
        client.writer.write(head.encode("latin-1") + b'["strange"]')
        assert (await client.head()).status == 204
    assert await poll(one.port, path) == 'a["long","strange"]'


@pytest.mark.parametrize("name", ["xhr_streaming", "eventsource"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_streams_come_as_they_are_made(nodes: list[Node], name: str, version: str) -> None:
    one, other = nodes
    path = session_of(other)
    async with streaming(one.port, path, name, version=version) as stream:
        for number in range(5):
            assert await post(one.port, path, f"{number}") == 204
            assert await stream.frame() == f'a["{number}"]'
    assert other.endpoint.sessions == 1


async def test_scripts_find_their_session_too(nodes: list[Node]) -> None:
    """jsonp-polling: what it needs is in the query, the referer and a form."""
    one, other = nodes
    path = session_of(other)
    page = {"Referer": f"{FRIEND}/page"}
    form = page | {"Content-Type": "application/x-www-form-urlencoded"}

    async def script() -> bytes:
        answer = await ask(one.port, "GET", f"{path}/jsonp?c=_jp.a1", headers=page)
        assert answer.status == 200
        assert answer["content-type"] == "application/javascript; charset=UTF-8"
        assert answer["x-content-type-options"] == "nosniff"
        return answer.body

    assert await script() == b'/**/_jp.a1("o");\r\n'
    sent = await ask(one.port, "POST", f"{path}/jsonp_send", b"d=%5B%22x%22%5D", headers=form)
    assert (sent.status, sent.body) == (200, b"ok")
    assert await script() == b'/**/_jp.a1("a[\\"x\\"]");\r\n'
    foreign = {"Referer": "https://evil.example/"}
    answer = await ask(one.port, "GET", f"{path}/jsonp?c=_jp.a1", headers=foreign)
    assert answer.status == 403
    assert one.counters.forwarded == {"answered": 4}


async def test_a_page_that_never_ends_comes_as_it_is_made(nodes: list[Node]) -> None:
    """htmlfile; and when the node in between leaves, it ends after all."""
    one, other = nodes
    path = session_of(other)
    page = {"Referer": f"{FRIEND}/page"}
    async with connected(one.port) as connection:
        response = await connection.request("GET", f"{path}/htmlfile?c=_jp.a1", headers=page)
        assert response.status == 200
        shown = b""
        while b'p("o");' not in shown:
            shown += await connection.chunk()
        assert b"var c = parent._jp.a1;" in shown
        assert await post(one.port, path, "x") == 204
        assert b'p("a[\\"x\\"]");' in await connection.chunk()
        one.cluster.drain()
        assert await connection.chunk() == b""
    assert await post(other.port, path, "still there") == 204
    assert await poll(other.port, path) == 'a["still there"]'


async def test_a_client_that_leaves_ends_the_request_at_the_other_node(nodes: list[Node]) -> None:
    one, other = nodes
    path = session_of(other)
    async with streaming(one.port, path):
        assert other.endpoint.sessions == 1
    await until(lambda: other.endpoint.sessions == 0)
    assert await poll(one.port, path) == 'c[1002,"Connection interrupted"]'
    assert one.counters.forwarded["gone"] == 1


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
async def test_a_late_request_is_told_that_the_session_is_over(tmp_path: Path, tcp: bool) -> None:
    async with cluster(tmp_path, tcp=tcp, disconnect_delay=0.2) as (one, other):
        path = session_of(other)
        assert await poll(one.port, path) == "o"
        await until(lambda: other.endpoint.sessions == 0)
        assert await poll(one.port, path) == 'c[3000,"Go away!"]'
        assert await post(one.port, path, "late") == 404
        assert one.endpoint.sessions == 0


async def test_a_session_that_nobody_has_is_not_there(nodes: list[Node]) -> None:
    for node in nodes:
        assert await post(node.port, session(), "x") == 404


async def test_a_large_message_finds_a_session_that_ranks_elsewhere_now(
    nodes: list[Node], tmp_path: Path
) -> None:
    """The node that is asked first has not got it, and takes the body all the same."""
    one, other = nodes
    tcp = bool(one.cluster.membership.own.host)
    paths = [session() for _ in range(20)]
    for path in paths:
        assert await poll(one.port, path) == "o"
    third = Node(tmp_path, tcp=tcp, since=1000, expected=3)
    nodes.append(third)
    await third.begin()
    await until(lambda: all(len(node.cluster.membership) == 3 for node in nodes))
    path = next(path for path in paths if third.opens(path))
    asking = one if other.endpoint.holds(path.rpartition("/")[2]) else other
    for text in ("x" * 4000, "y" * 4000):
        assert await post(asking.port, path, text) == 204
        assert await poll(asking.port, path) == f'a["{text}"]'
    assert (await ask(asking.port, "POST", f"{path}/xhr_send", b"z" * 5000)).status == 413
    assert (await poll(asking.port, path)).startswith("c[3501,")


async def test_connections_between_nodes_are_used_again(nodes: list[Node]) -> None:
    one, other = nodes
    path = session_of(other)
    made = 0
    connect = one.cluster.connect

    async def counted(peer: Any) -> Any:
        nonlocal made
        made += 1
        return await connect(peer)

    one.cluster.connect = counted  # type: ignore[method-assign]
    assert await poll(one.port, path) == "o"
    for _ in range(10):
        assert await post(one.port, path, "x") == 204
        assert await poll(one.port, path) == 'a["x"]'
    assert made <= 2
    # One that the other node has closed meanwhile is not taken for an answer.
    peer = one.cluster.membership.peer(other.id)
    assert peer is not None
    for server in other.cluster._servers:
        for connection in list(server._connections):
            if connection.stream is not None:
                connection.stream.socket.shutdown(2)
    assert await post(other.port, path, "x") == 204
    assert await poll(one.port, path) == 'a["x"]'
    assert one.counters.forwarded == {"answered": 22}


@pytest.mark.parametrize("announced", [True, False])
async def test_what_is_too_long_is_refused_and_ends_the_session(
    nodes: list[Node], announced: bool
) -> None:
    one, other = nodes
    path = session_of(other)
    assert await poll(one.port, path) == "o"
    body = json.dumps(["x" * 5000]).encode()
    if announced:
        assert (await ask(one.port, "POST", f"{path}/xhr_send", body)).status == 413
    else:
        chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        async with connected(one.port) as connection:
            lines = [f"POST {path}/xhr_send HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"]
            connection.writer.write("\r\n".join([*lines, "", ""]).encode() + chunked)
            assert (await connection.head()).status == 413
    assert (await poll(one.port, path)).startswith("c[3501,")


async def test_foreign_pages_are_refused_and_friends_are_named(nodes: list[Node]) -> None:
    one, other = nodes
    path = session_of(other)
    foreign = await ask(one.port, "POST", f"{path}/xhr", headers={"Origin": "https://evil.example"})
    assert foreign.status == 403
    assert other.endpoint.sessions == 0
    own = f"http://127.0.0.1:{one.port}"
    for origin in (FRIEND, own):
        response = await ask(
            one.port, "POST", f"{session_of(other)}/xhr", headers={"Origin": origin}
        )
        assert response.status == 200
        assert response["access-control-allow-origin"] == origin
        assert response["access-control-allow-credentials"] == "true"
        assert response["vary"] == "Origin"


async def test_nodes_are_not_told_by_clients(nodes: list[Node]) -> None:
    one, other = nodes
    lies = {
        "Roomline-If-Held": "1",
        "X-Forwarded-For": "192.0.2.1",
        "X-Real-IP": "192.0.2.1",
        "Connection": "X-Forwarded-For, X-Forwarded-Proto",
    }
    for owner in nodes:
        response = await ask(one.port, "POST", f"{session_of(owner)}/xhr", headers=lies)
        assert (response.status, response.body) == (200, b"o\n")
    addresses = {each.address for each in other.endpoint.registry._living.values()}
    assert addresses == {"127.0.0.1"}


async def test_the_clients_address_arrives(nodes: list[Node]) -> None:
    one, other = nodes
    path = session_of(other)
    assert await poll(one.port, path, source="127.0.0.7") == "o"
    [held] = other.endpoint.registry._living.values()
    assert held.address == "127.0.0.7"


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
async def test_a_client_that_does_not_read_fills_nobodys_memory(tmp_path: Path, tcp: bool) -> None:
    """The node in between takes no more from the other one than the client takes from it."""
    text = "x" * 3000
    async with cluster(tmp_path, tcp=tcp, response_limit=1 << 30) as (one, other):
        path = session_of(other)
        async with streaming(one.port, path, receive_buffer=4096) as stream:
            [held] = other.endpoint.registry._living.values()
            sent = 0
            while not held.outbox.items and sent < 5000:
                assert await post(other.port, path, text) == 204
                sent += 1
            # The kernel holds a few megabytes between the three; the rest waits at its owner.
            assert held.outbox.items, f"{sent} messages of 3 kB have gone somewhere"
            received: list[str] = []
            while len(received) < sent:
                received += json.loads((await stream.frame()).removeprefix("a"))
            assert received == [text] * sent


async def test_a_node_that_comes_leaves_sessions_where_they_are(
    nodes: list[Node], tmp_path: Path
) -> None:
    tcp = bool(nodes[0].cluster.membership.own.host)
    paths = [session() for _ in range(20)]
    for path in paths:
        assert await poll(nodes[0].port, path) == "o"
    nodes.append(Node(tmp_path, tcp=tcp, since=1000, expected=3))
    await nodes[-1].begin()
    await until(lambda: all(len(node.cluster.membership) == 3 for node in nodes))
    third = nodes[-1]
    assert any(third.opens(path) for path in paths)
    for number, path in enumerate(paths):
        node = nodes[number % 3]
        assert await post(node.port, path, "still there") == 204
        assert await poll(third.port, path) == 'a["still there"]'
    new = session_of(third)
    assert await poll(nodes[0].port, new) == "o"
    assert third.endpoint.holds(new.rpartition("/")[2])


async def test_a_node_that_drains_keeps_its_sessions_and_opens_no_more(nodes: list[Node]) -> None:
    one, other = nodes
    kept, path = session_of(other), session_of(other)
    assert await poll(one.port, kept) == "o"
    other.cluster.drain()
    await until(lambda: one.opens(path))
    assert await post(one.port, kept, "kept") == 204
    assert await poll(one.port, kept) == 'a["kept"]'
    for node in (one, other):
        new = session_of(one)
        assert await poll(node.port, new) == "o"
        assert one.endpoint.holds(new.rpartition("/")[2])
    await other.end()
    await until(lambda: len(one.cluster.membership) == 1)
    assert await poll(one.port, path) == "o"


@pytest.mark.parametrize("parting", ["drain", "end"])
async def test_who_is_served_through_a_node_that_parts_goes_on_at_another(
    nodes: list[Node], parting: str
) -> None:
    """Long responses that pass through it end in good order, and so the sessions do not."""
    one, other = nodes
    polled, path = session_of(other), session_of(other)
    assert await poll(other.port, polled) == "o"
    async with streaming(one.port, path) as stream:
        waiting = asyncio.create_task(poll(one.port, polled))
        await until(lambda: len(one.cluster.under_way) == 2)
        if parting == "drain":
            living = other.endpoint.registry.living()
            await until(lambda: all(each.handler is not None for each in living))
            one.cluster.drain()
        else:
            await one.end()
        assert await waiting == "h"
        with pytest.raises(EOFError):
            await stream.frame()
    for each in (polled, path):
        assert await post(other.port, each, "still there") == 204
        assert await poll(other.port, each) == 'a["still there"]'
    assert one.counters.forwarded == {"answered": 2}


async def test_a_node_that_dies_takes_its_sessions_alone(nodes: list[Node]) -> None:
    one, other = nodes
    lost, own = session_of(other), session_of(one)
    assert await poll(one.port, lost) == "o"
    assert await poll(one.port, own) == "o"
    async with streaming(one.port, session_of(other)) as stream:
        await other.die()
        # Its connection ended: nobody waits for a probe.
        with pytest.raises((EOFError, ConnectionError)):
            await stream.frame()
    await until(lambda: len(one.cluster.membership) == 1)
    # The id is as good as any other here now: the client sees that its session is not known.
    assert await poll(one.port, lost) == "o"
    assert await post(one.port, own, "still there") == 204
    assert await poll(one.port, own) == 'a["still there"]'


async def test_a_node_that_cannot_be_reached_is_asked_once(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has died a moment ago, and this request is what finds out."""
    one, other = nodes
    path = session_of(other)

    async def refused(*args: Any, **kwargs: Any) -> Any:
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(module, "connect", refused)
    assert await poll(one.port, path) == "o"
    assert one.counters.forwarded == {"unreachable": 1}
    assert len(one.cluster.membership) == 1


async def test_a_node_that_does_not_answer_now_keeps_its_place(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = nodes
    path = session_of(other)

    async def silent(*args: Any, **kwargs: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr(module, "connect", silent)
    response = await ask(one.port, "POST", f"{path}/xhr")
    assert response.status == 503
    assert response["retry-after"] == "1"
    assert one.endpoint.sessions == 0
    assert len(one.cluster.membership) == 2


async def test_a_node_that_has_no_files_left_says_so(nodes: list[Node]) -> None:
    one, other = nodes
    other.cluster.bound_files(0)
    response = await ask(one.port, "POST", f"{session_of(other)}/xhr")
    assert response.status == 503
    assert other.counters.refused == {"files": 1}


async def test_a_client_whose_machine_is_gone_is_noticed(nodes: list[Node]) -> None:
    """By the kernel, where its connection ends; the node that has its session cannot see it."""
    one, other = nodes
    one.cluster.silence_seconds = 7.0
    async with streaming(one.port, session_of(other)):
        [connection] = one.server._connections
        option = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert connection.stream.socket.getsockopt(*option) == 7000


async def test_what_is_below_a_session_and_not_sockjs_stays(nodes: list[Node]) -> None:
    """It may be the upstream's."""
    one, other = nodes
    path = session_of(other)
    for name in ("orders", "xhr_streaming2", "websocket", "events", ""):
        await ask(one.port, "GET", f"{path}/{name}")
    assert not one.counters.forwarded
    await ask(one.port, "GET", f"{path}/xhr")  # which is one, by another method
    assert one.counters.forwarded == {"answered": 1}


async def test_only_what_is_on_offer_is_handed_on() -> None:
    def found(*transports: str) -> set[str]:
        settings = TransportSettings(prefix="/echo", transports=frozenset(transports))
        endpoint = Endpoint(Echo(), settings)
        endpoint.close()
        paths = re.compile(endpoint.lasting_paths)
        names = ["websocket", "xhr", "xhr_send", "xhr_streaming", "eventsource", "htmlfile"]
        names += ["jsonp", "jsonp_send"]
        return {name for name in names if paths.fullmatch(f"/echo/000/abc/{name}")}

    assert found("websocket") == found("websocket", "iframe") == set()
    assert found("websocket", "xhr-polling") == {"xhr", "xhr_send"}
    assert found("jsonp-polling") == {"jsonp", "jsonp_send", "xhr_send"}


async def test_websockets_and_pages_are_served_where_they_land(nodes: list[Node]) -> None:
    one, _ = nodes
    for path in ("/echo", "/echo/info", "/echo/iframe.html"):
        assert (await ask(one.port, "GET", path)).status == 200
    answer = await ask(one.port, "OPTIONS", f"{session()}/xhr", headers={"Origin": FRIEND})
    assert answer.status == 204
    assert not one.counters.forwarded

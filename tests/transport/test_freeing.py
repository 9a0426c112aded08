"""What a session leaves is freed as it ends: looking through everything that lives takes a third
of a second at 10,000 sessions, and stands still meanwhile."""

import gc
from collections.abc import Iterator

import pytest
from roomline.transport.handlers import Handler
from roomline.transport.session import PeerConnection, Session
from roomline.transport.websocket import WebSocket
from tornado.iostream import IOStream

from tests.transport.clients import connected, poll, streaming, websocket
from tests.transport.servers import PREFIX, Server, serving, until

pytestmark = pytest.mark.timeout(20)

OURS = (Handler, WebSocket, Session, PeerConnection, IOStream)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def living(server: Server) -> set[int]:
    """What there is of sessions; the test's own behaviour keeps nothing of it."""
    server.behaviour.clients.clear()
    server.behaviour.left.clear()
    return {id(each) for each in gc.get_objects() if isinstance(each, OURS)}


async def visit(server: Server, transport: str, ends: str) -> None:
    """Open a session, wait for something, and leave; the server closes, or the client goes."""
    session = server.session()
    match transport:
        case "websocket":
            async with websocket(server.port, f"{session}/websocket") as client:
                assert await client.receive() == "o"
                if ends == "closed":
                    server.behaviour.clients[-1].close()
                    await client.receive()
        case "xhr":
            assert await poll(server.port, session) == "o"
            async with connected(server.port) as connection:
                body = f"POST {session}/xhr HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                connection.writer.write(body.encode())
                await until(lambda: server.router.registry.find(session.split("/")[-1]).handler)
                if ends == "closed":
                    server.behaviour.clients[-1].close()
                    await connection.head()
        case _:
            async with streaming(server.port, session, transport) as stream:
                assert await stream.frame() == "o"
                if ends == "closed":
                    server.behaviour.clients[-1].close()
                    await stream.frame()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("ends", ["gone", "closed"])
@pytest.mark.parametrize("transport", ["websocket", "xhr_streaming", "eventsource", "xhr"])
async def test_nothing_is_left_for_the_collector(transport: str, ends: str) -> None:
    options = {"disconnect_delay": 0.05, "tombstone_seconds": 0.05, "close_seconds": 0.05}
    async with serving(**options) as server:
        before = living(server)
        for _ in range(3):
            await visit(server, transport, ends)
        await until(lambda: living(server) <= before)


@pytest.mark.usefixtures("no_collector")
async def test_a_request_whose_client_left_before_it_was_looked_at() -> None:
    async with serving() as server:
        before = living(server)
        for _ in range(20):
            async with connected(server.port) as connection:
                head = (
                    f"POST {PREFIX}/000/early/xhr HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                )
                connection.writer.write(head.encode())
        await until(lambda: living(server) <= before)

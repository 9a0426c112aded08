"""`roomline.client.connection` against the unmodified sockjs-tornado, over every transport."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from roomline.client import (
    TRANSPORTS,
    Connection,
    ConnectionClosed,
    ConnectionFailed,
    Transport,
    open_connection,
)

from tests.support.proxy import Proxy
from tests.support.sockjs_server import Address, Echo, SockJSConnection, serving

pytestmark = pytest.mark.timeout(10)
every_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[Address]:
    async with serving(Echo) as address:
        yield address


@every_transport
async def test_messages_come_back_in_order(echo: Address, transport: Transport) -> None:
    connection = await open_connection(echo, transport)
    texts = [f"{number} é😀\u2028 " + "x" * 300 for number in range(60)]  # several responses
    await connection.send_text(*texts[:30])
    for text in texts[30:]:
        await connection.send_text(text)
    assert [await connection.receive() for _ in texts] == texts
    await connection.close()


@every_transport
async def test_cancelling_a_receive_loses_nothing(echo: Address, transport: Transport) -> None:
    connection = await open_connection(echo, transport)
    for number in range(5):
        waiting = asyncio.create_task(connection.receive())
        await asyncio.sleep(0.02)
        waiting.cancel()
        await connection.send_text(str(number))
        assert await connection.receive() == str(number)
    await connection.close()


@every_transport
async def test_a_close_frame_is_told_with_code_and_reason(
    echo: Address, transport: Transport
) -> None:
    connection = await open_connection(echo, transport)
    waiting = asyncio.create_task(connection.receive())
    await asyncio.sleep(0.05)
    await connection.send_text("bye")
    for receive in (lambda: waiting, connection.receive):
        with pytest.raises(ConnectionClosed) as closed:
            await receive()
        assert (closed.value.code, closed.value.reason) == (3500, "as you wish")
        assert closed.value.final
    with pytest.raises(ConnectionClosed):
        await connection.send_text("too late")
    await connection.close()


@every_transport
async def test_a_lost_line_ends_the_connection(echo: Address, transport: Transport) -> None:
    async with Proxy.to(echo) as proxy:
        connection = await open_connection(proxy.address(echo), transport)
        waiting = asyncio.create_task(connection.receive())
        await asyncio.sleep(0.05)
        proxy.cut()
        with pytest.raises(ConnectionClosed) as closed:
            await waiting
        assert closed.value.code == 1006
        assert not closed.value.final
        await connection.close()


@every_transport
async def test_a_response_that_breaks_off_ends_the_connection(
    echo: Address, transport: Transport
) -> None:
    async with Proxy.to(echo) as proxy:
        proxy.cut_after = 3000  # the open frame comes through, and some of what follows
        connection = await open_connection(proxy.address(echo), transport)
        with pytest.raises(ConnectionClosed) as closed:
            await _talk(connection, 100)
        assert closed.value.code == 1006
        await connection.close()


async def _talk(connection: Connection, times: int) -> None:
    await connection.send_text(*["x" * 100] * times)
    for _ in range(times):
        assert await connection.receive() == "x" * 100


@every_transport
async def test_a_slow_line_delivers_everything(echo: Address, transport: Transport) -> None:
    async with Proxy.to(echo) as proxy:
        proxy.drip, proxy.latency = 50, 0.001
        connection = await open_connection(proxy.address(echo), transport)
        texts = [f"{number} é" for number in range(50)]
        await connection.send_text(*texts)
        assert [await connection.receive() for _ in texts] == texts
        await connection.close()


@every_transport
async def test_closing_ends_a_receive_that_waits(echo: Address, transport: Transport) -> None:
    connection = await open_connection(echo, transport)
    waiting = asyncio.create_task(connection.receive())
    await asyncio.sleep(0.05)
    await connection.close()
    with pytest.raises(ConnectionClosed) as closed:
        await waiting
    assert closed.value.code == 1000


@every_transport
async def test_nobody_there(transport: Transport) -> None:
    async with serving(Echo) as address:
        gone = str(address)
    with pytest.raises(ConnectionFailed, match=f"{gone} over {transport}"):
        await open_connection(gone, transport)


@every_transport
async def test_a_server_that_never_answers(transport: Transport) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(ConnectionFailed, match=r"no answer within 0.2 seconds"):
            await open_connection(f"http://127.0.0.1:{port}/realtime", transport, within=0.2)
        server.close()


async def test_a_session_that_the_server_forgot_is_over() -> None:
    """A late poll opens a new session under the old id: that is not a continuation."""

    async with serving(Echo, disconnect_delay=0.1) as address:
        connection = await open_connection(address, "xhr-polling")
        await asyncio.sleep(1.5)  # the stock package looks once a second
        with pytest.raises(ConnectionClosed, match="does not know the session any more"):
            await connection.receive()
        await connection.close()


async def test_headers_are_sent() -> None:
    origins: list[str | None] = []

    class Witness(SockJSConnection):
        def on_open(self, info: object) -> None:
            origins.append(info.get_header("Origin"))  # type: ignore[attr-defined]

        def on_message(self, message: str) -> None: ...

    async with serving(Witness) as address:
        for transport in TRANSPORTS:
            connection = await open_connection(
                address, transport, headers={"Origin": "https://page.example"}
            )
            await connection.close()
    assert origins == ["https://page.example"] * len(TRANSPORTS)


async def test_an_unknown_transport_is_named() -> None:
    with pytest.raises(ValueError, match="'smoke', accepted are 'websocket'"):
        await open_connection("http://127.0.0.1:1/realtime", "smoke")  # type: ignore[arg-type]

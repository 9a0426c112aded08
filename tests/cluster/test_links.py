"""roomline.cluster.links: connections over Unix sockets."""

import asyncio
import socket
from pathlib import Path

import pytest
from roomline.cluster.announcement import Announcement
from roomline.cluster.links import connect, lost_for_good


async def link(path: Path, within: float) -> None:
    to = Announcement("id", "b", 0, socket=str(path))
    stream = await connect(to, directory=str(path.parent), key=b"", within=within)
    await stream.write(b"hello")
    stream.close()


async def test_one_that_accepts_nothing_for_a_while_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "node"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(0)
        await link(path, 1)  # the queue is now full
        with pytest.raises(TimeoutError):
            await link(path, 0.1)
        waiting = asyncio.create_task(link(path, 10))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        for _ in range(2):
            accepted, _ = await asyncio.to_thread(listening.accept)
            assert accepted.recv(5) == b"hello"
            accepted.close()
        await waiting


async def test_one_that_has_gone_is_lost_for_good(tmp_path: Path) -> None:
    path = tmp_path / "node"
    with pytest.raises(FileNotFoundError) as missing:
        await link(path, 1)
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(path))
    with pytest.raises(ConnectionRefusedError) as refused:
        await link(path, 1)
    assert lost_for_good(missing.value)
    assert lost_for_good(refused.value)

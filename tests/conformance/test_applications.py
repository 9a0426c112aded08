"""What the server does beside echoing, for sockjs-client's own tests in browsers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from roomline.transport import echoes
from roomline.transport.conformance import Running, serving

from tests.conformance.carriers import OPEN, session
from tests.transport.clients import ask, poll, post, websocket
from tests.transport.servers import until

pytestmark = pytest.mark.timeout(20)


# Applications.


@pytest.mark.parametrize(
    ("said", "power"),
    [
        *(("1", 1), ("2", 2), ("15", 15), ("18", 18), (" 3 ", 3), ("4.9", 4), ("1e1", 10)),
        *(("0", 1), ("19", 1), ("-5", 1), ("", 1), ("x", 1), ("nan", 1), ("inf", 1), ("9e999", 1)),
    ],
)
async def test_amplify(port: int, said: str, power: int) -> None:
    path = session("/amplify")
    assert await poll(port, path) == OPEN
    assert await post(port, path, said) == 204
    assert await poll(port, path) == f'a["{"x" * 2**power}"]'


async def test_broadcast(running: Running) -> None:
    port, path = running.port, session("/broadcast")
    application = next(each for each in running.endpoints if each.options.prefix == "/broadcast")
    assert await poll(port, path) == OPEN
    async with websocket(port, f"{session('/broadcast')}/websocket") as one:
        assert await one.receive() == OPEN
        async with websocket(port, f"{session('/broadcast')}/websocket") as two:
            assert await two.receive() == OPEN
            two.send('["from two"]')
            assert await one.receive() == await two.receive() == 'a["from two"]'
            assert await poll(port, path) == 'a["from two"]'
        await until(lambda: application.sessions == 2)
        assert await post(port, path, "polled") == 204
        assert await one.receive() == await poll(port, path) == 'a["polled"]'


async def test_ticker(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echoes, "TICK_SECONDS", 0.05)
    port, path = running.port, session("/ticker")
    assert await poll(port, path) == OPEN
    for _ in range(3):
        assert await poll(port, path) == 'a["tick!"]'
    async with websocket(port, f"{session('/ticker')}/websocket") as client:
        assert await client.receive() == OPEN
        assert await client.receive() == 'a["tick!"]'


# Files.


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[int]:
    """The port of a server that also serves a folder."""
    folder = tmp_path / "served"
    (folder / "lib").mkdir(parents=True)
    (folder / "index.html").write_text("<p>Tests</p>")
    (folder / "lib" / "all.js").write_text("var a;")
    (folder / "echo").write_text("not an endpoint")
    (folder / "inside").symlink_to("lib/all.js")
    (folder / "outside").symlink_to(tmp_path / "secret.txt")
    (folder / "out").symlink_to(tmp_path)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "served-too").mkdir()
    (tmp_path / "served-too" / "secret.txt").write_text("secret")
    async with serving("127.0.0.1", 0, folder) as running:
        yield running.port


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        ("/", "text/html", "<p>Tests</p>"),
        ("/index.html?grep=x", "text/html", "<p>Tests</p>"),
        ("/lib/all.js", "text/javascript", "var a;"),
        ("/inside", "text/javascript", "var a;"),
    ],
)
async def test_files(files: int, path: str, content_type: str, body: str) -> None:
    response = await ask(files, "GET", path)
    assert (response.status, response.body.decode()) == (200, body)
    assert response["Content-Type"] in (content_type, "application/javascript")
    assert response["Cache-Control"] == "no-cache"
    assert response["Server"] is None


async def test_endpoints_come_first(files: int) -> None:
    assert (await ask(files, "GET", "/echo")).body == b"Welcome to SockJS!\n"
    assert (await ask(files, "GET", "/echo/nothing")).body == b""


@pytest.mark.parametrize(
    "path",
    [
        *("/../secret.txt", "/lib/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt"),
        *("/lib/%2e%2e/%2e%2e/secret.txt", "/../served-too/secret.txt", "//etc/passwd"),
        *("/%2fetc/passwd", "/outside", "/out/secret.txt", "/out/served/index.html/../../../x"),
        *("/..%5csecret.txt", "/.%00./secret.txt", "/index.html%00", "/nothing"),
    ],
)
async def test_nothing_outside_of_the_folder(files: int, path: str) -> None:
    response = await ask(files, "GET", path)
    assert response.status in (403, 404)
    assert b"secret" not in response.body.removeprefix(b"<html><title>")
    assert b"root:" not in response.body


async def test_without_a_folder_there_are_no_files(port: int) -> None:
    for path in ("/", "/index.html"):
        assert (await ask(port, "GET", path)).status == 404

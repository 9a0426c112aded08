"""roomline.cli.doctor on one machine: the embedded log's files, the disk, open files, the clock."""

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import time

import pytest
from roomline.cli.doctor.findings import as_text, problem
from roomline.config import Settings
from roomline.sqlitelog import SqliteLog
from roomline.wire import Envelope

from tests.doctor.examined import examine
from tests.support.disk import fill, small_disk

Capture = pytest.CaptureFixture[str]


def settings(path: Path, **changes: object) -> Settings:
    return Settings(**({"broker": f"embedded:{path}", "retention_bytes": 1 << 20} | changes))  # type: ignore[arg-type]


def make_log(path: Path) -> None:
    log = SqliteLog(path)
    log.append([Envelope("chat.a", b"1"), Envelope("chat.a", b"2")])
    log.close()
    path.chmod(0o640)


def test_before_there_is_a_log(tmp_path: Path, capsys: Capture):
    found = examine(settings(tmp_path / "log"), capsys)
    assert found.status == 0
    found.assert_one("fine", "is not there yet: the gateway makes it, and may")
    assert list(tmp_path.iterdir()) == [], "nothing is made by looking"


def test_a_log(tmp_path: Path, capsys: Capture):
    make_log(tmp_path / "log")
    found = examine(settings(tmp_path / "log"), capsys)
    found.assert_one("fine", "is a log with 2 entries")
    found.assert_one("fine", "MiB are free")


def test_no_folder(tmp_path: Path, capsys: Capture):
    found = examine(settings(tmp_path / "none" / "log"), capsys)
    found.assert_one("problems", "is not a directory")


def test_another_file(tmp_path: Path, capsys: Capture):
    (tmp_path / "log").write_bytes(b"nothing that SQLite would read" * 100)
    found = examine(settings(tmp_path / "log"), capsys)
    found.assert_one("problems", "file is not a database")


@pytest.mark.parametrize(
    ("mode", "kind", "says"),
    [
        (0o666, "problems", "everybody on this machine may write the log"),
        (0o644, "warnings", "everybody on this machine may read the log"),
    ],
)
def test_rights_of_everybody(tmp_path: Path, capsys: Capture, mode: int, kind: str, says: str):
    make_log(tmp_path / "log")
    (tmp_path / "log").chmod(mode)
    examine(settings(tmp_path / "log"), capsys).assert_one(kind, says)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_somebody_elses_file(tmp_path: Path, capsys: Capture):
    make_log(tmp_path / "log")
    os.chown(tmp_path / "log", 12345, 12345)
    found = examine(settings(tmp_path / "log"), capsys)
    found.assert_one("warnings", "belongs to user 12345, and this command was started by root")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_folder_that_may_not_be_written(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, str(closed / "log")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert "log: this process may not look there" in done.stdout


_AS_NOBODY = """
import os, sys
from roomline.cli import main
import roomline.cli.commands
os.setuid(65534)
sys.exit(main(["doctor", "--broker", "embedded:" + sys.argv[1]]))
"""


def test_a_disk_that_is_nearly_full(tmp_path: Path, capsys: Capture):
    with small_disk(tmp_path / "disk", 100 << 10) as disk:
        make_log(disk / "log")
        found = examine(settings(disk / "log", retention_bytes=1 << 30), capsys)
        found.assert_one("warnings", "disk: ", "until retention_bytes trims it")
        fill(disk)
        found = examine(settings(disk / "log"), capsys)
        found.assert_one("problems", "publications will be refused")


def test_open_files(tmp_path: Path, capsys: Capture):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("there is no limit here")
    found = examine(settings(tmp_path / "log", sessions=hard), capsys)
    found.assert_one("warnings", f"may open {hard} files, and {hard} sessions want")
    examine(settings(tmp_path / "log", sessions=10), capsys).assert_one("fine", "are enough")


@contextmanager
def server_that_is(ahead: float) -> Iterator[str]:
    """The address of a server whose clock is so many seconds ahead."""

    class Dated(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(404)
            self.send_header("Date", formatdate(time() + ahead, usegmt=True))
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Dated) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("ahead", "kind", "says"),
    [
        (0, "fine", "agrees with that of the server behind the gateway"),
        (-10, "warnings", "s ahead of that of the server behind the gateway"),
        (100, "problems", "s behind that of the server behind the gateway"),
    ],
)
def test_clocks(tmp_path: Path, capsys: Capture, ahead: float, kind: str, says: str):
    with server_that_is(ahead) as url:
        found = examine(settings(tmp_path / "log", upstream=url), capsys)
    found.assert_one(kind, "clock: ", says)


def test_the_command(tmp_path: Path):
    command = [sys.executable, "-m", "roomline", "doctor", "--broker", f"embedded:{tmp_path}/log"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"ok       file: {tmp_path}/log is not there yet" in done.stdout
    assert "\n         → name RabbitMQ's console with --console-file" in done.stdout
    done = subprocess.run([*command, "--broker", "nonsense"], capture_output=True, timeout=60)
    assert done.returncode == 2


def test_what_others_say_does_not_steer_the_terminal():
    text = as_text(problem("broker", "a \x1b[2J clear", "do\nnothing"))
    assert text == "problem  broker: a \\u001b[2J clear\n         → do\\u000anothing"

"""Programs that live and die together, with small real ones."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django_roomline.processes import NotAnswering, ProgramEnded, Programs, Stopped

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, sys, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " pathlib.Path(sys.argv[1]).touch(); time.sleep(60)",
]
PATIENT = [
    sys.executable,
    "-c",
    "import pathlib, sys, time\n"
    "from django_roomline.stopping import StopSignals\n"
    "heard = pathlib.Path(sys.argv[1])\n"
    "with StopSignals() as stop:\n"
    "    heard.touch()\n"
    "    while not stop.asked: stop.wait(1)\n"
    "    heard.write_text('asked')\n"
    "    time.sleep(0.5)\n"
    "    heard.write_text('asked, ended')\n",
]
"""Ends what it has begun when it is asked to stop, which takes half a second."""


def pids(programs: Programs) -> list[int]:
    return [process.pid for process in programs._running.values()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("program", "how"), [("exit(3)", "status 3"), ("import os; os.abort()", "signal 6")]
)
def test_when_one_ends_the_others_are_stopped(program: str, how: str) -> None:
    with Programs() as programs:
        programs.start("the first", SLEEPER, os.environ)
        programs.start("the second", [sys.executable, "-c", program], os.environ)
        first, _ = pids(programs)
        with pytest.raises(ProgramEnded, match=f"the second ended .*{how}"):
            programs.wait()
        assert alive(first)
    assert not alive(first)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_of_them(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Programs() as programs:
        for name in ("one", "other"):
            programs.start(name, SLEEPER, os.environ)
        started = pids(programs)
        threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
        with pytest.raises(Stopped):
            programs.wait()
    assert not any(map(alive, started))
    assert signal.getsignal(number) is before


def test_a_signal_is_heard_where_python_drops_exceptions() -> None:
    class Falling:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with Programs() as programs:
        programs.start("idle", SLEEPER, os.environ)
        with pytest.raises(Stopped):
            programs.wait_until_answering(
                "idle", "http://127.0.0.1:9/", lambda status: not Falling(), 20
            )


def test_one_that_does_not_stop_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_roomline.processes.GRACE_SECONDS", 0.3)
    ready = tmp_path / "ready"
    with Programs() as programs:
        programs.start("mule", [*STUBBORN, str(ready)], os.environ)
        while not ready.exists():
            time.sleep(0.01)
        (pid,) = pids(programs)
    assert not alive(pid)
    assert "mule did not stop" in capsys.readouterr().err


@pytest.mark.parametrize("interactive", [False, True])
def test_a_ctrl_c_is_for_the_leader_alone_where_nobody_is_asked(
    tmp_path: Path, interactive: bool
) -> None:
    """What ends what it has begun must not take the leader's SIGTERM for a second signal."""
    heard = tmp_path / "heard"
    with Programs() as programs:
        programs.start("patient", [*PATIENT, str(heard)], os.environ, interactive=interactive)
        _until(lambda: heard.exists())
        (pid,) = pids(programs)
        os.kill(pid, signal.SIGINT)  # as a terminal does to all that it runs
        if interactive:
            _until(lambda: heard.read_text() == "asked")
    assert heard.read_text() == ("asked" if interactive else "asked, ended")


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_waiting_for_an_answer(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with Programs() as programs:
        programs.start(
            "files", ["sh", "-c", 'exec "$@" 2>/dev/null', "sh", *server], {**os.environ}
        )
        programs.wait_until_answering("files", url, lambda status: status == 200, 20)
        with pytest.raises(NotAnswering, match="answers 404"):
            programs.wait_until_answering("files", url + "no", lambda status: status == 200, 0.2)


def test_a_redirect_is_an_answer_wherever_it_leads(tmp_path: Path) -> None:
    elsewhere = (
        "import http.server as s\n"
        "class Away(s.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(302)\n"
        "        self.send_header('Location', 'https://login.invalid/')\n"
        "        self.end_headers()\n"
        "    def log_message(self, *_): pass\n"
        "server = s.HTTPServer(('127.0.0.1', 0), Away)\n"
        f"open({str(tmp_path / 'port')!r}, 'w').write(str(server.server_port) + '\\n')\n"
        "server.serve_forever()\n"
    )
    with Programs() as programs:
        programs.start("away", [sys.executable, "-c", elsewhere], os.environ)
        deadline = time.monotonic() + 20
        while not (tmp_path / "port").is_file() or not (tmp_path / "port").read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        url = f"http://127.0.0.1:{(tmp_path / 'port').read_text().strip()}/"
        programs.wait_until_answering("away", url, lambda status: status == 302, 5)


def test_waiting_for_one_that_has_ended() -> None:
    with Programs() as programs:
        programs.start("brief", [sys.executable, "-c", ""], os.environ)
        with pytest.raises(ProgramEnded, match="status 0"):
            programs.wait_until_answering("brief", "http://127.0.0.1:9/", bool, 20)


def test_nobody_listens() -> None:
    with Programs() as programs:
        programs.start("idle", SLEEPER, os.environ)
        with pytest.raises(NotAnswering, match="gives no answer"):
            programs.wait_until_answering("idle", "http://127.0.0.1:9/", bool, 0.2)


def test_output_is_the_terminal_s() -> None:
    program = (
        "import os, sys; from django_roomline.processes import *\n"
        "with Programs() as programs:\n"
        " programs.start('echo', ['echo', 'hello'], os.environ)\n"
        " try: programs.wait()\n"
        " except ProgramEnded as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20)
    assert done.stdout.split(b"\n")[:2] == [b"hello", b"echo ended with status 0"]

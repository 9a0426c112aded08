"""The command line, run as a user runs it."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import pytest
from roomline import __version__
from roomline.cli import main
from roomline.config.sources import NAMES
from roomline.sqlitelog import SqliteLog
from roomline.wire import MAX_BODY_BYTES, Envelope, Sender

SETTINGS = {"ROOMLINE_NAMESPACES": "chat:read=public,write=public"}


class Shell:
    """A directory with an embedded log in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "roomline.sqlite3"

    def run(
        self, *arguments: str, input: bytes = b"", **settings: str
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "roomline", *arguments],
            input=input,
            capture_output=True,
            timeout=30,
            cwd=self.directory,
            env=os.environ | SETTINGS | settings,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    @contextmanager
    def running(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        process = subprocess.Popen(
            [sys.executable, "-m", "roomline", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
            env=os.environ | SETTINGS,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def append(self, *envelopes: Envelope) -> None:
        log = SqliteLog(self.log)
        log.append(envelopes)
        log.close()

    def entries(self) -> list[dict[str, object]]:
        done = self.run("tail", "--since", "first", "--no-follow", "--json")
        assert done.returncode == 0
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


class Said(NamedTuple):
    """How a command that was run in this process ended."""

    status: int
    out: str
    err: str


Here = Callable[..., Said]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    """Run a command in this process: quick, for what is refused before anything begins."""

    def here(*arguments: str, **settings: str) -> Said:
        monkeypatch.chdir(tmp_path)
        for name, value in (SETTINGS | settings).items():
            monkeypatch.setenv(name, value)
        try:
            status = main(arguments)
        except SystemExit as end:
            status = int(str(end.code))
        return Said(status, *capsys.readouterr())

    return here


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def unread(pipe: IO[str]) -> int:
    """Bytes in a pipe that its other end has not read."""
    return int.from_bytes(fcntl.ioctl(pipe.fileno(), termios.FIONREAD, b"1234"), sys.byteorder)


def asleep(pid: int) -> bool:
    """Whether a process with one thread waits for something."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "S"


class TestCommand:
    def test_version(self, shell: Shell) -> None:
        assert shell.run("--version").stdout == f"roomline {__version__}\n"

    def test_help_names_the_commands(self, here: Here) -> None:
        said = here("--help")
        assert said.status == 0
        assert all(command in said.out for command in ("serve", "publish", "tail"))

    def test_the_help_of_serve_documents_every_setting(self, here: Here) -> None:
        text = "".join(here("serve", "--help").out.split())
        for name in NAMES:
            assert f"ROOMLINE_{name.upper()}" in text

    @pytest.mark.parametrize("arguments", [(), ("dance",), ("serve", "--prot", "1"), ("publish",)])
    def test_wrong_arguments(self, here: Here, arguments: tuple[str, ...]) -> None:
        said = here(*arguments)
        assert (said.status, said.out) == (2, "")
        assert said.err.startswith("usage: ")

    def test_flags_are_not_abbreviated(self, here: Here) -> None:
        assert here("tail", "--brok", "embedded:x").status == 2

    @pytest.mark.parametrize("command", [("serve",), ("publish", "chat.a", "1"), ("tail",)])
    def test_bad_settings(self, here: Here, command: tuple[str, ...]) -> None:
        said = here(*command, ROOMLINE_PORT="x", ROOMLINE_PROT="1")
        assert (said.status, said.out) == (2, "")
        assert said.err.splitlines() == [
            "roomline: the environment variable ROOMLINE_PROT is not a setting;"
            " near to it: the environment variable ROOMLINE_PORT",
            "roomline: port, from the environment variable ROOMLINE_PORT, is 'x';"
            " accepted is a whole number from 0 to 65535",
        ]

    def test_without_the_server_part(self, shell: Shell) -> None:
        program = (
            "import sys; sys.modules['tornado'] = None; sys.argv = ['roomline', '--version'];"
            "from roomline.cli import main; sys.exit(main())"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 2
        assert done.stderr.endswith("install roomline[server]\n")


class TestPublish:
    def test_json(self, shell: Shell) -> None:
        done = shell.run("publish", "chat.lobby", '{"text": "hé"}')
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        (entry,) = shell.entries()
        assert entry["room"] == "chat.lobby"
        assert entry["data"] == {"text": "hé"}
        assert entry["kind"] == "message"
        assert entry["message_id"]
        assert entry["time"]

    def test_text_and_kind(self, shell: Shell) -> None:
        shell.run("publish", "system.notices", "--text", "--kind", "system", "back at [noon]")
        (entry,) = shell.entries()
        assert (entry["data"], entry["kind"]) == ("back at [noon]", "system")

    def test_standard_input(self, shell: Shell) -> None:
        assert shell.run("publish", "chat.a", "-", input=b"[1,\n2]").returncode == 0
        assert shell.entries()[0]["data"] == [1, 2]

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("chat..a", "1"), "is not a room name"),
            (("control.order", "1"), "control steers gateways"),
            (("chat.a", "hello"), "with --text it is published as text"),
            (("chat.a", "NaN"), "NaN is not JSON"),
            (("chat.a", ""), "is not JSON"),
            (("chat.a", "[" * 100_000), "is not JSON"),
            (("chat.a", "--text", "x" * MAX_BODY_BYTES), "at most 65536 are taken"),
        ],
    )
    def test_what_cannot_be_published(
        self, here: Here, tmp_path: Path, arguments: tuple[str, ...], reason: str
    ) -> None:
        said = here("publish", *arguments)
        assert said.status == 2
        assert reason in said.err
        assert len(said.err) < 500
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("input", "reason"),
        [
            (b"\xff", "standard input is not UTF-8"),
            (b"x" * (MAX_BODY_BYTES + 1), "at most 65536 bytes are taken"),
        ],
    )
    def test_bad_standard_input(self, shell: Shell, input: bytes, reason: str) -> None:
        done = shell.run("publish", "chat.a", "--text", "-", input=input)
        assert done.returncode == 2
        assert reason in done.stderr

    def test_ctrl_c_while_it_waits_for_standard_input(self, shell: Shell) -> None:
        with shell.running("publish", "chat.a", "-") as process:
            assert process.stdin is not None
            process.stdin.write("[")
            process.stdin.flush()
            deadline = time.monotonic() + 20
            # Between two reads, Python would hear of the signal after the next one only.
            while unread(process.stdin) or not asleep(process.pid):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=10) == 130
            assert process.stderr is not None
            assert process.stderr.read() == ""

    def test_a_room_that_no_gateway_reads(self, shell: Shell) -> None:
        done = shell.run("publish", "chatt.lobby", "1")
        assert done.returncode == 1
        assert done.stderr.startswith("roomline: not published: room 'chatt.lobby' is not routed")

    def test_a_log_that_cannot_be_used(self, shell: Shell) -> None:
        shell.log.write_bytes(b"this is not a database" * 100)
        done = shell.run("publish", "chat.a", "1")
        assert done.returncode == 1
        assert "not published: " in done.stderr

    def test_a_rabbitmq_that_is_not_there(self, shell: Shell) -> None:
        done = shell.run("publish", "chat.a", "1", ROOMLINE_BROKER="amqp://u:s3cret@127.0.0.1:1/")
        assert done.returncode == 1
        assert "not published: " in done.stderr
        assert "s3cret" not in done.stderr


class TestTail:
    def test_what_is_published_from_now_on(self, shell: Shell) -> None:
        shell.append(Envelope("chat.a", b'"before"'))
        with shell.running("tail", "chat.a") as process:
            # It says nothing while nothing happens, so publish until it has noticed.
            deadline = time.monotonic() + 20
            os.set_blocking(process.stdout.fileno(), False)  # type: ignore[union-attr]
            line = ""
            while not line and time.monotonic() < deadline:
                shell.append(Envelope("chat.b", b'"other"'), Envelope("chat.a", b'"now"'))
                time.sleep(0.05)
                line = line_of(process.stdout)
            assert line == '- chat.a (operations) "now"\n'
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=10) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""

    def test_everything_there_is(self, shell: Shell) -> None:
        shell.append(
            Envelope(
                "chat.a",
                b'{"text":"hi"}',
                time=1_769_860_800_062,
                sender=Sender("42", "Ada"),
                publisher="roomline",
            ),
            Envelope("system.notices", b"plain text", kind="system", publisher="roomline"),
            Envelope("chat.b", b"\xff\xfe", sender=Sender("1", "Eve"), publisher="somebody"),
        )
        done = shell.run("tail", "--since", "first", "--no-follow")
        assert done.stdout.splitlines() == [
            '2026-01-31T12:00:00.062Z chat.a 42 {"text":"hi"}',
            '- system.notices - [system] "plain text"',
            '- chat.b (operations) {"base64": "//4="}',
        ]
        trusted = shell.run("tail", "--since", "first", "--no-follow", "--publishers", "somebody")
        assert trusted.stdout.splitlines()[2].startswith("- chat.b 1 ")

    def test_rooms_by_name_and_prefix(self, shell: Shell) -> None:
        for room in ("chat.a", "chat.a.b", "chat.ab", "chat", "system.notices"):
            shell.append(Envelope(room, b"1"))

        def rooms(*patterns: str) -> list[str]:
            done = shell.run("tail", *patterns, "--since", "first", "--no-follow")
            return [line.split()[1] for line in done.stdout.splitlines()]

        assert rooms("chat.a") == ["chat.a"]
        assert rooms("chat.a.**", "system.notices") == ["chat.a.b", "system.notices"]
        assert rooms("chat.**") == ["chat.a", "chat.a.b", "chat.ab"]
        assert len(rooms()) == 5

    def test_since_an_offset_and_since_a_time(self, shell: Shell) -> None:
        shell.append(Envelope("chat.a", b"1"), Envelope("chat.a", b"2"))
        time.sleep(0.05)
        between = time.time()
        time.sleep(0.05)
        shell.append(Envelope("chat.a", b"3"))
        second = str(shell.entries()[1]["offset"])

        def data(since: str) -> list[str]:
            done = shell.run("tail", "--since", since, "--no-follow", TZ="Asia/Kolkata")
            assert done.returncode == 0, done.stderr
            return [line.split()[-1] for line in done.stdout.splitlines()]

        assert data(second) == ["2", "3"]
        moment = time.gmtime(between)
        fraction = f"{between % 1:.6f}"[1:]
        assert data(time.strftime("%Y-%m-%dT%H:%M:%S", moment) + fraction + "+00:00") == ["3"]
        there = time.gmtime(between + 5.5 * 3600)
        assert data(time.strftime("%Y-%m-%d %H:%M:%S", there) + fraction) == ["3"]

    def test_nothing_steers_the_terminal(self, shell: Shell) -> None:
        shell.append(
            Envelope(
                "chat.a",
                '{"a":"\\u001b[2J\u009b\u202e\u2028\x7f \U0001f600 \U000e0001 é"}'.encode(),
                sender=Sender("x\x1b[31m", "x"),
                publisher="roomline",
            )
        )
        for more in ((), ("--json",)):
            done = shell.run("tail", "--since", "first", "--no-follow", *more)
            (line,) = done.stdout.splitlines()
            assert line.isprintable()
            assert "\\u001b[2J\\u009b\\u202e\\u2028\\u007f" in line
            assert "\\udb40\\udc01" in line
        assert json.loads(line)["data"] == {
            "a": "\x1b[2J\x9b\u202e\u2028\x7f \U0001f600 \U000e0001 é"
        }
        assert line.isascii()

    def test_a_terminal_without_unicode(self, shell: Shell) -> None:
        shell.append(Envelope("chat.a", '"é€"'.encode()))
        done = shell.run(
            "tail", "--since", "first", "--no-follow", PYTHONIOENCODING="ascii", PYTHONUTF8="0"
        )
        assert done.stdout == '- chat.a (operations) "\\xe9\\u20ac"\n'

    def test_json_has_everything(self, shell: Shell) -> None:
        shell.append(
            Envelope("chat.a", b"1", "m1", 1_769_860_800_062, "system", Sender("4", "A"), "k", "p")
        )
        (entry,) = shell.entries()
        assert entry.pop("offset") is not None
        assert entry == {
            "room": "chat.a",
            "message_id": "m1",
            "time": "2026-01-31T12:00:00.062Z",
            "kind": "system",
            "sender": {"id": "4", "name": "A"},
            "key": "k",
            "publisher": "p",
            "partition": 0,
            "data": 1,
        }

    def test_whoever_reads_it_may_leave(self, shell: Shell) -> None:
        shell.append(*[Envelope("chat.a", b'"' + b"x" * 1000 + b'"') for _ in range(300)])
        with shell.running("tail", "--since", "first") as process:
            assert line_of(process.stdout).startswith("- chat.a ")
            process.stdout.close()  # type: ignore[union-attr]
            assert process.wait(timeout=10) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""

    @pytest.mark.parametrize("since", ["yesterday", "-1", "", "2026-13-01", "٣"])
    def test_a_bad_since(self, here: Here, since: str) -> None:
        said = here("tail", f"--since={since}")
        assert said.status == 2
        assert "is none of: first, next, an offset, an ISO time" in said.err

    @pytest.mark.parametrize("room", ["chat..a", "**", "chat.*", "a b"])
    def test_a_bad_room(self, here: Here, room: str) -> None:
        said = here("tail", room)
        assert said.status == 2
        assert "is not a room name" in said.err

    def test_a_log_that_cannot_be_used(self, shell: Shell) -> None:
        shell.log.write_bytes(b"this is not a database" * 100)
        done = shell.run("tail")
        assert done.returncode == 2
        assert "the log cannot be read: " in done.stderr

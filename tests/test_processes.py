"""roomline.processes: processes that are started together, started again, and ended together."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from roomline.processes import END_AT_ONCE

pytestmark = pytest.mark.timeout(30)

PROGRAM = """
import logging, os, signal, sys, time
from roomline import processes

logging.basicConfig(level="INFO")
processes.FIRST_DELAY = 0.05

def say(worker):
    os.write(worker.report, f"{worker.number}/{worker.restarts}\\n".encode())
    os.close(worker.report)

def work(worker):
    os.write(1, f"work {worker.number} {worker.restarts} {os.getpid()}\\n".encode())
    WORK

def serving(reports):
    print("serving", *reports, flush=True)

sys.exit(processes.Supervisor(3, work, serving).run())
"""


def start(work: str) -> "subprocess.Popen[str]":
    text = PROGRAM.replace("WORK", work)
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lines_until(process: "subprocess.Popen[str]", wanted: str) -> list[str]:
    """What it prints, up to a line that matches."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if re.search(wanted, line):
            return lines
    pytest.fail(f"no {wanted!r} in {lines}")


def ended(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    rest = process.communicate(timeout=20)[0]
    return process.returncode, rest


def test_all_are_started_and_told_of_when_all_serve() -> None:
    process = start("say(worker); signal.pause()")
    lines = lines_until(process, "^serving")
    assert lines[-1] == "serving 0/0 1/0 2/0"
    assert sorted(line.split()[1] for line in lines[:-1]) == ["0", "1", "2"]
    process.terminate()
    assert finish(process)[0] == 0


def test_one_that_ends_is_started_again_under_its_number() -> None:
    process = start("say(worker); worker.number == 1 and not worker.restarts or signal.pause()")
    lines = lines_until(process, "^work 1 1")
    assert any("process 1 has ended with status" in line for line in lines)
    process.terminate()
    assert finish(process)[0] == 0


def test_one_that_raises_is_a_crash_and_its_defect_is_told() -> None:
    process = start("say(worker); worker.restarts or 1 / 0; signal.pause()")
    lines = lines_until(process, "^work 2 1")
    assert "ZeroDivisionError: division by zero" in lines
    assert any("status 1; it is started again in 0.05 s" in line for line in lines)
    process.terminate()
    assert finish(process)[0] == 0


def test_one_that_cannot_start_ends_all_with_its_status() -> None:
    process = start("worker.number == 2 and os._exit(7); say(worker); signal.pause()")
    status, said = finish(process)
    assert status == 7
    assert "started again" not in said


def test_the_first_signal_is_handed_on_and_the_second_is_another_one() -> None:
    told = "os.write(1, b'told %d\\n' % number)"
    process = start(
        "ends = []; "
        f"note = lambda number, frame: ({told}, ends.append(number)); "
        "[signal.signal(n, note) for n in (signal.SIGTERM, processes.END_AT_ONCE)]; say(worker); "
        "[signal.pause() for _ in range(99) if processes.END_AT_ONCE not in ends]"
    )
    lines = lines_until(process, "^serving")
    pids = [int(line.split()[3]) for line in lines if line.startswith("work")]
    process.terminate()
    lines_until(process, f"^told {int(signal.SIGTERM)}$")
    assert process.poll() is None
    assert not any(map(ended, pids))
    process.send_signal(signal.SIGINT)
    status, said = finish(process)
    assert status == 0
    assert f"told {int(END_AT_ONCE)}" in said
    assert all(map(ended, pids))


def test_they_learn_of_the_death_of_the_supervising_process() -> None:
    process = start("say(worker); os.read(worker.supervisor, 1)")
    lines = lines_until(process, "^serving")
    pids = [int(line.split()[3]) for line in lines if line.startswith("work")]
    assert len(pids) == 3
    assert not any(map(ended, pids))
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while not all(map(ended, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    finish(process)

"""docs/operations/doctor.rst: its commands, and that it names every check that there is."""

import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.docs.pages import ROOT, snippet, table
from tests.support.gateway import Gateway

COVERS = {"doctor", "doctor-console", "doctor-url"}

PAGE = "docs/operations/doctor.rst"


def run(name: str, folder: Path, *replacements: tuple[str, str]) -> str:
    """What the command of the page says, with the page's places replaced by ours."""
    text = snippet(PAGE, name).text
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    words = text.split()
    assert words[0] == "roomline"
    done = subprocess.run(
        [sys.executable, "-m", *words, "--api-tokens-file", "/dev/null"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_commands(tmp_path: Path):
    assert "roomline.sqlite3 is not there yet" in run("doctor", tmp_path)
    console = tmp_path / "console"
    console.write_text("http://monitor:password@127.0.0.1:1")
    shown = run("doctor-console", tmp_path, ("/run/secrets/roomline-console", str(console)))
    assert "ok       limits" in shown
    with closing(Gateway(f"embedded:{tmp_path}/other.sqlite3")) as gateway:
        gateway.start()
        shown = run("doctor-url", tmp_path, ("https://chat.example/roomline", gateway.url))
        assert "ok       address: websocket works" in shown


def test_every_check_is_named():
    sources = [path.read_text() for path in (ROOT / "gateway/roomline/cli/doctor").glob("*.py")]
    used = {
        name
        for text in sources
        for name in re.findall(r'\b(?:ok|warning|problem)\(\s*"([a-z]+)"', text)
    }
    assert {row[0] for row in table(PAGE, "checks")} == used

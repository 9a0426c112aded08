"""Autobahn's fuzzing client, which speaks websocket wrongly on purpose: where it can be had."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGE = "autobahntestsuite==25.10.1"
CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
"""All but compression, which is not offered, and the two groups that measure speed."""


class Missing(Exception):
    """The client cannot be had here; the text says why."""


def python2() -> str:
    """A Python 2.7, which the client needs. Raises `Missing`."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which("python2.7"), *map(str, versions.glob("2.7.*/bin/python2.7"))]
    for python in filter(None, found):
        # What pyenv puts on the path may only say that it is elsewhere.
        if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
            return python
    raise Missing("there is no Python 2.7, which Autobahn's test suite needs")


def install() -> Path:
    """The folder that the client is installed in, once for each environment. Raises `Missing`."""
    folder = Path(sys.prefix) / "autobahn"
    done = folder / "installed"
    with (Path(sys.prefix) / "autobahn.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            pip = [python2(), "-m", "pip", "--disable-pip-version-check", "--quiet"]
            command = [*pip, "install", "--target", str(folder), PACKAGE]
            try:
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
            except subprocess.SubprocessError as error:
                said = getattr(error, "stderr", None) or error
                raise Missing(f"{PACKAGE} cannot be installed: {str(said)[-500:]}") from None
            (folder / "zope" / "__init__.py").touch()  # pip leaves it out of what it puts there
            done.touch()
    return folder


def run(url: str, folder: Path, cases: list[str] = CASES) -> dict[str, dict[str, Any]]:
    """What became of each case at the websocket `url`, by its number: ``behavior`` and
    ``behaviorClose``, and what else is in the client's index. Reports are left in `folder`.

    Raises `Missing`.
    """
    installed = install()
    spec = {
        "outdir": str(folder),
        "servers": [{"agent": "roomline", "url": url}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    subprocess.run(
        [python2(), str(installed / "bin" / "wstest"), "-m", "fuzzingclient", "-s", "spec.json"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        timeout=300,
    )
    results: dict[str, dict[str, Any]] = json.loads((folder / "index.json").read_text())["roomline"]
    return results

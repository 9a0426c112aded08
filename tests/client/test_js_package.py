"""The JavaScript client's own tests, and the check that what is built is what is committed."""

import shutil
import subprocess
from pathlib import Path

import pytest

JS_CLIENT = Path(__file__).parents[2] / "js-client"
NPM = shutil.which("npm")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(200),
    pytest.mark.skipif(NPM is None, reason="npm is not installed"),
]


@pytest.mark.parametrize("script", ["test", "check"])
def test_npm_run(script: str) -> None:
    assert NPM is not None
    assert (JS_CLIENT / "node_modules/typescript").exists(), "run npm ci in js-client"
    done = subprocess.run(
        [NPM, "run", script], cwd=JS_CLIENT, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_file_names_no_registry() -> None:
    lock = (JS_CLIENT / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert "https://registry" not in lock

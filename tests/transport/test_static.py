"""The copy of sockjs-client that the endpoint serves is the npm package's."""

import hashlib
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import roomline.transport
from roomline.transport.pages import CLIENT_PATH, SOCKJS_VERSION

STATIC = Path(roomline.transport.__file__).parent / "static"
COPY = STATIC / "sockjs.min.js"
NOTICE = (STATIC / "sockjs.min.js.LICENSE").read_text()


def test_the_notice_states_version_and_licence() -> None:
    assert f"version: {SOCKJS_VERSION}\n" in NOTICE
    assert "The MIT License (MIT)" in NOTICE
    assert f"/* sockjs-client v{SOCKJS_VERSION} " in COPY.read_text()
    assert SOCKJS_VERSION in CLIENT_PATH


def test_the_copy_is_what_the_notice_says() -> None:
    match = re.search("^sha256: ([0-9a-f]{64})$", NOTICE, re.M)
    assert match
    assert hashlib.sha256(COPY.read_bytes()).hexdigest() == match[1]


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_copy_is_the_npm_packages(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: the copy cannot be compared with its package")
    package = f"sockjs-client@{SOCKJS_VERSION}"
    subprocess.run([npm, "pack", "--silent", package], cwd=tmp_path, check=True, timeout=50)
    with tarfile.open(tmp_path / f"sockjs-client-{SOCKJS_VERSION}.tgz") as archive:
        original = archive.extractfile("package/dist/sockjs.min.js")
        assert original is not None
        assert original.read() == COPY.read_bytes()

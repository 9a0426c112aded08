"""The copies of sockjs-client that the endpoint serves are those of their packages."""

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import roomline.transport
from roomline.transport.pages import CLIENTS, OLD_SOCKJS_VERSION, SOCKJS_VERSION

STATIC = Path(roomline.transport.__file__).parent / "static"
FILES = {SOCKJS_VERSION: "sockjs.min.js", OLD_SOCKJS_VERSION: "sockjs-0.3.4.min.js"}


@pytest.mark.parametrize("version", CLIENTS)
def test_the_notice_states_version_and_licence(version: str) -> None:
    notice = (STATIC / f"{FILES[version]}.LICENSE").read_text()
    assert f"\nversion: {version}\n" in notice
    assert "The MIT License (MIT)" in notice
    match = re.search("^sha256: ([0-9a-f]{64})$", notice, re.M)
    assert match
    assert hashlib.sha256(CLIENTS[version]).hexdigest() == match[1]
    assert (STATIC / FILES[version]).read_bytes() == CLIENTS[version]
    assert version.encode() in CLIENTS[version][:80]


@pytest.mark.parametrize("version", CLIENTS)
def test_the_copies_are_text(version: str) -> None:
    """The escapes in them as escapes: what some minifiers make of those, no browser can read."""
    assert not re.search(r"[\x00-\x08\x0e-\x1f\x7f\ufffe\uffff]", CLIENTS[version].decode("utf-8"))


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
        assert original.read() == CLIENTS[SOCKJS_VERSION]


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_old_copy_is_the_python_packages(tmp_path: Path) -> None:
    """Its authors had it on a server of their own and never on npm."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path)]
    subprocess.run([*command, "ginsfsm==0.7.3"], check=True, timeout=50)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(io.BytesIO(wheel.read_bytes())) as archive:
        original = archive.read("ginsfsm/examples/websocket_mixin/sockjs-0.3.4.min.js")
    assert original == CLIENTS[OLD_SOCKJS_VERSION]

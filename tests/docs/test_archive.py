"""docs/archive.rst: what it says to set, run and ask."""

import subprocess
import sys
from pathlib import Path

import pytest
from roomline.sqlitelog import SqliteLog
from roomline.wire import Envelope

from tests.docs.pages import ROOT, snippet, table

COVERS = {"archive-client", "archive-run", "archive-same", "archive-settings", "archive-trim"}

PAGE = "docs/archive.rst"

SETTINGS = """
INSTALLED_APPS += ["django_roomline"]
ROOMLINE = {
    "BROKER": f"embedded:{BASE_DIR / 'rooms.sqlite3'}",
    "KEYS": {"1": "k" * 32},
    "ENDPOINTS": ["/roomline"],
}
"""

COUNT = "from django_roomline.models import *; print('rows', ArchivedPublication.objects.count())"


@pytest.mark.parametrize("settings", ["archive-settings", "archive-same"])
def test_what_is_in_the_log_is_archived_and_trimmed(tmp_path: Path, settings: str):
    python(tmp_path, "-m", "django", "startproject", "site1", ".")
    with (tmp_path / "site1" / "settings.py").open("a") as file:
        file.write(SETTINGS + snippet(PAGE, settings).text + "\n")
    python(tmp_path, "manage.py", "migrate", "-v0")
    log = SqliteLog(tmp_path / "rooms.sqlite3")
    log.append([Envelope("chat.a", b"%d" % number) for number in range(3)])
    log.close()
    assert "3 publications archived" in command(tmp_path, "archive-run", "--once")
    assert "0 publications deleted" in command(tmp_path, "archive-trim")
    assert "rows 3" in python(tmp_path, "manage.py", "shell", "-c", COUNT)


def test_the_page_s_script_uses_what_there_is():
    """The join itself is tested in a browser, on the demo's page, which does the same."""
    text = snippet(PAGE, "archive-client").text
    demo = (ROOT / "djangoapp/demo/static/demo/room.js").read_text()
    for used in ("archive: config.archiveUrl", "room.older("):
        assert used in text
        assert used in demo


def test_the_table_names_the_view_s_parameters():
    view = (ROOT / "djangoapp/django_roomline/archive_views.py").read_text()
    for name, _ in table(PAGE, "archive-parameters"):
        assert f'request.GET.get("{name}"' in view


def command(folder: Path, name: str, *more: str) -> str:
    interpreter, *arguments = snippet(PAGE, name).text.split()
    assert interpreter == "python"
    return python(folder, *arguments, *more)


def python(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

"""The wheels, not the tree: they build, install into a fresh environment, and import there."""

import email
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = {"roomline": ROOT / "gateway", "django_roomline": ROOT / "djangoapp"}
COVERS = {"install"}
"""What the README tells a user to install; here it is installed from wheels."""

MADE = shutil.ignore_patterns("build", "__pycache__", "*.egg-info")

BASE_IMPORTS = "import roomline.wire, roomline.tokens, roomline.sqlitelog, roomline.sqlitequeue"
SERVER_ONLY = ("tornado", "sockjs", "pika", "msgspec", "prometheus_client")

USER_CONFTEST = """
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_roomline"],
    ROOMLINE={
        "BROKER": "embedded:/nonexistent/log",
        "KEYS": {"1": "s" * 32},
        "ENDPOINTS": ["/roomline"],
    },
)
django.setup()
pytest_plugins = ["roomline.testing.pytest_plugin", "django_roomline.testing.pytest_plugin"]
"""
USER_TESTS = """
from django_roomline import publish


def test_what_is_published(published):
    publish("chat.lobby", {"text": "hello"}, on_commit=False)
    published.assert_published("chat.lobby", {"text": "hello"}, count=1)


def test_the_whole_path(live_gateway):
    with live_gateway.client() as page:
        lobby = page.subscribe("chat.lobby")
        live_gateway.publish("chat.lobby", "hello")
        assert lobby.next(timeout=30).data == "hello"
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels by their import name, built as a user's pip would build them."""
    folder = tmp_path_factory.mktemp("wheels")
    # From copies, because setuptools would leave build folders in the tree.
    sources = []
    for name, source in DISTRIBUTIONS.items():
        copy = tmp_path_factory.mktemp(name) / "source"
        sources.append(str(shutil.copytree(source, copy, ignore=MADE)))
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), *sources)
    return {name: next(folder.glob(f"{name}-*.whl")) for name in DISTRIBUTIONS}


@pytest.fixture(scope="module")
def environment(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that has the base `roomline` only."""
    folder = tmp_path_factory.mktemp("environment")
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = folder / "bin" / "python"
    _pip("--python", str(python), "install", str(wheels["roomline"]))
    return python


def test_types_are_announced(wheels: dict[str, Path]):
    for name, wheel in wheels.items():
        assert f"{name}/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_wheels_hold_what_the_tree_holds(wheels: dict[str, Path]):
    """No module and no data file of a package is forgotten, and nothing else is in the wheel."""
    for name, wheel in wheels.items():
        source = DISTRIBUTIONS[name]
        files = [path for path in (source / name).rglob("*") if path.is_file()]
        written = {str(path.relative_to(source)) for path in files if path.suffix != ".pyc"}
        packed = {file for file in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in file}
        assert packed == written


def test_versions_are_equal(wheels: dict[str, Path]):
    versions = {name: _metadata(wheel)["Version"] for name, wheel in wheels.items()}
    assert len(set(versions.values())) == 1, versions


def test_license_is_stated(wheels: dict[str, Path]):
    for wheel in wheels.values():
        assert _metadata(wheel)["License-Expression"] == "MIT"
        with zipfile.ZipFile(wheel) as archive:
            name = next(file for file in archive.namelist() if file.endswith("/LICENSE"))
            assert archive.read(name) == (ROOT / "LICENSE").read_bytes()


def test_the_base_needs_no_server(environment: Path):
    _run(str(environment), "-I", "-c", BASE_IMPORTS)
    find = "import sys, importlib.util as u; sys.exit(any(map(u.find_spec, sys.argv[1:])))"
    _run(str(environment), "-I", "-c", find, *SERVER_ONLY)


def test_both_install_with_the_server(wheels: dict[str, Path], environment: Path):
    """What the README tells a user to install, from wheels: command line and Django app work."""
    _pip(
        *("--python", str(environment), "install"),
        f"{wheels['roomline']}[server]",
        str(wheels["django_roomline"]),
    )
    version = _run(str(environment.parent / "roomline"), "--version")
    assert version.split() == ["roomline", _metadata(wheels["roomline"])["Version"]]
    settings = (
        "from django.conf import settings; import django;"
        "apps = ['django.contrib.auth', 'django.contrib.contenttypes', 'django_roomline'];"
        "settings.configure(INSTALLED_APPS=apps); django.setup();"
        "import django_roomline.models, django_roomline.urls, django_roomline.amqp;"
        "import django_roomline.amqp_requests, django_roomline.worker"
    )
    _run(str(environment), "-I", "-c", settings)


def test_a_user_s_tests_run_with_them(wheels: dict[str, Path], environment: Path, tmp_path: Path):
    """The fixtures and the client of both testing packages, with nothing of the tree."""
    _pip(
        *("--python", str(environment), "install", "pytest"),
        f"{wheels['roomline']}[server]",
        str(wheels["django_roomline"]),
    )
    for name, text in {"conftest.py": USER_CONFTEST, "test_user.py": USER_TESTS}.items():
        (tmp_path / name).write_text(text)
    done = _run(str(environment), "-I", "-m", "pytest", "-q", "--rootdir", *[str(tmp_path)] * 2)
    assert "2 passed" in done


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(file for file in archive.namelist() if file.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def _pip(*arguments: str) -> None:
    constraints = ROOT / "requirements" / "constraints.txt"
    _run(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"),
        *arguments,
        *(["--constraint", str(constraints)] if "install" in arguments else []),
    )


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout

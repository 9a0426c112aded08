"""docs/testing-your-app.rst: the tests that it shows, run as the page's reader would run them."""

import subprocess
import sys
from pathlib import Path

import pytest
from django_roomline.testing import PublishAssertions

from tests.docs.pages import snippet, table

COVERS = {
    "gateway-block",
    "gateway-conftest",
    "gateway-style",
    "live-style",
    "pytest-conftest",
    "pytest-style",
    "unittest-style",
}

PAGE = "docs/testing-your-app.rst"

SETTINGS = """
INSTALLED_APPS += ["django_roomline", "shop"]
ROOMLINE = {
    "BROKER": "amqp://nobody.invalid/",
    "KEYS": {"1": "k" * 32},
    "ENDPOINTS": ["/roomline"],
    "GATEWAY": {"NAMESPACES": "chat:read=token,write=token"},
}
"""

URLS = """
from django.urls import include
urlpatterns += [path("roomline/", include("django_roomline.urls"))]
"""

SERVICES = """
from django.db import transaction
from django_roomline import PublishError, publish


def order(item, amount):
    with transaction.atomic():
        publish("chat.sales", {"item": item, "amount": amount})


def sell_out(item):
    with transaction.atomic():
        publish("chat.sales", {"item": item, "left": 0})
        transaction.set_rollback(True)


def announce(text):
    try:
        publish("chat.sales", {"text": text, "urgent": False}, kind="system", on_commit=False)
    except PublishError:
        return "try again later"
"""

DJANGO_FOR_PYTEST = """
import os
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "site1.settings"
django.setup()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project with an app that publishes, on a broker that is not there."""
    folder = tmp_path_factory.mktemp("tested")
    done(folder, "-m", "django", "startproject", "site1", ".")
    for name, text in (("settings", SETTINGS), ("urls", URLS)):
        with (folder / "site1" / f"{name}.py").open("a") as module:
            module.write(text)
    shop = folder / "shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "services.py").write_text(SERVICES)
    return folder


@pytest.mark.parametrize(("name", "count"), [("unittest-style", 2), ("live-style", 1)])
def test_with_django_s_runner(project: Path, name: str, count: int):
    (project / "shop" / "tests.py").write_text(snippet(PAGE, name).text)
    said = done(project, "manage.py", "test", "shop")
    assert f"Ran {count} test" in said
    assert said.rstrip().splitlines()[-2] == "OK" or "\nOK\n" in said


def test_a_test_that_should_fail_does(project: Path):
    text = snippet(PAGE, "unittest-style").text
    (project / "shop" / "tests.py").write_text(text.replace('{"item": "tea"}', '{"item": "milk"}'))
    failed = run(project, "manage.py", "test", "shop")
    assert failed.returncode == 1
    assert "0, not 1 was published to chat.sales that matches {'item': 'milk'}" in failed.stderr
    assert 'message to chat.sales: {"item": "tea", "amount": 2}' in failed.stderr


@pytest.mark.parametrize(
    ("conftest", "tests", "count"),
    [("pytest-conftest", "pytest-style", 2), ("gateway-conftest", "gateway-style", 1)],
)
def test_with_pytest(project: Path, conftest: str, tests: str, count: int):
    (project / "conftest.py").write_text(DJANGO_FOR_PYTEST + snippet(PAGE, conftest).text)
    (project / "test_page.py").write_text(snippet(PAGE, tests).text)
    said = done(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py")
    assert f"{count} passed" in said


def test_the_block_without_django(tmp_path: Path):
    done(tmp_path, "-c", snippet(PAGE, "gateway-block").text)


def test_the_table_names_the_assertions():
    named = {row[0].partition("(")[0] for row in table(PAGE, "assertions")}
    assert named == {name for name in vars(PublishAssertions) if name.startswith("assert")}


def done(folder: Path, *arguments: str) -> str:
    """What a program that succeeds says."""
    ended = run(folder, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )

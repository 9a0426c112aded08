"""The README's path into one's own Django project, walked in a new project with a real browser."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import Snippet, snippet
from tests.docs.waiting import address_of
from tests.docs.walkthrough import clean_environment
from tests.support.browser import chromium
from tests.support.rabbitmq import free_port

COVERS = {
    "django-settings",
    "django-urls",
    "django-template",
    "django-migrate",
    "django-publish",
    "django-run",
}

README = Path(__file__).parents[2] / "README.rst"

VIEW = """
from django.urls import path
from django.shortcuts import render
urlpatterns += [path("", lambda request: render(request, "page.html"))]
"""


def readme(name: str) -> Snippet:
    return snippet("README.rst", name)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project as `startproject` makes it, with the README's blocks put where it says."""
    run(tmp_path, "-m", "django", "startproject", "site1", ".")
    package = tmp_path / "site1"
    with (package / "settings.py").open("a") as settings:
        settings.write(readme("django-settings").text + "\n")
        settings.write("TEMPLATES[0]['DIRS'] = [BASE_DIR]\n")
    with (package / "urls.py").open("a") as urls:
        urls.write(readme("django-urls").text + VIEW)
    page = f"<!doctype html><title>test</title><body>{readme('django-template').text}</body>"
    (tmp_path / "page.html").write_text(page)
    return tmp_path


@pytest.mark.slow
async def test_the_page_shows_what_django_publishes(project: Path):
    run(project, *command("django-migrate"))
    run(project, "manage.py", "shell", "-c", readme("django-publish").text)
    with serving(project, command("django-run")) as address:
        async with chromium() as browser:
            page = await browser.new_page()
            await page.goto(address)
            await page.get_by_text("hello from Django").wait_for(timeout=15_000)


def test_the_steps_stand_in_the_order_in_which_they_work():
    text = README.read_text()
    steps = ["settings", "urls", "template", "migrate", "publish", "run"]
    places = [text.index(f":name: django-{step}") for step in steps]
    assert places == sorted(places)


def command(name: str) -> list[str]:
    """The arguments of the Python that the README's block runs."""
    python, *arguments = readme(name).text.split()
    assert python == "python"
    return arguments


@contextmanager
def serving(project: Path, command: list[str]) -> Iterator[str]:
    """The project, served by the README's command on ports of our own; the page's address."""
    ports = ["--addrport", str(free_port()), "--django-port", str(free_port()), "--noreload"]
    with subprocess.Popen(
        [sys.executable, *command, *ports],
        cwd=project,
        env=clean_environment(),
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield address_of(process)
        finally:
            process.terminate()
            process.wait(timeout=20)


def run(folder: Path, *arguments: str) -> None:
    """Run Python in the project; it must succeed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr

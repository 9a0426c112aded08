"""docs/held-responses.rst: its views and pages in a new project, its tables against the code."""

import inspect
import json
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import django_roomline
import pytest
from playwright.async_api import expect
from roomline import holding
from roomline.config import load

from tests.docs.pages import snippet, table
from tests.docs.waiting import address_of
from tests.docs.walkthrough import clean_environment
from tests.support.browser import chromium
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.rabbitmq import free_port

COVERS = {
    "held-events",
    "held-loop",
    "held-nginx",
    "held-page",
    "held-serve",
    "held-test",
    "held-views",
}

PAGE = "docs/held-responses.rst"

SETTINGS = """
INSTALLED_APPS += ["django_roomline"]
TEMPLATES[0]["DIRS"] = [BASE_DIR]
LOGIN_URL = "/admin/login/"
ROOMLINE = {
    "BROKER": f"embedded:{BASE_DIR / 'rooms.sqlite3'}",
    "KEYS": {"1": "k" * 32},
    "ENDPOINTS": ["/roomline"],
    "GATEWAY": {"NAMESPACES": "chat:read=none,write=none"},
}
"""
URLS = """
from django.shortcuts import render
from site1 import sales
urlpatterns += [
    path("sales", sales.page),
    path("wait", sales.wait),
    path("events", sales.events),
    path("follow", lambda request: render(request, "follow.html")),
]
"""
SHOW = """<!doctype html><title>Sales</title><ul id="shown"></ul><script>
function show(publication) {
  var item = document.createElement("li");
  item.textContent = publication.data;
  document.getElementById("shown").appendChild(item);
}
</script>
"""
PREPARE = """
from django.contrib.auth.models import User
User.objects.create_superuser("ann", password="open-sesame")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the page's views and its script for holding."""
    folder = tmp_path_factory.mktemp("held")
    run(folder, "-m", "django", "startproject", "site1", ".")
    with (folder / "site1" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    with (folder / "site1" / "urls.py").open("a") as urls:
        urls.write(URLS)
    views = snippet(PAGE, "held-views").text + "\n" + snippet(PAGE, "held-page").text
    (folder / "site1" / "sales.py").write_text(views + "\n")
    (folder / "sales.html").write_text(SHOW + snippet(PAGE, "held-loop").text)
    (folder / "follow.html").write_text(SHOW + snippet(PAGE, "held-events").text)
    case = snippet(PAGE, "held-test").text.replace(
        "    def test_", "    def setUp(self):\n        self.user = make_user()\n\n    def test_"
    )
    user = (
        "from django.contrib.auth.models import User\n"
        "def make_user():\n    return User.objects.create_user('ann')\n"
    )
    (folder / "site1" / "tests.py").write_text(f"{user}{case}\n")
    run(folder, "manage.py", "migrate", "-v0")
    run(folder, "manage.py", "shell", "-c", PREPARE)
    return folder


@pytest.fixture
def address(project: Path) -> Iterator[str]:
    """Where `runroomline` serves it."""
    command = ["manage.py", "runroomline", "--noreload", "--addrport", str(free_port())]
    with subprocess.Popen(
        [sys.executable, *command], cwd=project, env=clean_environment(), stdout=subprocess.PIPE
    ) as process:
        try:
            yield address_of(process)
        finally:
            process.terminate()
            process.wait(timeout=20)


@pytest.mark.slow
async def test_pages_wait_and_follow(project: Path, address: str):
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"{address}admin/login/?next=/sales")
        await page.fill("#id_username", "ann")
        await page.fill("#id_password", "open-sesame")
        await page.click("[type=submit]")
        await page.wait_for_url(f"{address}sales")
        for text in ("one", "two"):
            publish(project, text)
        await expect(page.locator("li")).to_have_text(["one", "two"], timeout=15_000)

        await page.goto(f"{address}follow")
        await page.wait_for_function("events.readyState === 1", timeout=15_000)
        publish(project, "three")
        await expect(page.locator("li")).to_have_text(["three"], timeout=15_000)


@pytest.mark.slow
def test_the_test_of_the_page(project: Path):
    said = run(project, "manage.py", "test", "site1", "-v2")
    assert "test_it_waits_for_sales" in said


@pytest.mark.slow
def test_nginx_and_the_command_of_the_page(tmp_path: Path):
    """Both as they are shown, on ports of our own."""
    directives = re.search(r"\{(.*)\}", snippet(PAGE, "held-nginx").text, re.DOTALL)
    assert directives
    body = re.sub(r"proxy_pass \S+;", "", directives[1])
    command, verb, *flags = shlex.split(snippet(PAGE, "held-serve").text)
    assert (command, verb, flags[0], flags[2]) == ("roomline", "serve", "--port", "--upstream")
    assert f"proxy_pass http://127.0.0.1:{flags[1]};" in directives[1]
    gateway = Gateway(f"embedded:{tmp_path}/log", UPSTREAM="http://127.0.0.1:1")
    gateway.start()
    nginx = Nginx(tmp_path / "nginx", int(gateway.url.split(":")[2].split("/")[0]), body)
    try:
        url = f"http://127.0.0.1:{nginx.port}/roomline/info"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert json.loads(answer.read())["websocket"] is True
    finally:
        nginx.close()
        gateway.close()
    assert load({"port": flags[1], "upstream": flags[3]}, {}).upstream == flags[3]


def test_the_tables_are_complete():
    for name in ("hold", "stream"):
        parameters = inspect.signature(getattr(django_roomline, name)).parameters
        assert [row[0] for row in table(PAGE, f"{name}-arguments")] == list(parameters)
    assert [row[0] for row in table(PAGE, "hold-header")] == list(holding.Hold._fields)
    text = table(PAGE, "hold-header")[2][1]
    assert str(holding.MAX_HOLD_SECONDS) in text
    assert str(holding.MAX_STREAM_SECONDS) in text


def publish(project: Path, text: str) -> None:
    code = f"from django_roomline import publish; publish('chat.sales', {text!r})"
    run(project, "manage.py", "shell", "-c", code)


def run(folder: Path, *arguments: str) -> str:
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
    return done.stdout + done.stderr

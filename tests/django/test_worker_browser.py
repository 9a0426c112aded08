"""`client.request` in Chromium: through a real gateway to a real worker and back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.js_pages import DIST, SOCKJS
from tests.django.programs import Project
from tests.support.browser import chromium
from tests.support.gateway import Gateway
from tests.support.tokens import connection_token

pytestmark = pytest.mark.slow

ASK = """
async ([url, transport, token, asked]) => {
  const client = new Imported(url, { sockjs: { transports: [transport] }, token: () => token });
  const told = ({ code, message, temporary, refusal }) => [code, message, temporary, refusal];
  client.connect();
  const answers = [];
  for (const [name, data] of asked) {
    answers.push(await client.request(name, data, { timeout: 20000 }).catch(told));
  }
  const last = client.request("work", { seconds: 20 }).catch(told);
  await new Promise((resolve) => setTimeout(resolve, 100));
  client.disconnect();
  answers.push(await last);
  return answers;
}
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(f"embedded:{tmp_path}/rooms.sqlite3", REQUESTS="true")
    gateway.start()
    yield gateway
    gateway.close()


@pytest.fixture
def project(gateway: Gateway, tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path, gateway.broker)
    project.shell("from django.contrib.auth.models import User; User.objects.create_user('ann')")
    worker = project.start("-m", "django", "roomline_worker", HANDLED=str(tmp_path / "handled"))
    worker.until_it_says("answering")
    yield project
    project.close()


@pytest.mark.usefixtures("project")
async def test_requests_are_answered_refused_and_settled(gateway: Gateway) -> None:
    asked = [["echo", {"ü": 1}], ["refuse", None], ["rename", "x"], ["nowhere", 1]]
    answers: dict[str, Any] = {}
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(gateway.url)
        await page.add_script_tag(path=SOCKJS)
        module = await asyncio.to_thread((DIST / "roomline.mjs").read_text)
        await page.add_script_tag(type="module", content=f"{module}\nwindow.Imported = Roomline;")
        await page.wait_for_function("window.Imported !== undefined")
        for transport in ("websocket", "xhr-polling"):
            arguments = [gateway.url, transport, connection_token("1", name="Ann"), asked]
            answers[transport] = await page.evaluate(ASK, arguments)
    for told in answers.values():
        echo, refused, forbidden, unknown, left = told
        assert echo == {"data": {"ü": 1}, "user": "ann", "name": "echo"}
        assert refused == ["request_failed", "It is too late.", False, "late"]
        assert forbidden[0] == "forbidden"
        assert unknown[:3] == ["request_unknown", "no handler has the name nowhere", False]
        assert (left[0], left[2]) == ("disconnected", True)

"""A browser's page in a room, and what it is shown there."""

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page

from tests.client.js_pages import DIST, SOCKJS
from tests.support.until import until

_SCRIPT = """
async ([url, room]) => {
  document.body.innerHTML = "<h1></h1><ul></ul>";
  document.querySelector("h1").textContent = room;
  const client = new Roomline(url);
  const subscription = client.subscribe(room);
  subscription.on("publication", (publication) => {
    heard(publication);
    const line = document.createElement("li");
    const said = publication.data;
    const from = publication.origin === "operations" ? "operations" : publication.sender.name;
    line.textContent = `${from}: ${typeof said === "string" ? said : JSON.stringify(said)}`;
    document.querySelector("ul").append(line);
  });
  const there = new Promise((resolve) => subscription.on("subscribed", () => resolve()));
  client.connect();
  await there;
}
"""


class Listening:
    """One page. `heard` has the publications that it was given."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.heard: list[dict[str, Any]] = []

    @classmethod
    async def to(cls, browser: Browser, url: str, room: str) -> "Listening":
        """A page that is subscribed to the room of a gateway."""
        listening = cls(await browser.new_page(viewport={"width": 640, "height": 200}))
        await listening.page.expose_function("heard", lambda said: listening.heard.append(said))
        # Any page of the gateway will do: it is the origin that counts.
        await listening.page.goto(url)
        await listening.page.add_script_tag(path=Path(SOCKJS))
        await listening.page.add_script_tag(path=DIST / "roomline.umd.js")
        await listening.page.evaluate(_SCRIPT, [url, room])
        return listening

    async def hears(self, data: Any) -> list[dict[str, Any]]:
        """What was heard up to a publication with these data, that one not included; forgets it."""

        def end() -> int:
            places = [at for at, said in enumerate(self.heard) if said["data"] == data]
            return places[0] + 1 if places else 0

        async with asyncio.timeout(30):
            count = await until(end, within=30)
        found, self.heard[:] = self.heard[: count - 1], self.heard[count:]
        return found

"""docs/howto/deployment.rst: its nginx, its units' commands and its users, all of them running."""

import asyncio
import json
import re
import ssl
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest
from django.core.management import load_command_class
from playwright.async_api import expect
from roomline.client import Client, ConnectionFailed, Transport, open_connection
from roomline.config import load
from roomline.requests import DEAD_REQUESTS, REQUESTS_QUEUE
from roomline.tokens import Keyring
from roomline.wire import ROOMS_STREAM

from tests.docs.deployed import HOST, PAGE, Deployed
from tests.docs.pages import ROOT, table
from tests.docs.shop import KEYS, new_shop
from tests.docs.walkthrough import Terminal, step, steps
from tests.support.browser import chromium
from tests.support.rabbitmq import shared_node
from tests.support.tokens import connection_token

COUNT = 200
PUBLISHING = f"""
import time
from django_roomline import publish
for number in range({COUNT}):
    publish("staff.orders", number)
    time.sleep(0.05)

"""
"""Ten seconds long, and so longer than both restarts with a short drain."""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """All of the page but Django, which runs behind one of two servers."""
    folder = tmp_path_factory.mktemp("deployed")
    node = shared_node()
    if not node.running:
        node.start()
    deployed = Deployed(folder / "root", new_shop(folder), node)
    try:
        deployed.prepare()
        for shown in deployed.gateways:
            deployed.start_gateway(shown)
        for shown in deployed.gateways:
            deployed.wait_for_gateway(shown)
        deployed.start_nginx()
        yield deployed
    finally:
        deployed.clean_up()


@pytest.mark.slow
@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
async def test_the_page_is_live_behind(server: str, deployed: Deployed, tmp_path: Path):
    """Log in over TLS, follow a room, and save an order in the admin, as in the tutorial."""
    deployed.start_django(server)
    try:
        await see_it_live(deployed, tmp_path)
    finally:
        deployed.stop("shop")
    for transport in ("xhr-streaming", "xhr-polling"):
        await hears_django(deployed, transport)


async def see_it_live(deployed: Deployed, folder: Path) -> None:
    async with chromium() as browser:
        context = await browser.new_context(ignore_https_errors=True)
        page = await context.new_page()
        await page.goto(f"{deployed.origin}/")
        await page.fill("#id_username", "ann")
        await page.fill("#id_password", "open-sesame")
        await page.click("[type=submit]")
        await expect(page.get_by_role("heading", name="Live orders")).to_be_visible()
        await page.wait_for_function("client.subscription('staff.orders').state === 'subscribed'")
        assert await page.evaluate("client.transport") == "websocket"

        admin = await context.new_page()
        await admin.goto(f"{deployed.origin}/admin/orders/order/add/")
        await admin.select_option("#id_customer", label="ann")
        await admin.fill("#id_item", "Tea")
        await admin.screenshot(path=folder / "admin.png")
        await admin.click("[name=_save]")
        for room in ("#mine", "#staff"):
            await expect(page.locator(f"{room} li")).to_have_text(["Tea: new"], timeout=15_000)


async def hears_django(deployed: Deployed, transport: Transport) -> None:
    """A client of nginx, by another transport than the browser's, hears what Django publishes."""
    async with client(deployed, transport) as through:
        room = await through.subscribe("staff.orders")
        await asyncio.to_thread(
            deployed.shop.shell,
            f"from django_roomline import publish\npublish('staff.orders', '{transport}')\n",
        )
        async with asyncio.timeout(20):
            assert (await anext(aiter(room))).data == transport


@pytest.mark.slow
async def test_a_rolling_deploy_loses_nothing(deployed: Deployed):
    """While one gateway after the other is restarted, clients of three transports hear all."""
    lines = [line.strip() for line in step(PAGE, "deploy-rolling").text.splitlines()]
    ports = re.fullmatch(r"for port in ([\d ]+); do", lines[0])
    assert ports is not None
    assert ports[1].split() == list(deployed.gateways)
    assert (lines[1], lines[3]) == ("systemctl restart roomline@$port", "done")

    async def deploy() -> None:
        for shown, port in deployed.gateways.items():
            await asyncio.to_thread(deployed.stop, f"roomline@{shown}")
            deployed.start_gateway(shown)
            waiting = Terminal(deployed.root, port=port)
            await asyncio.to_thread(waiting.run, lines[2])

    transports: tuple[Transport, ...] = ("websocket", "xhr-streaming", "xhr-polling")
    subscribed = [asyncio.Event() for _ in transports]
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        listeners = [
            tasks.create_task(listen(deployed, transport, event))
            for transport, event in zip(transports, subscribed, strict=True)
        ]
        await asyncio.gather(*(event.wait() for event in subscribed))
        tasks.create_task(asyncio.to_thread(deployed.shop.shell, PUBLISHING))
        tasks.create_task(deploy())
    for listener in listeners:
        assert listener.result() == list(range(COUNT))


async def listen(deployed: Deployed, transport: Transport, subscribed: asyncio.Event) -> list[Any]:
    """All that is published, as one client hears it."""
    async with client(deployed, transport) as through:
        room = await through.subscribe("staff.orders")
        subscribed.set()
        data = []
        async for publication in room:
            data.append(publication.data)
            if len(data) == COUNT:
                return data
    return data


@pytest.mark.slow
async def test_who_may_come_in(deployed: Deployed):
    """The site's own pages may connect, by nginx's word on host and scheme; others may not."""
    site = f"https://127.0.0.1:{deployed.https}"
    await connect_from(deployed, site)
    for foreign in ("https://evil.example", site.replace("https", "http")):
        with pytest.raises(ConnectionFailed, match="403"):
            await connect_from(deployed, foreign)


async def connect_from(deployed: Deployed, origin: str) -> None:
    """Connect as a page of this origin does."""
    connection = await open_connection(
        f"https://127.0.0.1:{deployed.https}/live",
        headers={"Origin": origin},
        ssl_context=any_certificate(),
    )
    await connection.close()


@pytest.mark.slow
def test_http_leads_to_https(deployed: Deployed):
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    request = urllib.request.Request(f"http://127.0.0.1:{deployed.http}/orders/?a=b")
    request.add_header("Host", HOST)
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.build_opener(Stay).open(request, timeout=10)
    with answer.value:
        assert answer.value.headers["Location"] == f"https://{HOST}/orders/?a=b"


@pytest.mark.slow
def test_what_to_watch(deployed: Deployed):
    said = deployed.shop.terminal.run(deployed.translated(step(PAGE, "deploy-watch").text))
    assert '"ready":true' in said
    assert "roomline_ready 1.0" in said


@pytest.mark.slow
def test_the_users_can_do_no_more(deployed: Deployed):
    """Django's may publish and not read; neither may use names that are too long."""
    node = deployed.rabbitmq
    may = pika.BlockingConnection(pika.URLParameters(node.url("django", "django-password", "shop")))
    for attempt in (
        lambda channel: channel.queue_declare("mine"),
        lambda channel: channel.basic_get("rooms.log"),
        lambda channel: channel.basic_publish("", "rooms.log", b"", mandatory=True),
        lambda channel: channel.basic_publish("rooms", "staff." + "a" * 200, b"", mandatory=True),
    ):
        channel = may.channel()
        channel.confirm_delivery()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
            attempt(channel)
        assert refused.value.reply_code == 403
    may.close()


def test_what_is_installed_has_these_extras():
    words = step(PAGE, "deploy-install").text.split()
    for distribution, extra in (("gateway", "server"), ("djangoapp", "rabbitmq")):
        assert f"'./roomline/{distribution}[{extra}]'" in words
        project = tomllib.loads((ROOT / distribution / "pyproject.toml").read_text())["project"]
        assert extra in project["optional-dependencies"]


def test_the_units_start_what_there_is():
    shown = [each.path for each in steps(PAGE) if each.path.startswith("/etc/systemd")]
    names = {Path(path).stem.rstrip("@") for path in shown}
    started = step(PAGE, "deploy-start").text.split()[3:]
    assert {name.partition("@")[0] for name in started} == names | {"nginx"}


def test_a_drain_ends_before_systemd_loses_patience():
    unit = next(each for each in steps(PAGE) if each.path.endswith("roomline@.service"))
    found = re.search(r"TimeoutStopSec=(\d+)", unit.text)
    assert found is not None
    assert int(found[1]) > load({}, {}).drain


def test_programs_run_as_django_does():
    unit = ConfigParser(interpolation=None)
    unit.read_string(step(PAGE, "deploy-program").text)
    shop = next(each for each in steps(PAGE) if each.path.endswith("shop.service"))
    for name in ("User", "WorkingDirectory", "EnvironmentFile"):
        assert f"{name}={unit['Service'][name]}\n" in shop.text
    _, manage, command = unit["Service"]["ExecStart"].split()
    assert manage == "manage.py"
    for name, _, _ in table(PAGE, "deploy-programs"):
        load_command_class("django_roomline", command.replace("%i", name.strip("`")))


@pytest.mark.slow
def test_the_archiver_may_read_what_it_stores(deployed: Deployed):
    """With the rights for requests beside it, too."""
    node, shop = deployed.rabbitmq, deployed.shop
    allowed = step(PAGE, "deploy-archive-user").text
    both = re.search(r"``'(\^\(rooms.*\$)'``", (ROOT / PAGE).read_text())
    assert both is not None
    assert all(re.match(both[1], name) for name in (ROOMS_STREAM, REQUESTS_QUEUE, DEAD_REQUESTS))
    archiving = "python manage.py roomline_archive --once"
    archiving = f"DJANGO_ROOMLINE_OVERRIDE='{json.dumps({'ARCHIVE': {}})}' {archiving}"
    shop.shell("from django_roomline import publish\npublish('staff.orders', 'for ever')\n")
    try:
        for rights in (allowed, allowed.replace(r"^rooms\.log$", both[1])):
            node.run_tools(rights)
            shop.terminal.run(archiving)
        stored = shop.shell(
            "from django_roomline.models import ArchivedPublication as Stored\n"
            "print(Stored.objects.filter(publication__contains='for ever').count())\n"
        )
        assert stored.splitlines()[-1] == "1"
    finally:
        node.run_tools(step(PAGE, "deploy-users").text.splitlines()[4])


def client(deployed: Deployed, transport: Transport) -> Client:
    """A client of nginx that speaks as a page of the site does."""
    site = f"https://127.0.0.1:{deployed.https}"
    kid, secret = KEYS.split(":")
    keys = Keyring({kid: secret})
    return Client(
        f"{site}/live",
        transport=transport,
        token=lambda: connection_token("1", read=("staff.orders",), keys=keys),
        headers={"Origin": site},
        ssl_context=any_certificate(),
    )


def any_certificate() -> ssl.SSLContext:
    """The certificate is for the host's name, and programs here do not know where that is."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

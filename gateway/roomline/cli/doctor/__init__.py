"""``roomline doctor``: looks at what a gateway with these settings stands on, and changes nothing.

::

    broker       reachable, TLS, login      │ on RabbitMQ
    rights       what its user may, and what not
    topology     exchanges, streams, queues │ and with the console: bindings, policies
    file         rights, space, file system │ on the embedded log
    limits       sizes of publications, open files
    clock        against everybody who tells the time
    address      the public one, through whatever proxies are before the gateway
"""

import asyncio
from collections.abc import AsyncIterator

from roomline.cli.doctor import machine
from roomline.cli.doctor.address import look_at_address
from roomline.cli.doctor.console import Console, look_at_console
from roomline.cli.doctor.embedded import look_at_file
from roomline.cli.doctor.findings import Finding, as_json, as_text, ok, problem
from roomline.config import Settings
from roomline.from_settings import make_rabbitmq_settings


def doctor(settings: Settings, url: str | None, console_file: str | None, *, json: bool) -> int:
    """Print what is found; returns 1 if any of it is a problem, else 0."""
    return asyncio.run(_print_findings(settings, url, console_file, json))


async def _print_findings(
    settings: Settings, url: str | None, console_file: str | None, json: bool
) -> int:
    found = []
    async for finding in _examine(settings, url, console_file):
        found.append(finding)
        if not json:
            print(as_text(finding), flush=True)
    if json:
        print(as_json(found))
    return int(any(finding.status == "problem" for finding in found))


async def _examine(
    settings: Settings, url: str | None, console_file: str | None
) -> AsyncIterator[Finding]:
    console = None
    if console_file is not None:
        try:
            console = Console.from_file(console_file)
        except (OSError, ValueError) as error:
            yield problem(
                "console",
                f"the console's address cannot be read from {console_file}: {error}",
                "let the file hold http://USER:PASSWORD@HOST:PORT and nothing else",
            )
    kind, _, path = settings.broker.partition(":")
    if kind == "embedded":
        for finding in look_at_file(path, settings):
            yield finding
    else:
        async for finding in _examine_rabbitmq(settings, console):
            yield finding
    yield machine.look_at_open_files(settings)
    if url is not None:
        async for finding in look_at_address(url, settings):
            yield finding
    clocks = {
        "RabbitMQ's console": console and console.url,
        "the server behind the gateway": settings.upstream,
        "the public address": url,
    }
    async for finding in machine.look_at_clock({who: at for who, at in clocks.items() if at}):
        yield finding


async def _examine_rabbitmq(settings: Settings, console: Console | None) -> AsyncIterator[Finding]:
    # Here, so that nobody without a RabbitMQ pays for its client.
    from roomline.brokers.rabbitmq_settings import InvalidSetting
    from roomline.cli.doctor.rabbitmq import RabbitMQExamination

    try:
        rabbitmq = make_rabbitmq_settings(settings)
        examination = RabbitMQExamination(
            rabbitmq, requests=settings.requests, signals=bool(settings.cluster_address)
        )
    except InvalidSetting as error:
        yield problem("broker", str(error), "correct the setting")
        return
    async for finding in examination.run():
        yield finding
    if console is None:
        yield ok(
            "topology",
            "bindings, policies and replicas cannot be seen over AMQP: --console-file shows them",
        )
        return
    async for finding in look_at_console(console, rabbitmq, requests=settings.requests):
        yield finding

"""``manage.py runroomline``: Django's development server and a gateway node in one command."""

import json
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from django_roomline import conf
from django_roomline.addresses import Addresses, BadAddress, choose, parse
from django_roomline.processes import NotAnswering, ProgramEnded, Programs, Stopped

READY_SECONDS: Final = 60.0
PREFIX: Final = "/roomline"
"""The path of the gateway's endpoint."""


class Command(BaseCommand):
    """Start all, wait until the servers answer, and stop all when one ends or Ctrl-C comes."""

    help = (
        "Runs Django's development server together with a Roomline gateway node, and with an"
        " archiver if ROOMLINE has an ARCHIVE. For development only. It migrates nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command line."""
        parser.add_argument(
            "--addrport",
            metavar="[HOST:]PORT",
            help="where Django listens (default: 127.0.0.1, the first free port from 8000 on)",
        )
        parser.add_argument(
            "--gateway-port",
            type=int,
            metavar="PORT",
            help="where the gateway listens (default: the first free port from 8001 on)",
        )
        parser.add_argument(
            "--broker",
            metavar="ADDRESS",
            help="embedded:/path or amqp://host, in place of ROOMLINE['BROKER']; an address with a"
            " password belongs there",
        )
        parser.add_argument("--noreload", action="store_true", help="without Django's autoreloader")
        parser.add_argument(
            "--check", action="store_true", help="stop as soon as both servers have answered"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped; raises `CommandError` with what went wrong."""
        try:
            settings = conf.current()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        try:
            broker = _broker(options["broker"], settings)
            page = parse(options["addrport"]) if options["addrport"] else None
            addresses = choose(page, options["gateway_port"])
        except BadAddress as error:
            raise CommandError(str(error)) from None
        try:
            with Programs() as programs:
                programs.start(
                    "the gateway",
                    [sys.executable, "-m", "roomline", "serve"],
                    os.environ | _gateway_environment(settings, broker, addresses),
                )
                programs.start(
                    "Django",
                    _runserver(addresses, options["noreload"]),
                    os.environ | _django_environment(broker, addresses),
                )
                if settings.archive is not None:
                    programs.start(
                        "the archiver",
                        [*_manage(), "roomline_archive"],
                        os.environ | _django_environment(broker, addresses),
                    )
                self._announce(programs, addresses)
                if not options["check"]:
                    programs.wait()
        except Stopped:
            self.stdout.write("stopped")
        except (ProgramEnded, NotAnswering) as error:
            raise CommandError(f"{error}; all are stopped") from None

    def _announce(self, programs: Programs, addresses: Addresses) -> None:
        page, gateway, internal = addresses
        ready = f"{internal.url}/readyz"
        programs.wait_until_answering("the gateway", ready, lambda s: s == 200, READY_SECONDS)
        # Whether a project has a page at this path is its own affair.
        programs.wait_until_answering(
            "Django", f"{page.url}/", lambda s: 200 <= s < 500, READY_SECONDS
        )
        self.stdout.write(f"The gateway serves {gateway.url}{PREFIX}, its health is at {ready}")
        self.stdout.write(self.style.SUCCESS(f"Open {page.url}/ (Ctrl-C stops both servers)"))
        self.stdout.flush()


def _broker(address: str | None, settings: conf.Settings) -> str:
    if address is None:
        return settings.broker
    field = conf.FIELDS["BROKER"]
    try:
        broker: str = field.read(address)
    except ValueError as error:
        raise CommandError(f"--broker {error}. {field.accepted}") from None
    if urlsplit(broker).password is not None:
        raise CommandError(
            "--broker has a password in it, and every user of this machine can read the command"
            " lines of programs: put the address into BROKER in ROOMLINE, from an environment"
            " variable if you like. (The demo takes it from DEMO_BROKER.)"
        )
    return broker


def _gateway_environment(
    settings: conf.Settings, broker: str, addresses: Addresses
) -> dict[str, str]:
    values = {
        "BROKER": broker,
        "KEYS": ",".join(f"{kid}:{secret}" for kid, secret in settings.secrets.items()),
        "ORIGINS": ",".join(addresses.page.origins),
        "HOST": addresses.gateway.host,
        "PORT": str(addresses.gateway.port),
        "INTERNAL_HOST": addresses.internal.host,
        "INTERNAL_PORT": str(addresses.internal.port),
        "PREFIX": PREFIX,
        "DRAIN": "0",  # stopping is quick here: there is nowhere else to send clients
        **settings.gateway,
    }
    return {f"ROOMLINE_{name}": value for name, value in values.items()}


def _django_environment(broker: str, addresses: Addresses) -> dict[str, str]:
    override = {"BROKER": broker, "ENDPOINTS": [addresses.gateway.url + PREFIX]}
    return {
        conf.OVERRIDE_VARIABLE: json.dumps(override),
        # Django's own words about its development server; ours say it too.
        "DJANGO_RUNSERVER_HIDE_WARNING": "true",
    }


def _runserver(addresses: Addresses, noreload: bool) -> list[str]:
    reload = ["--noreload"] if noreload else []
    return [*_manage(), "runserver", str(addresses.page), *reload]


def _manage() -> list[str]:
    """How this project's commands are run."""
    script = Path(sys.argv[0])
    manage = [str(script)] if script.name == "manage.py" else ["-m", "django"]
    return [sys.executable, *manage]

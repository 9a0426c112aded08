"""``manage.py runroomline``: Django's development server behind a gateway node, in one command."""

import contextlib
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
from django_roomline.addresses import Addresses, BadAddress, alone, choose, parse
from django_roomline.processes import NotAnswering, ProgramEnded, Programs, Stopped
from django_roomline.requests import discover

READY_SECONDS: Final = 60.0
PREFIX: Final = "/roomline"
"""The path of the gateway's endpoint."""


class Command(BaseCommand):
    """Start all, wait until the servers answer, and stop all when one ends or Ctrl-C comes."""

    help = (
        "Runs Django's development server behind a Roomline gateway node, with an archiver if"
        " ROOMLINE has an ARCHIVE, and with a worker if an app has handlers. Pages and rooms are"
        " served at one address, and views may answer with hold and stream. For development only."
        " It migrates nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command line."""
        parser.add_argument(
            "--addrport",
            metavar="[HOST:]PORT",
            help="where browsers find the project, through the gateway (default: 127.0.0.1, the"
            " first free port from 8000 on)",
        )
        parser.add_argument(
            "--django-port",
            type=int,
            metavar="PORT",
            help="where Django itself listens, behind the gateway (default: the first free port"
            " from 8001 on)",
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
            # The ports are free until the servers have come up: nobody else chooses meanwhile.
            with contextlib.ExitStack() as choosing:
                choosing.enter_context(alone(self._say_that_it_waits))
                addresses = choose(page, options["django_port"])
                with Programs() as programs:
                    self._start(programs, settings, broker, addresses, options["noreload"])
                    self._announce(programs, addresses)
                    choosing.close()
                    if not options["check"]:
                        programs.wait()
        except BadAddress as error:
            raise CommandError(str(error)) from None
        except (Stopped, KeyboardInterrupt):
            self.stdout.write("stopped")
        except (ProgramEnded, NotAnswering) as error:
            raise CommandError(f"{error}; all are stopped") from None

    def _say_that_it_waits(self) -> None:
        self.stdout.write("waiting until another runroomline has chosen its ports")
        self.stdout.flush()

    def _start(
        self,
        programs: Programs,
        settings: conf.Settings,
        broker: str,
        addresses: Addresses,
        noreload: bool,
    ) -> None:
        handlers = bool(discover())
        environment = os.environ | _django_environment(broker, addresses)
        programs.start(
            "the gateway",
            [sys.executable, "-m", "roomline", "serve"],
            os.environ | _gateway_environment(settings, broker, addresses, handlers),
        )
        command = [*_manage(), "runserver", str(addresses.django)]
        programs.start("Django", command + ["--noreload"] * noreload, environment)
        if settings.archive is not None:
            command = [*_manage(), "roomline_archive", "--skip-checks"]
            programs.start("the archiver", command, environment, interactive=False)
        if handlers:
            command = [*_manage(), "roomline_worker", "--skip-checks"]
            command += ["--reload"] * (not noreload)
            programs.start("the worker", command, environment, interactive=False)

    def _announce(self, programs: Programs, addresses: Addresses) -> None:
        page = addresses.page
        ready = f"{addresses.internal.url}/readyz"
        programs.wait_until_answering("the gateway", ready, lambda s: s == 200, READY_SECONDS)
        # Whether a project has a page at this path, and what is wrong with it, is its own affair.
        programs.wait_until_answering(
            "Django", f"{addresses.django.url}/", lambda s: s > 0, READY_SECONDS
        )
        self.stdout.write(f"The gateway serves {page.url}{PREFIX}, its health is at {ready}")
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
    settings: conf.Settings, broker: str, addresses: Addresses, handlers: bool
) -> dict[str, str]:
    values = {
        "BROKER": broker,
        "KEYS": ",".join(f"{kid}:{secret}" for kid, secret in settings.secrets.items()),
        "ORIGINS": ",".join(addresses.page.origins),
        "HOST": addresses.page.host,
        "PORT": str(addresses.page.port),
        "UPSTREAM": addresses.django.url,
        "INTERNAL_HOST": addresses.internal.host,
        "INTERNAL_PORT": str(addresses.internal.port),
        "PREFIX": PREFIX,
        "REQUESTS": "true" if handlers else "false",
        "DRAIN": "0",  # stopping is quick here: there is nowhere else to send clients
        **settings.gateway,
    }
    return {f"ROOMLINE_{name}": value for name, value in values.items()}


def _django_environment(broker: str, addresses: Addresses) -> dict[str, str]:
    override = {"BROKER": broker, "ENDPOINTS": [addresses.page.url + PREFIX]}
    return {
        conf.OVERRIDE_VARIABLE: json.dumps(override),
        # Django's own words about its development server; ours say it too.
        "DJANGO_RUNSERVER_HIDE_WARNING": "true",
    }


def _manage() -> list[str]:
    """How this project's commands are run."""
    script = Path(sys.argv[0])
    manage = [str(script)] if script.name == "manage.py" else ["-m", "django"]
    return [sys.executable, *manage]

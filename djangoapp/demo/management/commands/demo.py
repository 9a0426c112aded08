"""``manage.py demo``: everything from an empty folder to a chat that runs, in one command."""

from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections

from demo.data import BROKER_VARIABLE


class Command(BaseCommand):
    """``demo_setup``, then ``runroomline``."""

    help = "Sets up the chat demo and runs it until Ctrl-C. --data FOLDER: where it keeps its data."
    # The tables that checks may look at are made by this command itself.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command line."""
        parser.add_argument(
            "--broker",
            metavar="ADDRESS",
            help=f"amqp://host; one with a password is taken from the variable {BROKER_VARIABLE}",
        )
        parser.add_argument(
            "--port", type=int, help="of the page (default: 8000 or the next free one)"
        )
        parser.add_argument(
            "--django-port",
            type=int,
            help="of Django, behind the gateway (default: 8001 or the next free one)",
        )
        parser.add_argument(
            "--check", action="store_true", help="stop as soon as both servers have answered"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Set up and run."""
        call_command("demo_setup", stdout=self.stdout)
        connections.close_all()
        self.stdout.flush()
        call_command(
            "runroomline",
            stdout=self.stdout,
            # A port alone: debugging pages and a superuser are for this machine only.
            addrport=None if options["port"] is None else str(options["port"]),
            django_port=options["django_port"],
            broker=options["broker"],
            check=options["check"],
            noreload=True,
        )

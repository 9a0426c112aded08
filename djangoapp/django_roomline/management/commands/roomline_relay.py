"""``manage.py roomline_relay``: publishes what is committed to the transactional outbox."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as DatabaseError

from django_roomline import conf
from django_roomline.exceptions import PublishError
from django_roomline.publishing import disconnect
from django_roomline.relay import LEASE_SECONDS, Outcome, Relay
from django_roomline.stopping import StopSignals

MIN_INTERVAL = 0.05
MAX_INTERVAL = 60.0


class Command(BaseCommand):
    """Relay until SIGTERM or Ctrl-C; any number of these may run, and one works at a time."""

    help = (
        "Publishes what publish() has written to the transactional outbox, in order, and deletes"
        " what the broker has confirmed. Start one on each machine: one works, the others stand by."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command line."""
        parser.add_argument(
            "--once",
            action="store_true",
            help="publish what waits now and end, with an error if some of it has to wait on",
        )
        parser.add_argument(
            "--interval",
            type=float,
            default=0.5,
            metavar="SECONDS",
            help="how often to look into an outbox that is empty (default: 0.5)",
        )
        parser.add_argument(
            "--using",
            default=DEFAULT_DB_ALIAS,
            choices=tuple(connections),
            help="the database whose outbox is meant (default: default)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped, or once; raises `CommandError` with what went wrong."""
        interval: float = options["interval"]
        if not MIN_INTERVAL <= interval <= MAX_INTERVAL:
            raise CommandError(
                f"--interval is {interval:g}: {MIN_INTERVAL:g} to {MAX_INTERVAL:g} seconds are"
                " accepted"
            )
        try:
            conf.current()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        with StopSignals() as stop:
            relay = Relay(options["using"], stop)
            try:
                if options["once"]:
                    self._once(relay, stop)
                else:
                    self.stdout.write(f"relaying the outbox of database {options['using']}")
                    self.stdout.flush()
                    relay.run(interval)
            finally:
                disconnect()
        self.stdout.write(f"{relay.published} published, {relay.refused} refused")

    def _once(self, relay: Relay, stop: StopSignals) -> None:
        """A relay that died a moment ago still has the lease: wait for as long as that may last."""
        deadline = time.monotonic() + LEASE_SECONDS + 1
        try:
            while (outcome := relay.drain()) is Outcome.STANDING_BY and not stop.asked:
                if time.monotonic() > deadline:
                    self.stdout.write("another relay is at work")
                    return
                stop.wait(0.2)
        except (PublishError, DatabaseError) as error:
            raise CommandError(f"the outbox waits: {error}") from None
        if outcome is Outcome.RETURNED:
            raise CommandError(
                "some of the outbox waits: RabbitMQ has no log for its namespace, see the errors"
                " in the table"
            )

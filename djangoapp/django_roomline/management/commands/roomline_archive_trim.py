"""``manage.py roomline_archive_trim``: deletes what the archive has kept for long enough."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from roomline.wire import InvalidName, check_room

from django_roomline.archive_store import trim
from django_roomline.stopping import StopSignals


class Command(BaseCommand):
    """Delete in batches, each a transaction of its own; SIGTERM ends it between two."""

    help = "Deletes publications from the archive that were archived so many days ago."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command line."""
        parser.add_argument("--days", type=float, required=True, help="how long they are kept")
        parser.add_argument("--room", help="of this room only")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete all that is older."""
        days, room = options["days"], options["room"]
        if not 0 <= days <= 36_500:
            raise CommandError(f"--days is {days:g}, accepted is a number from 0 to 36500")
        try:
            room = room and check_room(room)
        except InvalidName as error:
            raise CommandError(str(error)) from None
        deleted = 0
        with StopSignals() as stop:
            while not stop.asked and (batch := trim(days, room)):
                deleted += batch
        self.stdout.write(f"{deleted} publications deleted")

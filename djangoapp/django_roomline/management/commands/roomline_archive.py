"""``manage.py roomline_archive``: stores publications in the project's database."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from django_roomline import conf
from django_roomline.archive_store import AnotherArchiver
from django_roomline.archiver import archiver_of
from django_roomline.logreader import LogUnreadable
from django_roomline.stopping import StopSignals


class Command(BaseCommand):
    """Archive until SIGTERM or Ctrl-C. Of several, one moves on and the others wait."""

    help = "Stores what is published in the project's database, each publication once."
    # The database may come up later than this.
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command line."""
        parser.add_argument(
            "--once", action="store_true", help="store what is in the log now, and end"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped, or once; raises `CommandError` with what went wrong."""
        try:
            settings = conf.current()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        if settings.archive is None:
            raise CommandError("ROOMLINE has no ARCHIVE: with {} there is one")
        with StopSignals() as stop:
            archiver = archiver_of(settings, stop)
            try:
                if options["once"]:
                    archiver.follow(once=True)
                else:
                    self.stdout.write("archiving")
                    self.stdout.flush()
                    archiver.run()
            except (LogUnreadable, AnotherArchiver, DatabaseError) as error:
                raise CommandError(str(error)) from error
            finally:
                archiver.close()
        self.stdout.write(f"{archiver.stored} publications archived")

"""``manage.py roomline_worker``: runs the handlers of clients' requests."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from django_roomline import conf, reloading
from django_roomline.requests import discover
from django_roomline.sources import SourceUnavailable, graveyard_of, source_of
from django_roomline.stopping import StopSignals
from django_roomline.worker import Stop, Worker

MAX_THREADS = 100


class _Never:
    """Does not stop the worker: it ends with its process."""

    asked = False


class Command(BaseCommand):
    """Work until SIGTERM or Ctrl-C; any number of these may run and share the load."""

    help = (
        "Answers the requests of clients with the functions that apps have registered with"
        " @handles in their handlers modules. On a stop signal it takes nothing more, and ends"
        " when what it has begun is done; the second signal ends it at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command line."""
        parser.add_argument(
            "--threads",
            type=int,
            default=4,
            metavar="N",
            help="how many requests are carried out at once, each with a connection to the"
            " database (default: 4)",
        )
        parser.add_argument(
            "--reload", action="store_true", help="for development: begin anew when code changes"
        )
        parser.add_argument(
            "--dead", action="store_true", help="list the requests whose handlers failed, and end"
        )
        parser.add_argument(
            "--requeue-dead",
            action="store_true",
            help="have them carried out after all, and end; nobody waits for the answers",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped; raises `CommandError` with what went wrong."""
        threads: int = options["threads"]
        if not 1 <= threads <= MAX_THREADS:
            raise CommandError(f"--threads is {threads}: 1 to {MAX_THREADS} are accepted")
        try:
            settings = conf.current()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        try:
            if options["dead"]:
                self._list(settings)
            elif options["requeue_dead"]:
                count = graveyard_of(settings).requeue_dead()
                self.stdout.write(f"{count} put back")
            elif options["reload"]:
                reloading.run(self._work, settings, threads, _Never())
            else:
                with StopSignals() as stop:
                    self._work(settings, threads, stop)
        except SourceUnavailable as error:
            raise CommandError(str(error)) from None

    def _work(self, settings: conf.Settings, threads: int, stop: Stop) -> None:
        names = sorted(discover())
        if not names:
            raise CommandError("no app has a handlers module that registers anything with @handles")
        worker = Worker(source_of(settings, threads), stop, threads)
        self.stdout.write(f"answering {', '.join(names)} in {threads} threads")
        self.stdout.flush()
        worker.run()
        self.stdout.write(f"{worker.answered} answered, {worker.failed} failed")

    def _list(self, settings: conf.Settings) -> None:
        for dead in graveyard_of(settings).dead():
            request = dead.request
            moment = "-"
            if dead.died is not None:
                moment = f"{datetime.fromtimestamp(dead.died // 1000, UTC):%Y-%m-%d %H:%M:%S}"
            sender = request.sender.id if request.sender else "-"
            data = request.body.decode(errors="replace")
            self.stdout.write(f"{moment} {request.name} {request.id} from {sender}: {data}")

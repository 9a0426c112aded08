"""``manage.py roomline_publish``: one publication from a shell, a timer or a deployment."""

from argparse import ArgumentParser
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from roomline.commandline import data_from, room_from
from roomline.wire import KINDS

from django_roomline.exceptions import PublishError, PublishUnconfirmed
from django_roomline.publishing import disconnect, publish

NOT_PUBLISHED: Final = 1
WRONG: Final = 2
UNKNOWN: Final = 3


class Command(BaseCommand):
    """Publish at once, confirmed; the exit statuses are those of ``roomline publish``."""

    help = (
        "Publishes JSON data to a room. Exit status: 0 published; 1 not published; 2 wrong"
        " arguments or settings; 3 it may or may not have been published."
    )

    # What is wrong with the settings is said below, with its own exit status.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command line."""
        parser.add_argument("room", metavar="ROOM")
        parser.add_argument("data", metavar="DATA", help="JSON, or - to read standard input")
        parser.add_argument(
            "--text", action="store_true", help="DATA is text as it stands, and not JSON"
        )
        parser.add_argument("--kind", choices=KINDS, default="message", help="default: message")
        parser.add_argument(
            "--key", help="published again with the same key, subscribers see it once"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Publish; raises `CommandError` with what went wrong."""
        try:
            publish(
                room_from(options["room"]),
                data_from(options["data"], text=options["text"]),
                kind=options["kind"],
                key=options["key"],
                on_commit=False,
            )
            disconnect()
        except PublishUnconfirmed as error:
            raise CommandError(
                f"it may or may not have been published: {error}", returncode=UNKNOWN
            ) from None
        except PublishError as error:
            raise CommandError(f"not published: {error}", returncode=NOT_PUBLISHED) from None
        except (ValueError, ImproperlyConfigured) as error:
            raise CommandError(str(error), returncode=WRONG) from None

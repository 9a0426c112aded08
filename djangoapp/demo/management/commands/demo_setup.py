"""``manage.py demo_setup``: the demo's database, rooms and user; run as often as you like."""

from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django_roomline.models import Audience, Room

USER: Final = "demo"

ROOMS: Final = (
    ("chat.lobby", "Lobby", Audience.EVERYONE, Audience.EVERYONE),
    ("chat.random", "Random", Audience.EVERYONE, Audience.EVERYONE),
    ("chat.help", "Help", Audience.EVERYONE, Audience.AUTHENTICATED),
    ("chat.members", "Members", Audience.AUTHENTICATED, Audience.AUTHENTICATED),
)
"""Name, title, who may read, who may write."""


class Command(BaseCommand):
    """Migrate, and make what is missing; what somebody changed since stays as it is."""

    help = "Migrates the demo's database and makes its rooms and its user."

    def handle(self, *args: Any, **options: Any) -> None:
        """Do all of it, and print how to log in."""
        call_command("migrate", verbosity=0)
        for name, title, readers, writers in ROOMS:
            Room.objects.get_or_create(
                name=name, defaults={"title": title, "readers": readers, "writers": writers}
            )
        user, created = get_user_model().objects.get_or_create(
            username=USER, defaults={"is_staff": True, "is_superuser": True}
        )
        if created:
            user.set_password(settings.DEMO_PASSWORD)
            user.save()
        self.stdout.write(
            f"Log in as {USER} with password {settings.DEMO_PASSWORD}, or chat as a guest."
        )

"""The app's registration with Django."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RoomlineConfig(AppConfig):
    """Rooms and who may use them."""

    name = "django_roomline"
    verbose_name = _("Roomline")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks and the events, and follow what takes rights away."""
        from django_roomline import (
            builtin_events,
            checks,  # noqa: F401 - importing registers them
            revocations,
        )

        builtin_events.register()
        revocations.connect()

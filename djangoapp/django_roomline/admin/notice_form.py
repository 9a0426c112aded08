"""The form of a notice: to whom, and what it says."""

import uuid
from typing import Any, Final

from django import forms
from django.contrib.admin.widgets import AdminRadioSelect, AdminTextareaWidget, AdminTextInputWidget
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.translation import gettext_lazy as _
from roomline.wire import InvalidName, check_room, namespace_of, user_room

from django_roomline.identity import sender_of
from django_roomline.models import (
    ADMIN_NAMESPACE,
    EVERYBODY,
    MAX_NOTICE,
    RESERVED_NAMESPACES,
    Room,
)

MAX_ROOMS: Final = 100
"""Rooms that one notice is sent to: each takes a confirmed publication."""


class Target(models.TextChoices):
    """Whom a notice is for."""

    EVERYBODY = "everybody", _("everybody")
    ROOMS = "rooms", _("rooms")
    USER = "user", _("one user")


class NoticeForm(forms.Form):
    """After `is_valid`, `rooms` are those to publish to and `unknown` those of no `Room`."""

    target = forms.ChoiceField(
        label=_("To"),
        choices=Target.choices,
        initial=Target.EVERYBODY,
        widget=AdminRadioSelect,
    )
    names = forms.CharField(
        label=_("Rooms"),
        required=False,
        widget=AdminTextareaWidget(attrs={"rows": 4, "spellcheck": "false"}),
        help_text=_("Names of rooms, each on a line of its own."),
    )
    username = forms.CharField(
        label=_("User"),
        required=False,
        max_length=255,
        widget=AdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("The name that the user logs in with."),
    )
    text = forms.CharField(
        label=_("Text"), max_length=MAX_NOTICE, widget=AdminTextareaWidget(attrs={"rows": 5})
    )
    nonce = forms.RegexField(regex=r"\A[0-9a-f]{32}\Z", widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["nonce"].initial = uuid.uuid4().hex
        self.rooms: list[str] = []
        self.unknown: list[str] = []

    def clean(self) -> dict[str, Any]:
        """Find the rooms that are meant."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        match cleaned.get("target"):
            case Target.EVERYBODY:
                self.rooms = [EVERYBODY]
            case Target.ROOMS:
                self._find_rooms(cleaned.get("names", ""))
            case Target.USER:
                self._find_user(cleaned.get("username", ""))
        return cleaned

    def _find_rooms(self, names: str) -> None:
        rooms = list(dict.fromkeys(names.split()))
        if not rooms:
            self.add_error("names", _("Name at least one room."))
        if len(rooms) > MAX_ROOMS:
            text = _("These are %(count)d rooms; at most %(most)d are accepted.")
            self.add_error("names", text % {"count": len(rooms), "most": MAX_ROOMS})
            return
        for room in rooms:
            try:
                if namespace_of(check_room(room)) in (*RESERVED_NAMESPACES, ADMIN_NAMESPACE):
                    text = _("No notice can be sent to %(room)s.")
                    self.add_error("names", text % {"room": room})
            except InvalidName:
                text = _("“%(room)s” is not the name of a room.")
                self.add_error("names", text % {"room": room[:60]})
        known = set(Room.objects.filter(name__in=rooms).values_list("name", flat=True))
        self.unknown = [room for room in rooms if room not in known and room != EVERYBODY]
        self.rooms = rooms

    def _find_user(self, username: str) -> None:
        users = get_user_model()
        try:
            user = users._default_manager.get_by_natural_key(username)
            self.rooms = [user_room(sender_of(user).id)]
        except users.DoesNotExist:
            self.add_error("username", _("There is no user of this name."))
        except ImproperlyConfigured as error:
            self.add_error("username", str(error))

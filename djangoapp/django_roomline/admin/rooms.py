"""Rooms in the admin."""

from typing import TYPE_CHECKING

from django.contrib import admin

from django_roomline.models import Room

if TYPE_CHECKING:  # generic for type checkers only
    ModelAdmin = admin.ModelAdmin[Room]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(Room)
class RoomAdmin(ModelAdmin):
    """Rooms are found by name or title; the list shows who may use them."""

    list_display = ("name", "title", "readers", "writers")
    list_filter = ("readers", "writers")
    search_fields = ("name", "title")

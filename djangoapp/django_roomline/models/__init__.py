"""The app's tables, one module for each thing that a project keeps in its database."""

from django_roomline.models.rooms import (
    RESERVED_NAMESPACES,
    Action,
    AnyUser,
    Audience,
    Room,
    validate_room_name,
)

__all__ = [
    "RESERVED_NAMESPACES",
    "Action",
    "AnyUser",
    "Audience",
    "Room",
    "validate_room_name",
]

"""The app's tables, one module for each thing that a project keeps in its database."""

from django_roomline.models.archive import (
    NOTHING,
    ArchivedPublication,
    ArchiveGap,
    ArchiveProgress,
)
from django_roomline.models.leases import DatabaseTime, Lease
from django_roomline.models.outbox import OutboxMessage
from django_roomline.models.rooms import (
    OBJECTS_NAMESPACE,
    RESERVED_NAMESPACES,
    Action,
    AnyUser,
    Audience,
    Room,
    validate_room_name,
)

__all__ = [
    "NOTHING",
    "OBJECTS_NAMESPACE",
    "RESERVED_NAMESPACES",
    "Action",
    "AnyUser",
    "ArchiveGap",
    "ArchiveProgress",
    "ArchivedPublication",
    "Audience",
    "DatabaseTime",
    "Lease",
    "OutboxMessage",
    "Room",
    "validate_room_name",
]

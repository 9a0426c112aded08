"""The app's tables, one module for each thing that a project keeps in its database."""

from django_roomline.models.archive import (
    NOTHING,
    ArchivedPublication,
    ArchiveGap,
    ArchiveProgress,
)
from django_roomline.models.generations import Generation
from django_roomline.models.leases import DatabaseTime, Lease
from django_roomline.models.members import AnyUser, Member
from django_roomline.models.notices import EVERYBODY, MAX_NOTICE, Notice
from django_roomline.models.outbox import OutboxMessage
from django_roomline.models.rooms import (
    ADMIN_NAMESPACE,
    NO_RIGHTS,
    OBJECTS_NAMESPACE,
    RESERVED_NAMESPACES,
    Action,
    Audience,
    Rights,
    Room,
    validate_room_name,
)

__all__ = [
    "ADMIN_NAMESPACE",
    "EVERYBODY",
    "MAX_NOTICE",
    "NOTHING",
    "NO_RIGHTS",
    "OBJECTS_NAMESPACE",
    "RESERVED_NAMESPACES",
    "Action",
    "AnyUser",
    "ArchiveGap",
    "ArchiveProgress",
    "ArchivedPublication",
    "Audience",
    "DatabaseTime",
    "Generation",
    "Lease",
    "Member",
    "Notice",
    "OutboxMessage",
    "Rights",
    "Room",
    "validate_room_name",
]

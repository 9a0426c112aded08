"""What the admin shows of Roomline; importing this registers it."""

from django_roomline.admin.archive import (
    ArchivedPublicationAdmin,
    ArchiveGapAdmin,
    ArchiveProgressAdmin,
)
from django_roomline.admin.notices import NoticeAdmin
from django_roomline.admin.outbox import OutboxMessageAdmin
from django_roomline.admin.rooms import RoomAdmin

__all__ = [
    "ArchiveGapAdmin",
    "ArchiveProgressAdmin",
    "ArchivedPublicationAdmin",
    "NoticeAdmin",
    "OutboxMessageAdmin",
    "RoomAdmin",
]

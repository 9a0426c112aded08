"""What the admin shows of Roomline; importing this registers it."""

from django_roomline.admin.outbox import OutboxMessageAdmin
from django_roomline.admin.rooms import RoomAdmin

__all__ = ["OutboxMessageAdmin", "RoomAdmin"]

"""Realtime rooms for Django projects, served by a Roomline gateway."""

from django_roomline.exceptions import (
    BrokerUnavailable,
    PublicationsFailed,
    PublishError,
    PublishRejected,
    PublishReturned,
    PublishUnconfirmed,
)
from django_roomline.held import hold, position_of, stream
from django_roomline.objects import RoomModelMixin, room_of
from django_roomline.publishing import apublish, publish

__version__ = "0.1.0"

__all__ = [
    "BrokerUnavailable",
    "PublicationsFailed",
    "PublishError",
    "PublishRejected",
    "PublishReturned",
    "PublishUnconfirmed",
    "RoomModelMixin",
    "apublish",
    "hold",
    "position_of",
    "publish",
    "room_of",
    "stream",
]

"""Realtime rooms for Django projects, served by a Roomline gateway."""

from django_roomline.exceptions import (
    BrokerUnavailable,
    PublicationsFailed,
    PublishError,
    PublishRejected,
    PublishUnconfirmed,
)
from django_roomline.publishing import publish

__version__ = "0.1.0"

__all__ = [
    "BrokerUnavailable",
    "PublicationsFailed",
    "PublishError",
    "PublishRejected",
    "PublishUnconfirmed",
    "publish",
]

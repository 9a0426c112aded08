"""Realtime rooms for Django projects, served by a Roomline gateway."""

from django_roomline.exceptions import (
    BrokerUnavailable,
    PublishError,
    PublishRejected,
    PublishUnconfirmed,
)
from django_roomline.publishing import publish

__version__ = "0.1.0"

__all__ = [
    "BrokerUnavailable",
    "PublishError",
    "PublishRejected",
    "PublishUnconfirmed",
    "publish",
]

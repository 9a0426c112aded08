"""Models with rooms, for the tests of rooms of objects."""

import uuid
from typing import Any

from django.contrib.auth.models import User
from django.db import models
from django_roomline import RoomModelMixin


class Order(RoomModelMixin, models.Model):
    """Its customer reads its room and staff writes there, too."""

    customer = models.ForeignKey(User, models.CASCADE, null=True)

    def room_allows(self, user: Any, action: str) -> bool:
        return bool(user.is_staff) or (action == "read" and user.pk == self.customer_id)


class ProxyOrder(Order):
    """The same objects under another name."""

    class Meta:
        proxy = True


class ExpressOrder(Order):
    """A table of its own, whose primary key is that of the order."""


class WriteOnly(RoomModelMixin, models.Model):
    """A rule that makes no sense: write, and not read."""

    def room_allows(self, user: Any, action: str) -> bool:
        return action == "write"


# For type checkers the mixin is a model, which cannot stand last; Python does not mind.
class Closed(models.Model, RoomModelMixin):  # type: ignore[misc, metaclass]
    """Says nothing about its room; the mixin stands last."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)


class Named(RoomModelMixin, models.Model):
    """A primary key that people choose."""

    name = models.CharField(max_length=100, primary_key=True)


class Kept(models.Manager[Any]):
    """Without what was put away."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(hidden=False)


class Soft(RoomModelMixin, models.Model):
    """What is put away stays in the table, and its manager does not find it."""

    hidden = models.BooleanField(default=False)
    objects = Kept()

    def room_allows(self, user: Any, action: str) -> bool:
        return True

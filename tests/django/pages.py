"""The page of the project whose programs tests start: it publishes, and rolls back."""

import os

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django_roomline import publish


def publish_number(request: HttpRequest, number: int) -> HttpResponse:
    """Publish a number with a transaction, and another one with what is rolled back."""
    with transaction.atomic():
        publish("chat.0", number)
        with transaction.atomic():
            publish("chat.0", "rolled back")
            transaction.set_rollback(True)
    return HttpResponse(str(os.getpid()))


urlpatterns = [path("publish/<int:number>", publish_number)]

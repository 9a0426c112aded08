"""For ``celery worker``: a task that publishes, in a process that forks after it has published."""

import json
import os
from typing import Any

import celery
import django
from celery.signals import worker_init

django.setup()

from django.db import transaction  # noqa: E402
from django_roomline import publish  # noqa: E402

app = celery.Celery("tests", broker=os.environ["CELERY_BROKER"])
app.conf.broker_transport_options = json.loads(os.environ["CELERY_OPTIONS"])
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = False


@app.task(acks_late=True)
def publish_number(number: int) -> None:
    """Publish a number with a transaction, under a key, because tasks may run twice."""
    with transaction.atomic():
        publish("chat.0", number, key=f"task-{number}")
        with transaction.atomic():
            publish("chat.0", "rolled back")
            transaction.set_rollback(True)


@worker_init.connect
def _before_the_fork(**_: Any) -> None:
    publish("chat.0", "before the fork", on_commit=False)

"""Checks of the ``ROOMLINE`` setting and of what its values need to be installed."""

import importlib.util
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning, register
from roomline.wire import shorten

from django_roomline import conf, events
from django_roomline.conf_values import EMBEDDED


@register
def check_setting(**_: Any) -> Sequence[CheckMessage]:
    """``roomline.E001`` and following: the setting itself, one id for each key."""
    _, problems = conf.read(conf.raw())
    return [Error(problem.text, hint=problem.hint, id=problem.check) for problem in problems]


@register
def check_surroundings(**_: Any) -> Sequence[CheckMessage]:
    """``roomline.E010`` and ``roomline.E011``: what valid values need to work."""
    values, _problems = conf.read(conf.raw())
    messages: list[CheckMessage] = []
    broker = values.get("BROKER", EMBEDDED)
    if not broker.startswith(EMBEDDED) and importlib.util.find_spec("pika") is None:
        messages.append(
            Error(
                "BROKER in ROOMLINE is a RabbitMQ, and pika is not installed.",
                hint="Install django-roomline[rabbitmq].",
                id="roomline.E010",
            )
        )
    if values.get("GUESTS") and not apps.is_installed("django.contrib.sessions"):
        messages.append(
            Error(
                "GUESTS in ROOMLINE is True, and django.contrib.sessions is not installed.",
                hint="Guests are remembered in sessions: add the app and its middleware.",
                id="roomline.E011",
            )
        )
    return messages


@register
def check_events(**_: Any) -> Sequence[CheckMessage]:
    """``roomline.W003``: events that the setting names and no app has."""
    values, _problems = conf.read(conf.raw())
    return [
        Warning(
            f"EVENTS in ROOMLINE names {shorten(name)}, which is no event.",
            hint=f"Known are {', '.join(events.known())}.",
            id="roomline.W003",
        )
        for name in values.get("EVENTS", ())
        if name not in events.known()
    ]

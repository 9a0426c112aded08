"""Checks of settings that work and are not safe. Django itself warns of ``DEBUG``."""

import ipaddress
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import Error as DatabaseError

from django_roomline import conf
from django_roomline.models import Audience, Room

MIN_DIFFERENT: Final = 8
"""Characters that differ in a secret: 32 random bytes as hex have 14 of the 16 or so."""

EXAMPLES: Final = ("put-32-or-more-random-characters-here", "django-insecure-")
"""How secrets begin that everybody can read: in our pages, and where Django makes a project."""

_SECRETS_HINT: Final = (
    "Make one with: python -c 'import secrets; print(secrets.token_hex(32))', and give the same"
    " one to the gateway."
)


@register(Tags.security)
def check_security(**_: Any) -> Sequence[CheckMessage]:
    """``roomline.W004`` and ``roomline.W005``: what is wrong on any machine."""
    values, _problems = conf.read(conf.raw())
    messages: list[CheckMessage] = []
    https = settings.SECURE_SSL_REDIRECT or settings.SESSION_COOKIE_SECURE
    for endpoint in values.get("ENDPOINTS", ()):
        if https and endpoint.startswith("http:") and not _is_loopback(endpoint):
            messages.append(
                Warning(
                    f"The pages come over https, and the endpoint {endpoint} is http: browsers"
                    " will not connect.",
                    hint="Put the gateway behind https and write https:// in ENDPOINTS.",
                    id="roomline.W004",
                )
            )
    ours = {settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS}
    for kid, secret in values.get("KEYS", {}).items():
        if secret in ours:
            messages.append(
                Warning(
                    f"The secret of {kid} in KEYS is a SECRET_KEY: who runs a gateway could sign"
                    " sessions and password resets of this project.",
                    hint=_SECRETS_HINT,
                    id="roomline.W005",
                )
            )
    return messages


@register(Tags.security, deploy=True)
def check_deployment(**_: Any) -> Sequence[CheckMessage]:
    """``roomline.W006`` to ``roomline.W008``: what does for development only."""
    values, _problems = conf.read(conf.raw())
    messages: list[CheckMessage] = [
        Warning(
            f"The endpoint {endpoint} is on the loopback interface: other machines' browsers will"
            " not find it.",
            hint="Write the gateway's public address, or a path such as /roomline, in ENDPOINTS.",
            id="roomline.W006",
        )
        for endpoint in values.get("ENDPOINTS", ())
        if _is_loopback(endpoint)
    ]
    messages += [
        Warning(
            f"The secret of {kid} in KEYS is easy to guess: who guesses it can be any user.",
            hint=_SECRETS_HINT,
            id="roomline.W007",
        )
        for kid, secret in values.get("KEYS", {}).items()
        if len(set(secret)) < MIN_DIFFERENT or secret.startswith(EXAMPLES)
    ]
    broker = values.get("BROKER", "")
    if broker.startswith("amqp:") and not _is_loopback(broker):
        messages.append(
            Warning(
                f"BROKER in ROOMLINE is amqp to {urlsplit(broker).hostname}: its password and all"
                " publications cross the network as they are.",
                hint="Use amqps. Where something else encrypts that network, silence this check.",
                id="roomline.W008",
            )
        )
    return messages


@register(Tags.security, deploy=True)
def check_rooms(**_: Any) -> Sequence[CheckMessage]:
    """``roomline.W009``: rooms in which anybody on the Internet may write."""
    values, _problems = conf.read(conf.raw())
    if not values.get("GUESTS"):
        return []
    everyone = {"readers": Audience.EVERYONE, "writers": Audience.EVERYONE}
    try:
        rooms = list(Room.objects.filter(**everyone).values_list("name", flat=True)[:6])
    except DatabaseError:
        return []  # not there yet, or not migrated
    if not rooms:
        return []
    named = ", ".join(rooms[:5]) + (", ..." if len(rooms) > 5 else "")
    return [
        Warning(
            f"GUESTS in ROOMLINE is True, and everyone may write in {named}: visitors without an"
            " account can, too.",
            hint="Let users who are logged in write, or silence this check if it is meant so.",
            id="roomline.W009",
        )
    ]


def _is_loopback(address: str) -> bool:
    """Whether an address is one of this machine alone; a path is none."""
    host = urlsplit(address).hostname
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

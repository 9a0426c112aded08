"""Checks that go and look: whether the broker takes publications, and gateways answer in time.

They are part of ``check --deploy`` only. Each takes some seconds at most, and none at all if what
it could say is silenced.
"""

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import Future
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from roomline.sqlitelog import LogError, SqliteLog
from roomline.wire import Envelope, shorten

from django_roomline import conf
from django_roomline.exceptions import PublishError, PublishRejected, PublishReturned
from django_roomline.publishing import disconnect, send

NOWHERE: Final = "roomline-check"
"""A room of no namespace: RabbitMQ checks whether we may publish, and returns it."""
ANSWER_SECONDS: Final = 5.0
"""For all gateways together."""
MAX_SKEW_SECONDS: Final = 10.0
"""Gateways forgive 30 (`roomline.tokens.LEEWAY`); a clock that nobody sets gets there."""

_MAX_INFO = 4096


@register(deploy=True)
def check_broker(**_: Any) -> Sequence[CheckMessage]:
    """``roomline.E020`` and ``roomline.E021``: the broker is not there, or refuses us."""
    if _silenced("roomline.E020", "roomline.E021"):
        return []
    try:
        current = conf.current()
    except ImproperlyConfigured:
        return []  # another check says what is wrong
    if current.embedded_path is not None:
        problem = _problem_of_file(Path(current.embedded_path), current.publish_timeout)
        return [] if problem is None else [_unreachable(problem)]
    try:
        send(Envelope(NOWHERE, b"null"), current.publish_timeout)
    except PublishReturned:
        return []
    except PublishRejected as error:
        if f"topic '{NOWHERE}'" in str(error):
            return []  # it may write the exchange, and not any room: as it should be
        return [
            Error(
                f"The user in BROKER may not publish: {error}",
                hint="It needs the permission to write the exchange rooms.",
                id="roomline.E021",
            )
        ]
    except PublishError as error:
        return [_unreachable(str(error))]
    finally:
        disconnect()
    return []


def _unreachable(problem: str) -> Error:
    return Error(
        f"The broker takes no publications: {problem}",
        hint="Is BROKER right, and does it run? The exchange rooms is made by the first gateway.",
        id="roomline.E020",
    )


def _problem_of_file(path: Path, timeout: float) -> str | None:
    """Why nobody can append to the embedded log, which is not made if it is not there yet."""
    if not path.exists():
        if os.access(path.parent, os.W_OK | os.X_OK):
            return None
        return f"{path.parent} is not a folder that this user may write"
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
        return f"this user may not write {path}, or its folder"
    try:
        SqliteLog(path, timeout=timeout).close()
    except LogError as error:
        return str(error)
    return None


@register(deploy=True)
def check_gateways(**_: Any) -> Sequence[CheckMessage]:
    """``roomline.W010`` to ``roomline.W012``: no answer, no gateway, or another time.

    Endpoints that are a path only are not asked: the host is not known here.
    """
    if _silenced("roomline.W010", "roomline.W011", "roomline.W012"):
        return []
    values, _problems = conf.read(conf.raw())
    asked = [_ask(endpoint) for endpoint in values.get("ENDPOINTS", ()) if "://" in endpoint]
    deadline = time.monotonic() + ANSWER_SECONDS
    messages: list[CheckMessage] = []
    for endpoint, answer in asked:
        try:
            found = answer.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            messages.append(_no_answer(endpoint, f"nothing came in {ANSWER_SECONDS:g} seconds"))
        except Exception as error:  # what the network, TLS or a strange header make of it
            messages.append(_no_answer(endpoint, str(getattr(error, "reason", error))))
        else:
            messages += _judged(endpoint, found)
    return messages


class _Answer(NamedTuple):
    """What an endpoint says of itself. `ahead`: its clock less ours, in seconds."""

    body: bytes
    ahead: float | None
    uncertain: float


def _ask(endpoint: str) -> tuple[str, "Future[_Answer]"]:
    """In a thread of its own: neither names nor answers that drip in have a time-out."""
    answer: Future[_Answer] = Future()

    def get() -> None:
        try:
            before = time.time()
            with urllib.request.urlopen(f"{endpoint}/info", timeout=ANSWER_SECONDS) as response:  # noqa: S310 - http and https are all that ENDPOINTS takes
                half = (time.time() - before) / 2
                date = response.headers.get("Date")
                # The header has whole seconds, so that on average it is half of one late.
                said = None if date is None else parsedate_to_datetime(date).timestamp() + 0.5
                ahead = None if said is None else said - before - half
                answer.set_result(_Answer(response.read(_MAX_INFO), ahead, half + 0.5))
        except urllib.error.HTTPError as error:
            with error:
                answer.set_result(_Answer(f"HTTP {error.code}".encode(), None, 0))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=get, daemon=True).start()
    return endpoint, answer


def _no_answer(endpoint: str, reason: str) -> Warning:
    return Warning(
        f"The gateway at {endpoint} does not answer: {reason}",
        hint="Is ENDPOINTS right, and does the gateway run? If only browsers can reach it, silence"
        " this check.",
        id="roomline.W010",
    )


def _judged(endpoint: str, answer: _Answer) -> list[CheckMessage]:
    try:
        info = json.loads(answer.body)
    except ValueError:
        info = None
    if not isinstance(info, dict) or "websocket" not in info:
        return [
            Warning(
                f"{endpoint} is not a gateway's endpoint: {endpoint}/info says"
                f" {shorten(answer.body.decode(errors='replace'))}.",
                hint="The path in ENDPOINTS is the gateway's prefix, /roomline unless it is set.",
                id="roomline.W011",
            )
        ]
    ahead = answer.ahead
    if ahead is None or abs(ahead) - answer.uncertain <= MAX_SKEW_SECONDS:
        return []
    return [
        Warning(
            f"The clock at {endpoint} is {abs(ahead):.0f} seconds"
            f" {'ahead of' if ahead > 0 else 'behind'} ours.",
            hint="Tokens will be refused, or end early. Let both machines keep time with NTP.",
            id="roomline.W012",
        )
    ]


def _silenced(*ids: str) -> bool:
    return set(ids) <= set(settings.SILENCED_SYSTEM_CHECKS)

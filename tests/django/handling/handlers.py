"""Handlers of the project whose workers tests start, found as those of any app are."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django_roomline.requests import Request, RequestRefused, handles


@handles("echo")
def echo(request: Request) -> Any:
    return {"data": request.data, "user": request.user.username, "name": request.name}


@handles("anybody", authenticated=False)
def anybody(request: Request) -> Any:
    return [request.user.is_authenticated, request.sender and list(request.sender)]


@handles("rename", permission="auth.change_user")
def rename(request: Request) -> Any:
    request.user.first_name = request.data
    request.user.save()
    return User.objects.get(pk=request.user.pk).first_name


@handles("refuse")
def refuse(request: Request) -> Any:
    raise RequestRefused("It is too late.", "late")


@handles("garble")
def garble(request: Request) -> Any:
    """Refuses with a code that no text can carry, and notes it."""
    note(request)
    raise RequestRefused("It is no text.", "\ud800")


@handles("deny")
def deny(request: Request) -> Any:
    raise PermissionDenied


@handles("break")
def break_(request: Request) -> Any:
    """Fails as many times as it is told to, and notes each."""
    note(request)
    if request.attempt <= request.data["times"]:
        raise ValueError("words that are not for clients")
    return request.attempt


@handles("die")
def die(request: Request) -> Any:
    """Kills its worker as many times as it is told to."""
    note(request)
    if request.attempt <= request.data["times"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return request.attempt


@handles("work")
def work(request: Request) -> Any:
    """Takes its time, and tells where."""
    note(request)
    time.sleep(request.data["seconds"])
    return os.getpid()


@handles("slow", timeout=0.3)
def slow(request: Request) -> Any:
    time.sleep(request.data)
    note_in(os.environ["HANDLED"], "slow is done")


@handles("unsendable")
def unsendable(request: Request) -> Any:
    note(request)
    return object()


@handles("connections", authenticated=False)
def connections(request: Request) -> Any:
    """Whether an earlier request has left this thread its connection to the database."""
    kept = connection.connection is not None
    return [kept, User.objects.count()]


@handles("calm.check")
def check(request: Request) -> Any:
    text = request.data["data"]
    if "shout" in text:
        raise RequestRefused("Not so loud.", "tone")
    return {"data": text.replace("damn", "d***") + f" ({request.data['room']})"}


def note(request: Request) -> None:
    note_in(os.environ["HANDLED"], f"{request.name} {request.id} {request.attempt}")


def note_in(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{line}\n")

"""This machine: how many files a process may open, and whether its clock is right."""

import asyncio
import resource
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Final

from roomline.cli.doctor.findings import Finding, ok, problem, warning
from roomline.config import Settings
from roomline.from_settings import files_wanted
from roomline.httpserver import SPARE_FILES

_SECONDS: Final = 5.0
_SLIGHT_SKEW: Final = 2.0
"""Seconds that nobody has to care about: what is compared is given in whole ones."""
_BAD_SKEW: Final = 30.0
"""Seconds by which tokens are refused as not yet or no longer good."""


def look_at_open_files(settings: Settings) -> Finding:
    """Whether as many clients as the settings allow fit into what a process may open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files_wanted(settings) + SPARE_FILES
    if hard in (resource.RLIM_INFINITY, -1) or hard >= wanted:
        return ok("limits", f"a process started here may open {hard} files, {wanted} are enough")
    return warning(
        "limits",
        f"a process started here may open {hard} files, and {settings.sessions} sessions want"
        f" {wanted}: clients beyond that are turned away",
        "raise the limit where the gateway is started (LimitNOFILE= of systemd, ulimits of"
        " compose, ulimit -n), or lower the setting sessions",
    )


async def look_at_clock(others: Mapping[str, str]) -> AsyncIterator[Finding]:
    """This machine's clock against what others (by name: their URLs) say in HTTP's Date."""
    told = False
    for who, url in others.items():
        skew = await asyncio.to_thread(_skew, url)
        if skew is None:
            continue
        told = True
        ahead = "ahead of" if skew > 0 else "behind"
        says = f"this machine's clock is {abs(skew):.1f} s {ahead} that of {who}"
        advice = "let both machines keep their time by NTP (chrony, systemd-timesyncd)"
        if abs(skew) > _BAD_SKEW:
            yield problem("clock", f"{says}: tokens are refused as too new or too old", advice)
        elif abs(skew) > _SLIGHT_SKEW:
            yield warning("clock", f"{says}: the figures for delivery lag are off by that", advice)
        else:
            yield ok("clock", f"this machine's clock agrees with that of {who}")
    if not told:
        yield warning(
            "clock",
            "whether this machine's clock is right cannot be told: nobody who tells the time was"
            " named, or none answered",
            "name RabbitMQ's console with --console-file, or the public address with --url",
        )


def _skew(url: str) -> float | None:
    """Seconds by which our clock is ahead of a server's; None if it does not say."""
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the operator's own
    before = time.time()
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            date = answer.headers.get("Date")
    except urllib.error.HTTPError as error:
        with error:
            date = error.headers.get("Date")
    except (OSError, ValueError, HTTPException):
        return None
    after = time.time()
    try:
        # It was cut to a whole second: on average half of one is missing.
        theirs = parsedate_to_datetime(date or "").timestamp() + 0.5
    except ValueError:
        return None
    return (before + after) / 2 - theirs

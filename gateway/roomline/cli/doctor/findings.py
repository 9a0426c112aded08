"""What `roomline doctor` has found, as values, and how they are shown."""

import json
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from roomline.cli.tail import safe

Status = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    """One finding: about what, how it stands, a sentence what is so, and one what to do."""

    check: str
    status: Status
    says: str
    advice: str = ""


def ok(check: str, says: str) -> Finding:
    """It is as it should be."""
    return Finding(check, "ok", says)


def warning(check: str, says: str, advice: str) -> Finding:
    """It works, or may work, and somebody should look at it."""
    return Finding(check, "warning", says, advice)


def problem(check: str, says: str, advice: str) -> Finding:
    """A gateway does not work with this, or not as it should."""
    return Finding(check, "problem", says, advice)


_WIDTH: Final = 9


def as_text(finding: Finding) -> str:
    """One or two lines for a terminal, which nothing in them can steer."""
    line = f"{finding.status:{_WIDTH}}{finding.check}: {safe(finding.says)}"
    return f"{line}\n{'':{_WIDTH}}→ {safe(finding.advice)}" if finding.advice else line


def as_json(findings: Iterable[Finding]) -> str:
    """All of them, and whether any is a problem."""
    found = list(findings)
    return json.dumps(
        {
            "healthy": not any(finding.status == "problem" for finding in found),
            "findings": [finding._asdict() for finding in found],
        },
        indent=2,
    )

"""What a doctor says, for tests to ask for."""

import json
from typing import Any, NamedTuple

import pytest
from roomline.cli.doctor import doctor
from roomline.config import Settings


class Examined(NamedTuple):
    """The findings, each as ``check: says``, by status; and the exit status."""

    status: int
    problems: list[str]
    warnings: list[str]
    fine: list[str]

    def assert_one(self, kind: str, *words: str) -> None:
        """Exactly one finding of that kind has all these words."""
        found = getattr(self, kind)
        matching = [text for text in found if all(word in text for word in words)]
        assert len(matching) == 1, (words, self)


def examine(
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    *,
    url: str | None = None,
    console_file: str | None = None,
) -> Examined:
    """Run the doctor, and check the form of what it says on the way."""
    status = doctor(settings, url, console_file, json=True)
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert said.keys() == {"healthy", "findings"}
    assert said["healthy"] == (status == 0)
    by_status: dict[str, list[str]] = {"problem": [], "warning": [], "ok": []}
    for finding in said["findings"]:
        assert finding.keys() == {"check", "status", "says", "advice"}
        assert bool(finding["advice"]) == (finding["status"] != "ok"), finding
        by_status[finding["status"]].append(f"{finding['check']}: {finding['says']}")
    assert status == (1 if by_status["problem"] else 0)
    return Examined(status, by_status["problem"], by_status["warning"], by_status["ok"])

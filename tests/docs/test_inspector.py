"""What docs/operations/inspector.rst tells people to set is accepted."""

import subprocess
from typing import Any

from django_roomline import conf
from roomline.config import load

from tests.docs.pages import snippet

PAGE = "docs/operations/inspector.rst"
COVERS = {"inspector-tokens", "inspectors", "inspector-log"}
"""The line of the log is one that tests/inspector/test_page.py sees there."""


def test_a_token_is_made_and_accepted():
    command = snippet(PAGE, "inspector-tokens").text
    done = subprocess.run(
        ["bash", "-ec", f'{command}\necho "$ROOMLINE_INSPECT_TOKENS"'],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    settings = load({}, {"ROOMLINE_INSPECT_TOKENS": done.stdout.strip()})
    assert list(settings.inspect_tokens) == ["ann"]
    assert len(settings.inspect_tokens["ann"]) == 64


def test_the_links_are_accepted():
    names: dict[str, Any] = {"ROOMLINE": {}}
    exec(compile(snippet(PAGE, "inspectors").text, PAGE, "exec"), names)
    values, problems = conf.read(names["ROOMLINE"])
    assert len(values["INSPECTORS"]) == 2
    assert "INSPECTORS" not in " ".join(problem.text for problem in problems)

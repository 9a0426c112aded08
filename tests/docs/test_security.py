"""docs/security.rst: the tests, settings and times that it names are there."""

import ast
import re
from functools import cache

from roomline.config.settings import DECLARATIONS
from roomline.http import INTERNAL_LIMITS
from roomline.transport import TransportSettings, server_limits

from tests.docs.pages import ROOT, table

PAGE = "docs/security.rst"
COLUMNS = 4


@cache
def defined_in(path: str) -> set[str]:
    """The names of the tests in a file."""
    return {
        found.name
        for found in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef)
        and found.name.startswith("test_")
    }


def test_the_tests_that_are_named_exist():
    rows = table(PAGE, "threats")
    assert len(rows) > 15
    for row in rows:
        assert len(row) == COLUMNS
        named = row[3].split()
        assert named, row[0]
        for each in named:
            path, _, name = each.partition("::")
            assert name in defined_in(path), each


def test_every_file_of_attacks_is_named():
    named = {path.partition("::")[0] for row in table(PAGE, "threats") for path in row[3].split()}
    there = {
        str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "security").glob("test_*.py")
    }
    assert there <= named


def test_the_settings_that_are_named_exist():
    for row in table(PAGE, "threats"):
        for name in row[2].split(", "):
            assert name == "none" or name in DECLARATIONS, name


def test_the_times_are_those_of_the_code():
    said = [row[1] for row in table(PAGE, "security-times")]
    limits = server_limits(TransportSettings())
    names = ("idle_connection_timeout", "body_timeout")
    assert said[:2] == [f"{limits[name]:g}" for name in names]
    assert said[2] == ", ".join(f"{INTERNAL_LIMITS[name]:g}" for name in names)
    for row in said[3:]:
        assert set(re.findall(r"[a-z]+_[a-z]+|heartbeat", row)) <= DECLARATIONS.keys()

"""docs/checks.rst: its tables against the code, and its commands."""

import ast
import re
from pathlib import Path

import pytest
from django_roomline import conf
from django_roomline.checks.security import EXAMPLES

from tests.docs.pages import ROOT, page, snippet, snippets, table
from tests.docs.shop import Shop, shop

__all__ = ["shop"]

COVERS = {"check-deploy", "silenced"}

PAGE = "docs/checks.rst"
CHECKS = ROOT / "djangoapp" / "django_roomline" / "checks"


def ids_in(path: Path) -> set[str]:
    """The ids that a module gives to messages."""
    tree = ast.parse(path.read_text())
    found = {
        keyword.value.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "id" and isinstance(keyword.value, ast.Constant)
    }
    return {str(value) for value in found}


def documented(name: str) -> dict[str, str]:
    return {row[0]: row[1] for row in table(PAGE, name)}


def test_the_tables_have_every_id_once():
    code = {"roomline.E001"} | {field.check for field in conf.FIELDS.values()}
    for path in CHECKS.glob("*.py"):
        code |= ids_in(path)
    rows = [row[0] for name in ("errors", "warnings") for row in table(PAGE, name)]
    assert rows == sorted(code)
    assert all(re.fullmatch(r"roomline\.E\d{3}", row) for row in documented("errors"))
    assert all(re.fullmatch(r"roomline\.W\d{3}", row) for row in documented("warnings"))


def test_no_id_of_a_key_stands_for_anything_else():
    of_keys = [field.check for field in conf.FIELDS.values()]
    assert len(set(of_keys)) == len(of_keys)
    for path in CHECKS.glob("*.py"):
        assert not ids_in(path) & set(of_keys), path.name


def test_what_is_for_deployment_only_is_said():
    of_deployment = {
        check
        for path in CHECKS.glob("*.py")
        for function in ast.parse(path.read_text()).body
        if isinstance(function, ast.FunctionDef) and "deploy=True" in ast.unparse(function)
        for check in _ids_of(ast.get_docstring(function) or "")
    }
    said = documented("errors") | documented("warnings")
    assert {check for check, when in said.items() if when == "--deploy"} == of_deployment


def _ids_of(docstring: str) -> set[str]:
    """``roomline.W006`` to ``roomline.W008``, or single ones."""
    found = re.findall(r"roomline\.([EW])(\d{3})", docstring.split(":", maxsplit=1)[0])
    numbers = [int(number) for _, number in found]
    letter = found[0][0]
    every = range(numbers[0], numbers[-1] + 1) if " to " in docstring else numbers
    return {f"roomline.{letter}{number:03}" for number in every}


def test_secrets_of_the_pages_are_known_to_be_no_secrets():
    secrets = {
        secret
        for found in snippets()
        for secret in re.findall(r'KEYS"?(?:: \{"1": "|=1:)([^"\s]+)', found.text)
    }
    assert secrets
    assert all(secret.startswith(EXAMPLES) for secret in secrets)


def test_the_page_names_settings_that_are_there():
    literals = {node.astext() for node in page(PAGE).findall() if node.tagname == "literal"}
    assert set(conf.FIELDS) <= literals


@pytest.mark.slow
def test_the_tutorial_s_project_is_checked(shop: Shop):
    command = snippet(PAGE, "check-deploy").text
    with next(shop.folder.glob("*/settings.py")).open("a") as settings:
        settings.write('\nROOMLINE["ENDPOINTS"] = ["http://127.0.0.1:9/roomline"]\n')
    said = shop.terminal.run(f"{command} --fail-level CRITICAL 2>&1")
    for check in ("W006", "W007", "W010"):
        assert f"roomline.{check}" in said
    silenced = snippet(PAGE, "silenced").text
    with next(shop.folder.glob("*/settings.py")).open("a") as settings:
        settings.write(f"\n{silenced}\n")
    said = shop.terminal.run(f"{command} --fail-level CRITICAL 2>&1")
    assert "roomline.W006" in said
    assert "roomline.W010" not in said

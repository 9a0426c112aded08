"""The pages are well formed, and what they point to is there."""

import re
import tomllib
from pathlib import Path

import pytest
from docutils import nodes

from tests.docs.pages import PAGES, ROOT, page, snippet, snippets, table
from tests.docs.walkthrough import WALKTHROUGHS, steps

COVERS = {"layers", "picture-flow", "picture-paths"}

USERS_OWN = {"conftest.py", "manage.py", "settings.py", "urls.py"}.union(
    *(
        {step.path, f"{step.path.partition('/')[0]}/"}
        for path in WALKTHROUGHS
        for step in steps(path)
    )
)
"""Files and folders that the pages name in a user's project, or tell a user to make."""

PLACES = (ROOT, ROOT / "gateway" / "roomline", ROOT / "djangoapp" / "django_roomline")
"""Where a file that a page names may be."""

_FILE = re.compile(
    r"(?<![\w/.:-])[\w.-]*(?:/[\w.-]+)*(?:/|\.(?:py|rst|toml|json|yml|conf|md|txt))(?![\w/-])"
)


@pytest.mark.parametrize("path", PAGES)
def test_it_is_well_formed(path: str):
    assert page(path).children


@pytest.mark.parametrize("path", PAGES)
def test_links_lead_somewhere(path: str):
    for reference in page(path).findall(nodes.reference):
        target = reference.get("refuri", "")
        if target and not target.startswith(("https://", "http://127.0.0.1:")):
            assert (ROOT / path).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("path", PAGES)
def test_files_that_are_named_exist(path: str):
    for literal in page(path).findall(nodes.literal):
        name = literal.astext()
        if _FILE.fullmatch(name) and not name.startswith("/") and name not in USERS_OWN:
            assert _exists(name, path), name


@pytest.mark.parametrize(
    ("path", "name"), [("README.rst", "picture-flow"), ("docs/architecture.rst", "picture-paths")]
)
def test_files_in_pictures_exist(path: str, name: str):
    names = _FILE.findall(snippet(path, name).text)
    assert len(names) > 5
    for found in names:
        assert _exists(found), found


def test_the_layers_are_those_that_are_checked():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    layers = next(
        contract["layers"]
        for contract in tools["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    assert snippet("docs/architecture.rst", "layers").text.splitlines() == layers


def test_every_part_is_described():
    for name, folder in {
        "parts": "gateway/roomline",
        "django-parts": "djangoapp/django_roomline",
    }.items():
        rows = table("docs/architecture.rst", name)
        described = {Path(part).name for row in rows for part in row[0].split(", ")}
        there = {path.name for path in (ROOT / folder).iterdir() if path.name[:2] != "__"}
        assert there - {"py.typed"} <= described


def test_every_test_folder_is_described():
    described = {row[0] for row in table("docs/testing.rst", "folders")}
    there = {f"tests/{path.parent.name}/" for path in (ROOT / "tests").glob("*/*.*")}
    assert described == there - {"tests/__pycache__/"}


def test_every_page_can_be_reached_from_the_readme():
    reached = {"README.rst"}
    todo = ["README.rst"]
    while todo:
        here = todo.pop()
        for reference in page(here).findall(nodes.reference):
            target = (ROOT / here).parent / reference.get("refuri", "")
            found = str(target.resolve().relative_to(ROOT)) if target.suffix == ".rst" else ""
            if found and found not in reached:
                reached.add(found)
                todo.append(found)
    assert reached == set(PAGES)


def test_the_index_lists_every_page():
    """Directly: nobody should have to know where to look."""
    listed = {
        str((ROOT / "docs" / reference["refuri"]).resolve().relative_to(ROOT))
        for reference in page("docs/index.rst").findall(nodes.reference)
    }
    assert listed >= set(PAGES) - {"docs/index.rst"}


def test_snippets_are_named_once_in_a_page():
    names = [(found.page, found.name) for found in snippets() if found.name]
    assert len(names) == len(set(names))


def _exists(name: str, page: str = "") -> bool:
    return any((place / name).exists() for place in (*PLACES, (ROOT / page).parent))


def test_every_picture_is_shown_and_described():
    shown = {
        (ROOT / path).parent / picture["uri"]: picture.get("alt")
        for path in PAGES
        for picture in page(path).findall(nodes.image)
    }
    assert set(shown) == set((ROOT / "docs").rglob("*.png"))
    assert all(shown.values())

"""The project's pages as values: their literal blocks, tables and links."""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from docutils.core import publish_doctree

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    str(path.relative_to(ROOT))
    for places in ("*.rst", "docs/**/*.rst", "rabbitmq/*.rst")
    for path in sorted(ROOT.glob(places))
)


class Snippet(NamedTuple):
    """One literal block. `name` is what the page calls it, or empty."""

    page: str
    line: int
    language: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}:{self.name or self.language}"


@cache
def page(path: str) -> nodes.document:
    """The page at `path`, parsed; anything that docutils warns about is an error."""
    return publish_doctree(
        (ROOT / path).read_text(),
        source_path=path,
        settings_overrides={
            "halt_level": 2,
            "report_level": 2,
            "syntax_highlight": "none",
            "file_insertion_enabled": False,
            "_disable_config": True,
        },
    )


def snippets() -> list[Snippet]:
    """Every literal block of every page."""
    return [_snippet(path, block) for path in PAGES for block in page(path).findall(_is_block)]


def _is_block(node: nodes.Node) -> bool:
    return isinstance(node, nodes.literal_block)


def _snippet(path: str, block: Any) -> Snippet:
    classes = [name for name in block["classes"] if name != "code"]
    names = block["names"]
    text = block.astext()
    line = _line_of(path, text)
    return Snippet(path, line, classes[0] if classes else "", names[0] if names else "", text)


def _line_of(path: str, text: str) -> int:
    """Where a block stands in its page: docutils does not say for all of them."""
    first = text.splitlines()[0]
    for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        if line.strip() == first.strip():
            return number
    raise AssertionError(f"{first!r} is not a line of {path}")


def table(path: str, name: str) -> list[list[str]]:
    """The rows of the named table of a page, without its header."""
    for found in page(path).findall(nodes.table):
        if name in found["names"]:
            body = next(iter(found.findall(nodes.tbody)))
            return [
                [" ".join(entry.astext().split()) for entry in row.findall(nodes.entry)]
                for row in body.findall(nodes.row)
            ]
    raise AssertionError(f"{path} has no table that is named {name}")


def snippet(path: str, name: str) -> Snippet:
    """The named literal block of a page."""
    for found in snippets():
        if (found.page, found.name) == (path, name):
            return found
    raise AssertionError(f"{path} has no block that is named {name}")

"""The translations of django_roomline: what is to be translated, and compiling what is.

``python scripts/translations.py update`` brings the catalogues in line with the sources: new texts
come in untranslated, and those that are gone go. ``python scripts/translations.py compile`` makes
the .mo files that Django reads. Neither needs the gettext programs.
"""

import io
import sys
from pathlib import Path
from typing import Final

from babel.messages import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

PACKAGE: Final = Path(__file__).parents[1] / "djangoapp" / "django_roomline"
LOCALE: Final = PACKAGE / "locale"

_KEYWORDS = DEFAULT_KEYWORDS | {"gettext_lazy": None, "pgettext": ((1, "c"), 2)}


def template() -> Catalog:
    """Every text of the sources, untranslated."""
    if not settings.configured:
        settings.configure()
    catalog = Catalog()
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix == ".py":
            source = path.read_text()
        elif path.suffix == ".html":
            source = templatize(path.read_text())
        else:
            continue
        name = str(path.relative_to(PACKAGE))
        for _line, messages, comments, context in extract(
            "python", io.BytesIO(source.encode()), keywords=_KEYWORDS
        ):
            catalog.add(messages, None, [(name, None)], user_comments=comments, context=context)
    return catalog


def catalogues() -> list[Path]:
    """The .po files, one of each language."""
    return sorted(LOCALE.glob("*/LC_MESSAGES/django.po"))


def read(path: Path) -> Catalog:
    """A catalogue from its .po file."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3])


def text_of(catalog: Catalog) -> bytes:
    """A .po file."""
    file = io.BytesIO()
    write_po(file, catalog, width=98, sort_output=True, ignore_obsolete=True, omit_header=False)
    return file.getvalue()


def compiled(catalog: Catalog) -> bytes:
    """A .mo file."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def updated(catalog: Catalog) -> Catalog:
    """The catalogue with the texts of the sources, as far as they are translated there."""
    catalog.update(template(), no_fuzzy_matching=True, update_creation_date=False)
    return catalog


def main(arguments: list[str]) -> int:
    """Do what the command line says; the exit status."""
    match arguments:
        case ["update"]:
            for path in catalogues():
                path.write_bytes(text_of(updated(read(path))))
        case ["compile"]:
            for path in catalogues():
                path.with_suffix(".mo").write_bytes(compiled(read(path)))
        case _:
            print("usage: translations.py update | compile", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

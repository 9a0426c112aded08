"""The page of all settings: ``python -m roomline.config.reference`` prints docs/settings.rst."""

import sys
import textwrap

from roomline.config.settings import DECLARATIONS, GROUPS, Declaration

_HEAD = """\
Settings
========

.. Written by ``python -m roomline.config.reference > docs/settings.rst``: change it there.

A setting has one name. It may stand, each place outranking the ones before it,

* nowhere: then the default counts;
* in a TOML file, under its name, at the top level. ``--config`` or ``ROOMLINE_CONFIG`` names the
  file;
* in the environment, as ``ROOMLINE_`` and its name in capitals;
* on the command line, as a flag with dashes for underscores.

Lists are written with commas, or as TOML lists. Durations are seconds, or text such as
``500 ms``, ``10 min``, ``7 d``; sizes are bytes, or text such as ``64 KiB``. Everything is checked
at the start, and everything that is wrong is said at once. A key or a ``ROOMLINE_`` variable that
is not a setting is an error.

Secrets have no flag, because every user of a machine can read its processes' arguments. They may
stand in a file of their own, one to a line: the setting with ``_file`` behind its name names it.

.. code-block:: toml

    broker = "amqps://gateway:password@rabbit.example/"
    origins = ["https://chat.example"]
    keys_file = "/run/secrets/roomline-keys"

    [namespaces.chat]
    read = "token"
    write = "token"
    history = 200
"""


def render() -> str:
    """The page as reStructuredText."""
    parts = [_HEAD]
    for group in GROUPS:
        parts.append(f"{group}\n{'-' * len(group)}\n")
        parts += [_entry(item) for item in DECLARATIONS.values() if item.group == group]
    return "\n".join(parts)


def _entry(declared: Declaration) -> str:
    default = declared.kind.show(declared.default)
    lines = [
        f"``{declared.name}``" + (f", ``{declared.name}_file``" if declared.secret else ""),
        *_paragraph(f"{declared.help[0].upper()}{declared.help[1:]}."),
        "",
        *_paragraph(f"Accepted: {declared.kind.accepted}."),
        "",
        *_paragraph(f"Default: {f'``{default}``' if default else 'empty'}."),
    ]
    return "\n".join(lines) + "\n"


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(
        text, 98, initial_indent="    ", subsequent_indent="    ", break_long_words=False
    )


if __name__ == "__main__":
    sys.stdout.write(render())

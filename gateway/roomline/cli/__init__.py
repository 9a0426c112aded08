"""The command line: ``roomline serve | publish | tail | definitions | doctor``."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; `arguments` default to the process's own."""
    try:
        from roomline.cli.commands import run
    except ModuleNotFoundError as error:
        # A publisher's installation has this command too, but not what a gateway needs.
        print(f"roomline: {error}: install roomline[server]", file=sys.stderr)
        return 2
    return run(arguments)

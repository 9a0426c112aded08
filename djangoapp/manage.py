#!/usr/bin/env python
"""Management commands of the chat demo. ``--data FOLDER`` chooses where it keeps its data."""

import argparse
import os
import sys

from demo.data import DATA_VARIABLE
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    # Before Django looks at its arguments: settings name files in this folder.
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--data")
    own, others = parser.parse_known_args()
    if own.data:
        os.environ[DATA_VARIABLE] = os.path.abspath(own.data)  # noqa: PTH100 - nothing to resolve
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")
    execute_from_command_line([sys.argv[0], *others])

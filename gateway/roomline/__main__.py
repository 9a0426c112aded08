"""``python -m roomline``: the same as the command ``roomline``."""

import sys

from roomline.cli import main

sys.exit(main())

"""``python -m caffelite`` is the command ``caffelite``."""

from __future__ import annotations

import sys

from caffelite.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

"""Refuses files above one megabyte: ``python tools/large_files.py FILE...`` exits 1 if there is one."""

from __future__ import annotations

import sys
from pathlib import Path

LIMIT_BYTES = 1 << 20

large = [name for name in sys.argv[1:] if Path(name).is_file() and Path(name).stat().st_size > LIMIT_BYTES]
for name in large:
    print(
        f"{name}: {Path(name).stat().st_size / LIMIT_BYTES:.1f} MiB; large files do not belong in the repository"
    )
sys.exit(bool(large))

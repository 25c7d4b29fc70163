#!/usr/bin/env python3
"""A tool of py-faster-rcnn's under its old name: 'caffelite help frcnn rpn_generate' tells about it."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
from caffelite.__main__ import main  # noqa: E402

sys.exit(main(["frcnn", "rpn_generate", *sys.argv[1:]]))

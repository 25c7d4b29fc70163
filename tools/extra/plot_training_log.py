#!/usr/bin/env python3
"""A tool of Caffe's under its old name: 'caffelite help plot_training_log' tells about it. All files here are alike."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])
from caffelite.__main__ import main  # noqa: E402

sys.exit(main(["plot_training_log.py", *sys.argv[1:]]))

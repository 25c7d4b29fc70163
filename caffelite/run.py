"""``python -m caffelite.run SCRIPT ARGUMENTS``: an old pycaffe script as it is, with ``import caffe`` giving caffelite.

The names that NumPy 1 had and NumPy 2 has dropped (``np.float``, ``np.int`` ...) are there for the script.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from caffelite.as_caffe import install_as_caffe

USAGE = "usage: python -m caffelite.run SCRIPT [ARGUMENTS]"
PYTHON_2 = "print", "exec", "xrange", "except"


def main(words: Sequence[str]) -> int:
    """Runs a script under the name ``__main__``; returns an exit code. What the script raises comes through."""
    if not words or words[0] in ("-h", "--help"):
        print(f"{USAGE}\n{__doc__}")
        return 0 if words else 2
    script = Path(words[0])
    if not script.is_file():
        print(f"no script '{script}'\n{USAGE}", file=sys.stderr)
        return 2
    install_as_caffe(old_numpy=True)
    sys.argv = list(words)
    sys.path[0] = str(script.resolve().parent)  # as Python itself does for a script
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SyntaxError as error:
        if _is_python_2(error):
            error.add_note(
                "This looks like Python 2. Convert it first: 2to3 -w SCRIPT, or futurize -0 -w SCRIPT."
            )
        raise
    return 0


def _is_python_2(error: SyntaxError) -> bool:
    return (error.text or "").strip().startswith(PYTHON_2) or "leading zeros" in str(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

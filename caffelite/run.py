"""``python -m caffelite.run SCRIPT ARGUMENTS``: an old pycaffe script as it is, with ``import caffe`` giving caffelite.

The names that NumPy 1 had and NumPy 2 has dropped (``np.float``, ``np.int`` ...) are there for the script, and for the
processes that it starts.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from caffelite.as_caffe import install_as_caffe

USAGE = "usage: python -m caffelite.run SCRIPT [ARGUMENTS]"
PYTHON_2 = "This looks like Python 2. Convert it first: 2to3 -w SCRIPT, or futurize -0 -w SCRIPT."
OLD_SYNTAX = "print", "exec", "xrange", "except", "raise"
OLD_NAMES = (
    "basestring", "cPickle", "ConfigParser", "has_key", "iteritems", "iterkeys", "itervalues", "long", "Queue", "raw_input", "reduce",
    "StringIO", "Tkinter", "unichr", "unicode", "urllib2", "xrange",
)  # fmt: skip
OF_ONE_ELEMENT = "only 0-dimensional arrays", "setting an array element with a sequence"
NUMPY_1 = (
    "NumPy 2.4 makes no numbers of arrays that have axes. Write array.item(), or install the NumPy that the script is used to: "
    "pip install 'numpy<2.4'"
)


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
    _tell_children()
    sys.argv = list(words)
    sys.path[0] = str(script.resolve().parent)  # as Python itself does for a script
    try:
        runpy.run_path(str(script), run_name="__main__")
    except Exception as error:
        if note := _note(error):
            error.add_note(note)
        raise
    return 0


def _tell_children() -> None:
    """Lets processes that the script starts find ``caffe`` as well: multiprocessing hands on the path, subprocess the variable."""
    folder = str(Path(__file__).resolve().parent / "child_path")
    sys.path.append(folder)
    path = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{path}" if path else folder


def _note(error: Exception) -> str:
    """What to do about an error that comes from the age of the script; empty for all others."""
    if isinstance(error, SyntaxError):
        old = (error.text or "").strip().startswith(OLD_SYNTAX) or "leading zeros" in str(error)
        return PYTHON_2 if old else ""
    if isinstance(error, NameError | AttributeError | ModuleNotFoundError):
        return PYTHON_2 if error.name in OLD_NAMES else ""
    return (
        NUMPY_1 if isinstance(error, TypeError | ValueError) and str(error).startswith(OF_ONE_ELEMENT) else ""
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

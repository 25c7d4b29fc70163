"""``python -m caffelite`` is the command ``caffelite``; the scripts in ``tools/`` come this way as well."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

OLDEST = (3, 11)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line (see :mod:`caffelite.cli.main`); where caffelite is not installed, says how to do that."""
    if sys.version_info < OLDEST:
        return _say(f"caffelite needs Python {'.'.join(map(str, OLDEST))} or newer")
    try:
        from caffelite.cli.main import main as command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "caffelite":
            raise  # a file of caffelite's own, which installing something else does not bring
        return _say(f"caffelite needs '{error.name}', which is not installed")
    return command(argv)


def _say(text: str) -> int:
    """Exit code of what this Python cannot do."""
    folder = Path(__file__).resolve().parents[1]
    what = f"'{folder}'" if (folder / "pyproject.toml").exists() else "caffelite"
    version = ".".join(map(str, sys.version_info[:2]))
    print(
        f"error: {text} for {sys.executable} (Python {version})\n"
        f"  Fix: python -m pip install {what}, or use the Python of the environment that caffelite is installed in",
        file=sys.stderr,
    )
    return 5


if __name__ == "__main__":
    sys.exit(main())

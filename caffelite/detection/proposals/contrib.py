"""The parts of OpenCV that only its contrib wheels have."""

from __future__ import annotations

from importlib.metadata import distributions
from typing import Any

from caffelite.data import opencv
from caffelite.errors import DataError

_WHEEL = "opencv-contrib-python-headless"


def part(module: str, name: str) -> Any:
    """A function of OpenCV, such as ``part("ximgproc", "createEdgeBoxes")``.

    Raises:
        DataError: this OpenCV is built without it; names the wheels that are in each other's way.
    """
    found = getattr(getattr(opencv.load(), module, None), name, None)
    if found is None:
        raise DataError(f"OpenCV has no cv2.{module}.{name}{_why()}")
    return found


def _why() -> str:
    names = sorted({d.name for d in distributions() if d.name.startswith("opencv")})
    others = [name for name in names if name != _WHEEL]
    if _WHEEL in names and others:
        return (
            f": {', '.join(others)} and {_WHEEL} write the same files\n"
            f"  Fix: pip uninstall -y {' '.join(others)} && pip install --force-reinstall --no-deps {_WHEEL}"
        )
    remove = f"pip uninstall -y {' '.join(names)} && " if names and _WHEEL not in names else ""
    return f"\n  Fix: {remove}pip install --force-reinstall --no-deps {_WHEEL}"

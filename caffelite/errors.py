"""Every error that caffelite raises on purpose, and the exit code each one has on the command line.

A message says where, who, what was expected, what came, and the cure where it is known::

    layer 'fc6' (InnerProduct) at vgg16.prototxt:412:3: expected x (N, *S) with at least 2 axes, got x=(10,)
      Fix: ...

Nothing in caffelite ends the process: a library user catches these, the command line prints them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caffelite.types import Location


class CaffeliteError(Exception):
    """Base of all errors below. ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UsageError(CaffeliteError, ValueError):
    """A wrong argument on the command line or in an API call."""

    exit_code = 2


class ArgumentTypeError(UsageError, TypeError):
    """An argument of another type than the call takes."""


class NetError(CaffeliteError, ValueError):
    """A net that cannot be built: unknown layer, missing bottom, wrong shape, bad parameter."""

    exit_code = 2


class UnknownNameError(NetError):
    """A layer type or a blob name that there is not; it never follows from another problem of the same layer."""


class FieldError(NetError, AttributeError, TypeError):
    """A name that a message or a NetSpec does not have, or a value that the field cannot take.

    Also an ``AttributeError`` and a ``TypeError``, which are what pycaffe raises for them.
    """


class IgnoredFieldWarning(UserWarning):
    """A field of a net or solver was passed over, because the reader was told to be lenient."""


class ShapeError(NetError):
    """Shapes that do not fit a layer."""


_SHOWN_PROBLEMS = 100  # a file that is no prototxt has one on every line


@dataclass(frozen=True)
class Problem:
    """One finding in a text file: where it is, what is wrong and, if known, how to mend it."""

    location: Location
    message: str
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.location}: {self.message}"
        return f"{text}\n  Fix: {self.fix}" if self.fix else text


class PrototxtError(NetError):
    """A text file that could not be read, with all problems found in it (never just the first).

    The message shows the first of very many; ``problems`` holds all.
    """

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems[:_SHOWN_PROBLEMS]]
        if more := len(self.problems) - len(lines):
            lines.append(f"and {more} more problems")
        super().__init__("\n".join(lines))


class DataError(CaffeliteError, ValueError):
    """Data that is missing, truncated, foreign, or out of the range that a layer accepts."""

    exit_code = 3


class ArrayError(DataError, RuntimeError):
    """Arrays that a MemoryData layer cannot take. Also a ``RuntimeError``, which is what pycaffe raises for them."""


class WeightsError(DataError):
    """A caffemodel, solverstate, HDF5 or safetensors file that is damaged, foreign or does not fit the net."""


class MissingFileError(DataError, FileNotFoundError, RuntimeError):
    """A file that is not there. Also a ``RuntimeError``, which is what pycaffe raises for it."""

    def __init__(self, path: str | Path, what: str = "file", fix: str = ""):
        text = f"{what} '{path}' does not exist"
        super().__init__(f"{text}\n  Fix: {fix}" if fix else text)


class NotFiniteError(CaffeliteError, ArithmeticError):
    """A NaN or infinity in the loss or, when checks are on, in a blob."""

    exit_code = 4


class DeviceError(CaffeliteError, RuntimeError):
    """An engine, device or precision that this machine or installation does not have."""

    exit_code = 5


class SnapshotError(CaffeliteError, OSError):
    """A snapshot that could not be written. The files that were there before are untouched."""


class ExportError(CaffeliteError):
    """A net that another format cannot express, or whose exported form computes something else."""


def layer_message(
    name: str, type_: str, location: Location | None, expected: str, got: str = "", fix: str = ""
) -> str:
    """The one form that every message about a layer has."""
    at = f" at {location}" if location else ""
    text = f"layer '{name}' ({type_}){at}: {expected}"
    if got:
        text += f", got {got}"
    return f"{text}\n  Fix: {fix}" if fix else text

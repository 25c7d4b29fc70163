"""What a user's Python layer sees: its base class, blobs with memory of their own, and their vectors.

Source of names and behaviour: ``python_layer.hpp`` and ``_caffe.cpp`` of BVLC Caffe.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffelite.errors import ArgumentTypeError, FieldError, UsageError
from caffelite.types import Shape, count

if TYPE_CHECKING:
    from caffelite.random import RandomSource


class Blob:
    """What all blobs share: Caffe's legacy names for up to four axes."""

    shape: Shape

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape}>"

    def __setattr__(self, name: str, value: object) -> None:
        """Raises FieldError for ``data`` and ``diff``, as they cannot be replaced."""
        if name in ("data", "diff"):
            fix = f"blob.{name}[...] = x writes into the array (blob.{name}[...] += x adds to it)"
            raise FieldError(
                f"blob.{name} is the blob's own memory and cannot be another array\n  Fix: {fix}"
            )
        super().__setattr__(name, value)

    @property
    def count(self) -> int:
        return count(self.shape)

    def _legacy(self, axis: int) -> int:
        if len(self.shape) > 4:
            raise UsageError(
                f"num, channels, height and width are for at most 4 axes; this blob has shape {self.shape}"
            )
        return self.shape[axis] if axis < len(self.shape) else 1

    @property
    def num(self) -> int:
        return self._legacy(0)

    @property
    def channels(self) -> int:
        return self._legacy(1)

    @property
    def height(self) -> int:
        return self._legacy(2)

    @property
    def width(self) -> int:
        return self._legacy(3)


class OneNumber(np.ndarray):
    """An array of one element and some axes, which ``float()`` and ``"%f" %`` take as they did before NumPy 2.4.

    Losses of Python layers have shape (1,), and old scripts make numbers of them.
    """

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __repr__(self) -> str:
        return repr(np.array(self))

    def __reduce__(self) -> Any:
        return np.array(self).__reduce__()


def shown(array: np.ndarray) -> np.ndarray:
    """What users get to see of an array: itself, or a view that is good for a number."""
    return array.view(OneNumber) if array.size == 1 and array.ndim else array


def checked_shape(dims: Sequence[Any]) -> Shape:
    """The arguments of ``blob.reshape(*dims)``. Raises UsageError unless they are whole numbers of at least 0."""
    if len(dims) == 1 and isinstance(dims[0], Sequence | np.ndarray):
        raise ArgumentTypeError(
            f"reshape{tuple(dims)}: expected numbers\n  Fix: reshape(*shape), with an asterisk"
        )
    try:
        shape = tuple(operator.index(dim) for dim in dims)
    except TypeError as error:
        raise ArgumentTypeError(f"reshape{tuple(dims)}: expected whole numbers") from error
    if any(dim < 0 for dim in shape):
        raise UsageError(f"reshape{shape}: expected sizes of at least 0")
    return shape


class ArrayBlob(Blob):
    """A blob with arrays of its own, in C order: a bottom, top or parameter as a Python layer sees it."""

    def __init__(self, shape: Shape = (), dtype: Any = np.float32):
        self._data: Any = np.zeros(shape, dtype)
        self._diff: Any = None

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return tuple(self._data.shape)

    @property
    def data(self) -> Any:
        """The values; write into them: ``blob.data[...] = x``."""
        return shown(self._data)

    @property
    def diff(self) -> Any:
        """The gradient; zeros before anything is written."""
        if self._diff is None:
            self._diff = np.zeros_like(self._data)
        return shown(self._diff)

    def reshape(self, *dims: int) -> None:
        """Another shape. As much of the content as has room stays, as in Caffe; what is new is zero."""
        shape = checked_shape(dims)
        if shape != self.shape:
            old, self._data, self._diff = self._data, np.zeros(shape, self._data.dtype), None
            kept = min(old.size, self._data.size)
            self._data.reshape(-1)[:kept] = old.reshape(-1)[:kept]

    def cast(self, dtype: Any) -> None:
        """Another float type, that of the engine; float32 unless it is the reference engine in float64."""
        if self._data.dtype != dtype:
            self._data, self._diff = self._data.astype(dtype), None

    def lend(self, data: Any = None, diff: Any = None) -> None:
        """Puts the net's arrays (or copies in C order) in place of its own."""
        if data is not None:
            self._data = np.asarray(data, order="C")  # ascontiguousarray gives a scalar an axis
        if diff is not None:
            self._diff = np.asarray(diff, order="C")
        elif self._diff is not None and self._diff.shape != self._data.shape:
            self._diff = None


class BlobVec(list[Any]):
    """pycaffe's vector of blobs; ``add_blob`` declares a parameter in a Python layer's ``setup``."""

    def add_blob(self, *dims: int) -> None:
        """Appends a blob of zeros of shape ``dims``."""
        self.append(ArrayBlob(checked_shape(dims)))


class NamedPhase(int):
    """A phase as BVLC's layers get it (0 or 1), which prints as the forks' layers expect it: ``TRAIN``, ``TEST``."""

    def __str__(self) -> str:
        return ("TRAIN", "TEST")[self]


class Layer:
    """The base class of a user's Python layer, ``caffe.Layer``.

    A subclass has ``setup(bottom, top)``, called once; ``reshape(bottom, top)``, called before each pass;
    ``forward(bottom, top)``; and, if it learns or passes gradients, ``backward(top, propagate_down, bottom)``. All
    find ``param_str`` (``param_str_`` as well), ``phase`` and ``blobs`` on ``self``.
    """

    param_str: str
    param_str_: str
    phase: int
    blobs: BlobVec
    type = "Python"

    def __new__(cls, *_arguments: Any, **_keywords: Any) -> Layer:
        """Makes ``blobs`` here, so that a subclass may leave out ``super().__init__()``."""
        layer = super().__new__(cls)
        layer.blobs = BlobVec()
        return layer

    def __init__(self, param: Any = None):
        self.layer_param = param


class KeyedLayer(Layer):
    """A Python layer that draws random numbers or has a position in its data, and resumes bit for bit.

    The net sets ``name``, ``random``, its source of all random numbers, and before each pass ``rng``, a generator that
    depends on the net's seed, the layer's name and the number of the pass alone.
    """

    name: str
    random: RandomSource
    rng: np.random.Generator
    steady = (
        False  # whether its tops' shapes in a pass are a good guess for the next, whatever the bottoms' sizes
    )

    def state(self) -> dict[str, Any]:
        """What a snapshot keeps; JSON-able."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what ``state`` gave."""

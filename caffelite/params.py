"""Learnable blobs: one store for master weights, gradients and their versions.

A parameter has one float32 master in Caffe's shape, whatever form an engine packs it into. Whoever keeps a
packed form remembers the ``stamp()`` at which it was packed and packs again when the stamp has moved. Users
get views tied to a lease: while a view is alive the stamp moves at every look, and once more when it is gone, so
that writing through a view reaches the next forward pass, be it kept for an hour or for one statement.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from caffelite.types import Shape, count

Array = npt.NDArray[Any]


class _Lease:
    """The base object of the views handed out. It lives as long as any of them does."""

    def __init__(self, array: Array):
        self._array = array
        self.__array_interface__ = array.__array_interface__


class _Ends:
    """Counts leases that have ended. Apart from what it counts for, so that no cycle keeps arrays alive."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, lease: weakref.ref[_Lease]) -> None:
        self.number += 1


class Leased:
    """An array that knows whether a user holds, or has held, a view of it."""

    def __init__(self, make: Callable[[], Array], dtype: npt.DTypeLike):
        self.dtype = np.dtype(dtype)
        self._make = make  # called when the array is first looked at
        self._array: Array | None = None
        self._lease: weakref.ref[_Lease] | None = None
        self._ends = _Ends()
        self._newer: Callable[[Array], None] | None = None  # copies in what an engine has elsewhere

    @property
    def array(self) -> Array:
        if self._array is None:
            self._array = self._make()
        if self._newer is not None:
            newer, self._newer = self._newer, None
            newer(self._array)
        return self._array

    def written_away(self, fetch: Callable[[Array], None]) -> None:
        """Says that an engine's memory has newer numbers. ``fetch`` copies them: at the next look, or now if a view lives."""
        self._newer = fetch
        if self.held:
            _ = self.array

    @property
    def is_away(self) -> bool:
        """Whether an engine's memory has newer numbers, which nobody has fetched."""
        return self._newer is not None

    def adopt(self, array: Array) -> bool:
        """Takes an array for its own if nobody has looked yet and it is fit to be written to."""
        fit = array.flags.c_contiguous and array.flags.writeable and array.dtype == self.dtype
        if self._array is not None or not fit:
            return False
        self._array = array
        return True

    def view(self) -> Array:
        """A writable view; as long as it or a view of it lives, ``held`` is true."""
        lease = self._lease() if self._lease else None
        if lease is None:
            lease = _Lease(self.array)
            self._lease = weakref.ref(lease, self._ends)
        return np.asarray(lease)

    @property
    def held(self) -> bool:
        """Whether a view is alive."""
        return self._lease is not None and self._lease() is not None

    @property
    def ended(self) -> int:
        """How often the last view has gone."""
        return self._ends.number


class Param:
    """One learnable blob: ``data`` and ``grad`` of the same shape, C-contiguous.

    Several layers, nets or shapes may share one: ``reshaped`` gives a Param over the same memory, ``twin`` one
    over the same values with a gradient of its own.
    """

    def __init__(self, data: Array):
        self._set(data.shape, _Values(lambda: data.reshape(-1), data.dtype))

    @classmethod
    def lazy(cls, shape: Shape, dtype: npt.DTypeLike, make: Callable[[], Array]) -> Param:
        """A parameter whose values are made when first looked at, and never if weights are loaded before."""
        return cls._of(shape, _Values(lambda: make().reshape(-1), dtype))

    @classmethod
    def _of(cls, shape: Shape, values: _Values, gradient: _Gradient | None = None) -> Param:
        param = cls.__new__(cls)
        param._set(shape, values, gradient)
        return param

    def _set(self, shape: Shape, values: _Values, gradient: _Gradient | None = None) -> None:
        self.shape: Shape = tuple(shape)
        self._values = values
        self._gradient = gradient or _Gradient(values)

    @property
    def size(self) -> int:
        return count(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._values.dtype

    @property
    def data(self) -> Array:
        """The master weights."""
        return self._values.array.reshape(self.shape)

    @classmethod
    def zeros(cls, shape: Shape, dtype: npt.DTypeLike = np.float32) -> Param:
        return cls(np.zeros(shape, dtype))

    def reshaped(self, shape: Shape) -> Param:
        """The same memory seen in another shape of equal count (PERMISSIVE sharing)."""
        if count(shape) != count(self.shape):
            raise ValueError(f"cannot see {self.shape} as {shape}: the counts differ")
        return Param._of(shape, self._values, self._gradient)

    def twin(self) -> Param:
        """The same values with another gradient: the parameter in a second net."""
        return Param._of(self.shape, self._values)

    def shares_with(self, other: Param) -> bool:
        """Whether both are the same values."""
        return self._values is other._values

    @property
    def identity(self) -> int:
        """A number that is equal for all Params over the same values, as long as one of them lives."""
        return id(self._values)

    @property
    def grad_identity(self) -> int:
        """A number that is equal for all Params over the same gradient, as long as one of them lives."""
        return id(self._gradient)

    # -- versions ---------------------------------------------------------------------------------------

    def stamp(self) -> int:
        """A number that differs from the last one if ``data`` may have changed since."""
        if self._values.held:
            self._values.version += 1
        return self._values.version + self._values.ended

    def touch(self) -> None:
        """Says that ``data`` was written."""
        self._values.version += 1

    def written_away(self, fetch: Callable[[Array], None]) -> None:
        """Says that an engine has written ``data`` in its own memory; ``fetch`` copies it to an array, flat."""
        self._values.written_away(fetch)
        self.touch()

    def load(self, values: Array) -> None:
        """Copies values in; a parameter that nobody has looked at yet takes the array itself.

        Raises ValueError for another number of values.
        """
        values = values.reshape(self.shape)
        if not self._values.adopt(values.reshape(-1)):
            np.copyto(self.data, values, casting="same_kind")
        self.touch()

    # -- gradients --------------------------------------------------------------------------------------

    @property
    def grad(self) -> Array:
        """The gradient, its zeros written out if it was only marked as cleared."""
        return self._gradient.written().array.reshape(self.shape)

    def clear_grad(self) -> None:
        """Makes the gradient zero: at once if a user looks at it, else by a mark that costs nothing."""
        self._gradient.clear()

    def grad_for_write(self) -> tuple[Array, bool]:
        """The gradient's memory and whether to add to it (True) or to overwrite all of it (False)."""
        add = not self._gradient.cleared
        array = self._gradient.memory().array
        self._gradient.cleared = False
        return array.reshape(self.shape), add

    def grad_written_away(self, fetch: Callable[[Array], None]) -> None:
        """Says that an engine has written the gradient in its own memory; ``fetch`` copies it to an array, flat."""
        self._gradient.cleared = False
        self._gradient.memory().written_away(fetch)

    @property
    def grad_is_away(self) -> bool:
        """Whether an engine's memory has the newest gradient."""
        return self._gradient.memory().is_away

    @property
    def grad_is_zero(self) -> bool:
        """Whether the gradient is known to be all zeros."""
        return self._gradient.cleared

    # -- what users see ---------------------------------------------------------------------------------

    def data_view(self) -> Array:
        """A live, writable view of ``data``."""
        return self._values.view().reshape(self.shape)

    def grad_view(self) -> Array:
        """A live, writable view of the gradient."""
        return self._gradient.written().view().reshape(self.shape)


class _Values(Leased):
    def __init__(self, make: Callable[[], Array], dtype: npt.DTypeLike):
        super().__init__(make, dtype)
        self.version = 1


class _Gradient:
    """Zero until written; its memory is allocated when it is first needed."""

    def __init__(self, values: _Values):
        self._values = values
        self._memory: Leased | None = None
        self.cleared = True  # the gradient is zero, whatever its memory holds

    def memory(self) -> Leased:
        if self._memory is None:
            values = self._values  # not self: arrays are freed as soon as nobody has them
            self._memory = Leased(lambda: np.empty_like(values.array), values.dtype)
        return self._memory

    def written(self) -> Leased:
        """The memory with its zeros written out."""
        if self.cleared:
            self.memory().array[...] = 0
            self.cleared = False
        return self.memory()

    def clear(self) -> None:
        self.cleared = True
        if self._memory is not None and self._memory.held:
            self.written()


def __getattr__(name: str) -> Any:
    """``from caffe import params as P`` and ``P.Pooling.MAX``: this module is pycaffe's pseudo-module too."""
    if not name[:1].isupper():
        raise AttributeError(f"module 'caffelite.params' has no attribute '{name}'")
    from caffelite import net_spec

    return getattr(net_spec.params, name)

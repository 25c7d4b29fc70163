"""What a layer is: names, parameters, shapes, and a body that any array module can run.

A layer file holds one class, named as the type in the prototxt. It declares the names of its bottoms and
tops, and methods take exactly the arrays that they name, so the signature *is* the declaration of what the
planner must keep alive: a ``backward(self, xp, y, dy, dx)`` that does not name ``x`` lets ``x`` be overwritten.

    bottoms = ("x",)              one bottom;  ("x", "label?") an optional one;  ("x*",) any number, a list
    infer(shapes) -> shapes       pure on shapes; declares ``self.param(...)`` and ``self.save(...)``
    forward(xp, x, y, W, b)       writes y
    backward(xp, x, W, dy, dx, dW, db)     overwrites dx (None: nobody asks), adds to dW and db (None likewise)
    measure(xp, x) -> shapes      only for layers whose tops' shapes depend on values: called in each pass just before
                                  forward, whose tops then have these shapes; ``infer`` gives those before the first pass

Arrays: float32 (float64 on the reference engine). 4-D arrays have shape (N, C, H, W) and may be channels-last
in memory, so write ``y[...] = ...`` or ``out=y`` and never into ``y.reshape(...)``, which may be a copy.
``xp`` is the array module (numpy, cupy). ``rng`` in a signature is a ``numpy.random.Generator`` that depends
only on the net's seed, the layer's name and the number of the pass. ``blobs`` and ``dblobs`` are lists of all
parameters and their gradients, for layers that learn only at run time how many they have.

What forward leaves for backward goes to saved arrays or to ``self.session``, never to attributes: a change of
shape makes new layer objects, also in the middle of a pass when a layer before this one measures.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from caffelite.errors import NetError, ShapeError, layer_message
from caffelite.fillers import objection
from caffelite.layers._forks import fork_fields
from caffelite.prototxt.source import NO_SOURCE, Where
from caffelite.types import Location, Phase, Shape

if TYPE_CHECKING:
    from caffelite.random import RandomSource


@dataclass(frozen=True)
class ParamSpec:
    """A learnable blob that a layer declares: its name inside the layer, shape, and how it starts."""

    name: str
    shape: Shape
    filler: Any = None  # FillerParameter message; None means the constant below
    value: float = 0.0
    learnable: bool = True  # False for statistics (BatchNorm), which no solver touches


@dataclass(frozen=True)
class SavedSpec:
    """An array that forward leaves for backward (a mask, statistics)."""

    name: str
    shape: Shape
    dtype: str = "float"  # "float" follows the engine; otherwise a NumPy name such as "uint8"


class Layer:
    """One layer of a net, after its parameters were read and its shapes inferred."""

    bottoms: ClassVar[tuple[str, ...]] = ("x",)
    tops: ClassVar[tuple[str, ...]] = ("y",)
    message: ClassVar[str] = ""  # the field of LayerParameter that holds its parameters
    inplace: ClassVar[bool] = False  # forward may write y over x, and backward dx over dy
    view: ClassVar[bool] = False  # tops hold the bottom's elements in the same order: no copy is needed
    loss: ClassVar[bool] = False  # top 0 counts in the objective with weight 1 if nothing else is said
    paired: ClassVar[bool] = False  # as many tops as bottoms, top i from bottom i
    unforced: ClassVar[tuple[str, ...]] = ()  # bottoms that force_backward does not reach (labels)
    source: ClassVar[bool] = False  # makes data by itself; shapes of its tops may change between passes
    # of one that measures: its tops' shapes in a pass are a good guess for the next, at any size
    steady: bool = False
    host: ClassVar[bool] = False  # its methods need NumPy arrays, whatever xp is; on a GPU they are copied to and fro
    extensions: ClassVar[tuple[str, ...]] = ()  # fields of Caffe's forks that it understands

    def __init__(
        self,
        spec: Any,
        phase: Phase = Phase.TRAIN,
        where: Where = NO_SOURCE,
        session: dict[str, Any] | None = None,
        random: RandomSource | None = None,
    ):
        self.spec = spec  # the LayerParameter
        self.name: str = spec.name
        self.type: str = spec.type or type(self).__name__
        self.p: Any = getattr(spec, self.message) if self.message else None
        self.phase = phase
        self.where = where
        self.session: dict[str, Any] = session if session is not None else {}  # outlives a change of shape
        self.random = random  # the net's source of random numbers (data layers, Python layers)
        self.params: list[ParamSpec] = []
        self.saved: list[SavedSpec] = []
        self.absent: set[str] = set()  # names in forward and backward that are None here
        self._refuse_forks()
        self.setup()

    def setup(self) -> None:
        """Checks parameters that do not depend on shapes. Raises NetError."""

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        """Top shapes from bottom shapes, in the order of the prototxt; declares params and saved arrays."""
        raise NotImplementedError(f"{type(self).__name__} has no infer()")

    # forward and backward are declared by each layer with the names it needs (see the module's text).

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Multiply-accumulates of one forward pass, for ``caffelite summary``."""
        return 0

    def next_shapes(self) -> Sequence[Shape]:
        """Shapes of the tops that the next forward pass will deliver, for layers with ``source = True``."""
        return ()

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to go on as if never stopped (a data position); JSON-able."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what ``state`` gave."""

    def close(self) -> None:
        """Frees what the session holds (files, workers)."""

    # -- for subclasses ---------------------------------------------------------------------------------

    def param(
        self, name: str, shape: Shape, filler: Any = None, value: float = 0.0, learnable: bool = True
    ) -> None:
        """Declares the next blob of ``net.params[layer]``. Raises NetError for a filler that cannot fill it."""
        self.check_filler(filler, shape, name)
        self.params.append(ParamSpec(name, tuple(shape), filler, value, learnable))

    def no_param(self, name: str) -> None:
        """Says that a blob which the methods name is not there: they get None for it and for its gradient."""
        self.absent |= {name, f"d{name}"}

    def filler(self, field: str = "filler") -> Any:
        """The FillerParameter in a field of the layer's message, None if the user gave none."""
        return getattr(self.p, field) if self.p.HasField(field) else None

    def check_filler(self, filler: Any, shape: Shape, name: str) -> None:
        """Raises NetError for a FillerParameter that cannot fill the shape of ``name``; None always can."""
        problem = objection(filler, shape) if filler is not None else None
        if problem is not None:
            expected, got, fix = problem
            raise self.error(f"{expected} in the filler of {name}", got, fix)

    def save(self, name: str, shape: Shape, dtype: str = "float") -> None:
        """Declares an array that forward writes and backward reads."""
        self.saved.append(SavedSpec(name, tuple(shape), dtype))

    def location(self, *fields: str | int) -> Location:
        """Where the layer, or one of its fields, stands in its file."""
        return self.where.at(*fields)

    def error(self, expected: str, got: object = "", fix: str = "", field: str = "") -> NetError:
        """A NetError about a parameter: ``raise self.error("num_output > 0", 0, field="num_output")``."""
        fields = (self.message, field) if field and self.message else (field,) if field else ()
        return NetError(
            layer_message(self.name, self.type, self.location(*fields), f"expected {expected}", str(got), fix)
        )

    def shape_error(self, expected: str, got: object = "", fix: str = "") -> ShapeError:
        """A ShapeError about a bottom: ``raise self.shape_error("x (N, *S)", x)``."""
        return ShapeError(
            layer_message(self.name, self.type, self.location(), f"expected {expected}", str(got), fix)
        )

    def tell(self, error: Exception, what: str) -> None:
        """Notes on an error of somebody else's code in which layer, and what of it, it was raised; once."""
        place = self.location()
        where = f"of layer '{self.name}' ({self.type})" + (f" at {place}" if place else "")
        if not any(where in note for note in getattr(error, "__notes__", ())):
            error.add_note(f"in {what} {where}")

    def choice(self, field: str, *known: str) -> str:
        """The name of an enum field's value. Raises NetError for one that is not known, but to a fork of Caffe."""
        name = enum_name(self.p, field)
        if name not in known:
            raise self.error(f"{field} {', '.join(known[:-1])} or {known[-1]}", name, field=field)
        return name

    def axis(self, axis: int, ndim: int, field: str = "axis") -> int:
        """Canonical form of an axis parameter, negative ones counted from the end. Raises NetError."""
        if not ndim:
            raise self.shape_error("a bottom with at least 1 axis", "a scalar")
        if not -ndim <= axis < ndim:
            raise self.error(
                f"an axis from {-ndim} to {ndim - 1} for a bottom with {ndim} axes", axis, field=field
            )
        return axis % ndim

    def _refuse_forks(self) -> None:
        for param, field in fork_fields(self.spec):
            if field not in self.extensions:
                where = self.location(param, field)
                expected = f"fields of BVLC Caffe in {param}"
                fix = f"drop {field}, a field of a fork of Caffe, if the net can do without what it does"
                raise NetError(layer_message(self.name, self.type, where, f"expected {expected}", field, fix))


def enum_name(message: Any, field: str) -> str:
    """The name of an enum field's value, as the prototxt writes it: ``enum_name(pooling_param, "pool") == "MAX"``."""
    values = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    name: str = values[getattr(message, field)].name
    return name


def plain(name: str) -> str:
    """A declared name without its mark: ``label?`` -> ``label``."""
    return name.rstrip("?*")


@cache
def _argument_names(function: Any) -> tuple[str, ...]:
    names = list(inspect.signature(function).parameters)
    return tuple(name for name in names if name != "self")


def argument_names(method: Any) -> tuple[str, ...]:
    """The arrays (and ``xp``, ``rng``) that a forward or backward method asks for."""
    return _argument_names(getattr(method, "__func__", method))


def measures(layer: Layer) -> bool:
    """Whether the shapes of the layer's tops depend on values, so that they are known only during a pass."""
    return getattr(layer, "measure", None) is not None


def has_backward(layer: Layer) -> bool:
    """Whether a gradient can pass through the layer."""
    return hasattr(layer, "backward")

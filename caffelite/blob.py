"""pycaffe's Blob and Layer over a living net: views, never copies."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from caffelite.errors import ArgumentTypeError, UsageError
from caffelite.graph.graph import Node
from caffelite.params import Array, Param
from caffelite.plan.kernel import Operand
from caffelite.plan.plan import Buffer, Placement
from caffelite.prototxt.suggest import suggestion
from caffelite.python_layer import Blob, BlobVec, checked_shape, shown
from caffelite.types import Shape

if TYPE_CHECKING:
    from caffelite.model import Model


V = TypeVar("V")


class Named(OrderedDict[str, V]):
    """What a net has by name. A name that is not there is a KeyError that says what it may have been meant to be."""

    def __init__(self, what: str, items: Iterable[tuple[str, V]] = ()):
        super().__init__(items)
        self._what = what

    def __missing__(self, name: str) -> NoReturn:
        raise KeyError(f"the net has no {self._what} '{name}'{suggestion(name, self)}")

    def __reduce__(self) -> tuple[object, ...]:
        return OrderedDict, (list(self.items()),)

    def copy(self) -> Named[V]:
        return Named(self._what, self.items())


class Living:
    """What belongs to a living net: ``copy`` and ``pickle`` are told what to do instead."""

    instead: ClassVar[str] = "copy its arrays, blob.data.copy()"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise ArgumentTypeError(
            f"{type(self).__name__}: parts of a living net cannot be copied or pickled\n  Fix: {self.instead}"
        )


class ParamBlob(Living, Blob):
    """A learnable blob: ``net.params['conv1'][0]``. It follows its net when that begins to share another's weights."""

    def __init__(self, model: Model, layer: str, index: int):
        self._model, self._layer, self._index = model, layer, index

    @property
    def _param(self) -> Param:
        return self._model.params[self._layer][self._index]

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self._param.shape

    @property
    def data(self) -> Array:
        """The float32 master weights, live and writable."""
        return shown(self._param.data_view())

    @property
    def diff(self) -> Array:
        """The gradient, added up since it was last cleared, live and writable."""
        return shown(self._param.grad_view())

    def reshape(self, *dims: int) -> None:
        """Accepts the shape that the blob has. Raises UsageError for another: weights are shaped by their layer."""
        if checked_shape(dims) != self.shape:
            raise UsageError(
                f"a parameter of shape {self.shape} cannot be reshaped to {tuple(dims)}: its layer gives the shape"
            )


class ValueBlob(Living, Blob):
    """A blob between layers: ``net.blobs['conv1']``. NCHW-shaped whatever the engine's layout."""

    def __init__(self, model: Model, name: str, pending: dict[str, Shape]):
        self._model, self._name, self._pending = model, name, pending

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        pending = self._pending.get(self._name)
        return self._model.graph.blobs[self._name].shape if pending is None else pending

    @property
    def data(self) -> Array:
        """The values, live, writable and in C order.

        Where the net keeps them channels-last this is a mirror (see :mod:`caffelite.mirrors`) whose content the next
        pass reads, and which shows what that pass has computed.
        """
        place = self._model.executor.plan.data[self._model.graph.blobs[self._name]]
        if self._name in self._pending:
            return shown(self._ahead(place.buffer.name))
        return shown(self._model.mirrors.view(place))

    @property
    def diff(self) -> Array:
        """The gradient, as ``data`` is; zeros for a blob that no backward pass reaches."""
        executor = self._model.executor
        place = executor.plan.diff.get(self._model.graph.blobs[self._name])
        if place is None or self._name in self._pending:
            return shown(self._ahead(f"{self._name}' (unreached)"))
        executor.prepare_backward()
        return shown(self._model.mirrors.view(place))

    def reshape(self, *dims: int) -> None:
        """Another shape for an input; the rest of the net follows at ``net.reshape()`` or the next forward pass.

        Data layers, in Python too, give their tops the shape of their data again when they run. Raises UsageError for a
        blob whose shape follows from others, unless it is the shape that the blob has.
        """
        shape = checked_shape(dims)
        if self._model.is_free(self._name):
            self._pending[self._name] = shape
        elif shape != self.shape:
            maker = self._model.graph.blobs[self._name].producer.name
            raise UsageError(
                f"blob '{self._name}' of shape {self.shape} is computed by layer '{maker}' and cannot be reshaped to {shape}; "
                "reshape the net's inputs instead"
            )

    def _ahead(self, piece: str) -> Array:
        """An array of the new shape over the memory that the net will find the values in."""
        operand = Operand(self.shape, dtype=self._model.engine.dtype)
        return self._model.mirrors.view(Placement(Buffer(piece, operand.nbytes, "data", source=True), operand))


class LayerView:
    """pycaffe's Layer for the layers that are not Python ones: ``net.layers[0].type``, ``.blobs``."""

    def __init__(self, type_: str, blobs: Iterable[ParamBlob]):
        self.type = type_
        self.blobs = BlobVec(blobs)

    def __repr__(self) -> str:
        return f"<Layer {self.type}>"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Nothing: a layer of a net is set up already."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Nothing: ``net.reshape()`` and each pass give all layers their shapes."""


def param_blobs(model: Model, node: Node) -> BlobVec:
    """The learnable blobs of a layer."""
    return BlobVec(ParamBlob(model, node.store, index) for index, _ in enumerate(node.params))


def layer_view(model: Model, node: Node) -> Any:
    """What ``net.layers`` shows of a layer: the user's own object for a Python layer, a LayerView for others."""
    user = getattr(node.layer, "user", None)
    if user is None:
        return LayerView(node.type, param_blobs(model, node))
    for blob, param in zip(user.blobs, model.params_of(node), strict=True):
        blob.lend(param.data)
    return user

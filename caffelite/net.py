"""pycaffe's Net: the names that scripts know, over :class:`caffelite.model.Model`. No logic of its own.

Source of the names and their behaviour: ``pycaffe.py`` and ``_caffe.cpp`` of BVLC Caffe.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import Any, ClassVar

import numpy as np

from caffelite import defaults
from caffelite.arguments import (
    Hook,
    check_batch,
    check_items,
    check_names,
    check_order,
    checked_hook,
    checked_level,
    checked_phase,
    checked_stages,
    not_memory_data,
)
from caffelite.blob import Living, Named, ValueBlob, layer_view, param_blobs
from caffelite.errors import ArgumentTypeError, UsageError
from caffelite.loading import LoadReport
from caffelite.model import Model
from caffelite.params import Array
from caffelite.prototxt.source import read_net
from caffelite.prototxt.suggest import suggestion
from caffelite.python_layer import BlobVec
from caffelite.types import Phase, Shape


class Net(Living):
    """A net as pycaffe has it.

    ``Net(network_file, phase, level=0, stages=None, weights=None)``, the deprecated
    ``Net(network_file, weights, phase)``, or around a Model with ``Net.of(model)``. Beyond pycaffe: ``engine``,
    ``precision``, ``seed`` and ``lenient`` (see Model); what is not given follows ``set_mode_cpu`` and
    ``set_random_seed``. Passes that several threads ask for take turns. Raises UsageError for wrong arguments, and
    what Model raises.
    """

    instead: ClassVar[str] = "save its weights, and make another: Net(network_file, phase, weights=file)"

    def __init__(
        self,
        network_file: str,
        phase: int | str | os.PathLike[str] = Phase.TEST,
        level: int | None = None,
        stages: Sequence[str] | None = None,
        weights: str | None = None,
        *,
        engine: str | None = None,
        precision: str = "float32",
        seed: int | None = None,
        lenient: bool | None = None,
    ):
        if isinstance(phase, str | os.PathLike):  # the deprecated form: (file, weights, phase)
            if level is None:
                raise ArgumentTypeError(
                    f"Net('{network_file}', '{phase}'): expected the phase as well\n"
                    f"  Fix: Net('{network_file}', caffe.TEST, weights='{phase}')"
                )
            text = f"write Net('{network_file}', caffe.{Phase(checked_phase(level)).name}, weights='{phase}')"
            warnings.warn(
                f"Net(file, weights, phase) is deprecated; {text}", DeprecationWarning, stacklevel=2
            )
            weights, phase, level = os.fspath(phase), level, None
        self._begin(
            Model(
                read_net(network_file, lenient=lenient), checked_phase(phase), level=checked_level(level or 0), stages=checked_stages(stages),
                engine=engine or defaults.engine(), precision=precision, seed=defaults.next_seed() if seed is None else seed,
            )
        )  # fmt: skip
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def of(cls, model: Model) -> Net:
        """The pycaffe view of a model."""
        net = cls.__new__(cls)
        net._begin(model)
        return net

    def _begin(self, model: Model) -> None:
        self._model = model
        self._turn = threading.RLock()
        self._pending: dict[str, Shape] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}', {self._model.phase.name}, {len(self._model.nodes)} layers>"

    # -- what is in it ----------------------------------------------------------------------------------

    @property
    def model(self) -> Model:
        """The model underneath."""
        return self._model

    @property
    def name(self) -> str:
        return str(self.__dict__.get("name", self._model.name))

    @name.setter
    def name(self, value: str) -> None:
        self.__dict__["name"] = value

    @cached_property
    def blobs(self) -> OrderedDict[str, ValueBlob]:
        """Blobs by name, in the order of the net, split ones included."""
        return Named(
            "blob", ((name, ValueBlob(self._model, name, self._pending)) for name in self._model.graph.blobs)
        )

    @cached_property
    def params(self) -> OrderedDict[str, BlobVec]:
        """Learnable blobs of the layers that have any."""
        nodes = (node for node in self._model.nodes if node.params)
        return Named("layer with params", ((node.name, param_blobs(self._model, node)) for node in nodes))

    @property
    def layers(self) -> list[Any]:
        """The layers in order; for a Python layer the user's own object."""
        return [layer_view(self._model, node) for node in self._model.nodes]

    @property
    def layer_dict(self) -> OrderedDict[str, Any]:
        return Named("layer", zip(self._layer_names, self.layers, strict=True))

    @property
    def _layer_names(self) -> list[str]:
        return [node.name for node in self._model.nodes]

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def inputs(self) -> list[str]:
        return self._model.graph.inputs

    @property
    def outputs(self) -> list[str]:
        return self._model.graph.outputs

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        return OrderedDict((name, value.loss_weight) for name, value in self._model.graph.blobs.items())

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((node.name, [value.name for value in node.tops]) for node in self._model.nodes)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((node.name, [value.name for value in node.bottoms]) for node in self._model.nodes)

    # pycaffe's own tables, by position; some scripts read them.

    @property
    def _blobs(self) -> list[ValueBlob]:
        return list(self.blobs.values())

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(value.name) for value in self._model.nodes[layer].bottoms]

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(value.name) for value in self._model.nodes[layer].tops]

    # -- passes -----------------------------------------------------------------------------------------

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Array,
    ) -> dict[str, Array]:
        """Runs the net, or the layers from ``start`` to ``end``; keywords set all inputs. Returns live views.

        Raises UsageError for keywords that are not the inputs or arrays of another batch size, ValueError for layers
        that are not there, KeyError for such blobs.
        """
        first = self._position(start) if start is not None else 0
        last = self._position(end) if end is not None else len(self._model.nodes) - 1
        check_order(first, last, f"start '{start}' comes after end '{end}'")
        shown = self._shown(self.top_names[end] if end is not None else self.outputs, blobs)
        with self._turn:
            if kwargs:
                check_names(kwargs, self.inputs, "Input blob arguments do not match net inputs.")
                for name, array in kwargs.items():
                    check_batch(array, self.blobs[name].shape, "Input")
                    self.blobs[name].data[...] = array
            self._forward(first, last)
            return {name: blob.data for name, blob in shown.items()}

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Array,
    ) -> dict[str, Array]:
        """Runs gradients, from ``start`` down to ``end``; keywords set all outputs' diffs. Returns live views.

        Raises what ``forward`` raises.
        """
        first = self._position(start) if start is not None else len(self._model.nodes) - 1
        last = self._position(end) if end is not None else 0
        check_order(last, first, f"end '{end}' comes after start '{start}'")
        shown = self._shown(self.bottom_names[end] if end is not None else self.inputs, diffs)
        with self._turn:
            if kwargs:
                check_names(kwargs, self.outputs, "Top diff arguments do not match net outputs.")
                for name, array in kwargs.items():
                    check_batch(array, self.blobs[name].shape, "Diff")
                    self.blobs[name].diff[...] = array
            self._backward(first, last)
            return {name: blob.diff for name, blob in shown.items()}

    def _position(self, layer: str) -> int:
        names = self._layer_names
        if layer in names:
            return names.index(layer)
        text = f"net '{self.name}': layer '{layer}' is not in list{suggestion(layer, names)}"
        if (blob := self._model.graph.blobs.get(layer)) is not None:
            text += f"\n  Fix: '{layer}' is a blob, name its layer, '{blob.producer.name}'"
        raise UsageError(text)

    def _shown(self, own: Iterable[str], more: Sequence[str] | None) -> dict[str, ValueBlob]:
        """The blobs that a pass hands out."""
        if isinstance(more, str):
            raise ArgumentTypeError(f"expected a list of blob names, got '{more}'\n  Fix: ['{more}']")
        return {name: self.blobs[name] for name in (*own, *(more or ()))}

    def _forward(self, start: int = 0, end: int | None = None) -> float:
        """Runs layers by position and returns their part of the loss."""
        with self._turn:
            self.reshape()
            return self._model.forward(start, end)

    def _backward(self, start: int | None = None, end: int = 0) -> None:
        """Runs gradients by position, from ``start`` down to ``end``."""
        with self._turn:
            self._model.backward(start, end)

    def forward_all(self, blobs: Sequence[str] | None = None, **kwargs: Array) -> dict[str, Array]:
        """Runs any number of items through the net in batches of its size; returns copies.

        Of an output without axes (a loss) there is one value for each batch.
        """
        check_names(kwargs, self.inputs, "Input blob arguments do not match net inputs.")
        check_items(kwargs)
        results: dict[str, list[Array]] = {name: [] for name in self._shown(self.outputs, blobs)}
        for batch in self._batch(kwargs):
            _extend(results, self.forward(blobs=blobs, **batch))
        return _trimmed(results, kwargs)

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **kwargs: Array
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """As ``forward_all``, each batch also backward; keywords give inputs and the diffs of outputs."""
        check_items(kwargs)
        given = [
            {name: kwargs[name] for name in names if name in kwargs} for names in (self.inputs, self.outputs)
        ]
        outs: dict[str, list[Array]] = {name: [] for name in self._shown(self.outputs, blobs)}
        grads: dict[str, list[Array]] = {name: [] for name in self._shown(self.inputs, diffs)}
        nothing: dict[str, Any] = {}
        for inputs, tops in zip_longest(self._batch(given[0]), self._batch(given[1]), fillvalue=nothing):
            _extend(outs, self.forward(blobs=blobs, **inputs))
            _extend(grads, self.backward(diffs=diffs, **tops))
        return _trimmed(outs, kwargs), _trimmed(grads, kwargs)

    def _batch(self, blobs: dict[str, Array]) -> Iterator[dict[str, Any]]:
        """Batches of the net's own size; the last one is filled up with zeros."""
        if not blobs:
            return
        size = self.blobs[next(iter(blobs))].shape[0]
        items = len(next(iter(blobs.values())))
        for start in range(0, items, size):
            batch = {name: np.asarray(array[start : start + size]) for name, array in blobs.items()}
            missing = size - len(next(iter(batch.values())))
            yield {
                n: np.concatenate([a, np.zeros((missing, *a.shape[1:]), a.dtype)]) for n, a in batch.items()
            }

    def reshape(self) -> None:
        """Lets the net follow inputs whose blobs were reshaped."""
        with self._turn:
            if self._pending:
                wanted = dict(self._pending)
                self._pending.clear()
                self._model.reshape(wanted)

    def clear_param_diffs(self) -> None:
        self._model.clear_grads()

    def set_input_arrays(self, data: Array, labels: Array, *, layer: str | None = None) -> None:
        """Hands arrays to the MemoryData layer ``layer``, by default the net's first layer; references are kept.

        ``data`` is (M, channels, height, width), ``labels`` (M,) or (M, 1, 1, 1), both float32 and C-contiguous, M a
        multiple of the batch size. Raises UsageError for another layer, ArrayError for other arrays.
        """
        target = self._model.nodes[self._position(layer) if layer is not None else 0].layer
        if target.type != "MemoryData":
            raise UsageError(not_memory_data(self._model.graph, layer))
        target.set_arrays(data, labels)  # type: ignore[attr-defined]

    _set_input_arrays = set_input_arrays

    # -- weights ----------------------------------------------------------------------------------------

    def copy_from(self, weights: str) -> LoadReport:
        """Loads weights by layer name and says which were loaded, skipped, and left as they were."""
        return self._model.load_weights(weights)

    load_hdf5 = copy_from

    def share_with(self, other: Net) -> None:
        """Uses another net's weights wherever layer names agree, from now on. Raises what ``Model.share_params`` does."""
        if not isinstance(other, Net):
            raise ArgumentTypeError(f"share_with: expected a Net, got {type(other).__name__}")
        self._model.share_params(other._model)

    def save(self, path: str) -> None:
        self._model.save(path, hdf5=False)

    def save_hdf5(self, path: str) -> None:
        self._model.save(path, hdf5=True)

    # -- hooks ------------------------------------------------------------------------------------------

    def _hooked(self, hook: Hook) -> Hook:
        """A hook that sees, in the middle of a pass, what was computed so far, and whose writing reaches the rest."""
        checked_hook(hook)

        def call(position: int) -> None:
            self._model.mirrors.refresh()
            hook(position)
            self._model.mirrors.write_back()

        return call

    def before_forward(self, hook: Hook) -> None:
        """Calls ``hook(position)`` before each layer of each forward pass."""
        self._model.hooks.before_forward.append(self._hooked(hook))

    def after_forward(self, hook: Hook) -> None:
        """Calls ``hook(position)`` after each layer of each forward pass."""
        self._model.hooks.after_forward.append(self._hooked(hook))

    def before_backward(self, hook: Hook) -> None:
        """Calls ``hook(position)`` before each layer of each backward pass."""
        self._model.hooks.before_backward.append(self._hooked(hook))

    def after_backward(self, hook: Hook) -> None:
        """Calls ``hook(position)`` after each layer of each backward pass."""
        self._model.hooks.after_backward.append(self._hooked(hook))


def _extend(rows: dict[str, list[Array]], batch: dict[str, Array]) -> None:
    for name, array in batch.items():
        rows[name].extend(np.atleast_1d(array).copy())


def _trimmed(rows: dict[str, list[Array]], given: dict[str, Array]) -> dict[str, Array]:
    """Arrays without the items that filled up the last batch."""
    items = len(next(iter(given.values()), ()))
    return {name: np.asarray(found[:items]) for name, found in rows.items()}

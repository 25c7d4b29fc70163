"""Weights from one format into another: caffemodel, HDF5, safetensors, npz."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from caffelite.export.deploy import without_data
from caffelite.export.subject import AnyNet, living_net, source_of
from caffelite.graph.state import net_state
from caffelite.loading import LoadReport
from caffelite.model import Model
from caffelite.types import Phase
from caffelite.weights import LayerWeights, write_npz, write_safetensors

Weights = str | Path | None
Shapes = Mapping[str, Sequence[int]]


def safetensors(
    net: AnyNet, weights: Weights, path: str | Path, *, phase: int = Phase.TEST, shapes: Shapes | None = None
) -> LoadReport | None:
    """Writes a net's weights as safetensors, with names and types of the layers.

    ``net`` is a prototxt or a living net, whose weights are taken if ``weights`` is None. ``phase`` says which layers
    count; ``shapes`` stand in for the data of data layers. Returns what was loaded, None for a living net alone.

    Raises NetError, WeightsError, DataError, SnapshotError.
    """
    return _convert(net, weights, phase, shapes, lambda model: write_safetensors(path, layer_weights(model)))


def npz(
    net: AnyNet, weights: Weights, path: str | Path, *, phase: int = Phase.TEST, shapes: Shapes | None = None
) -> LoadReport | None:
    """Writes a net's weights as a NumPy archive: ``numpy.load(path)["conv1.0"]``. Otherwise as ``safetensors``."""
    return _convert(net, weights, phase, shapes, lambda model: write_npz(path, layer_weights(model)))


def caffemodel(
    net: AnyNet, weights: Weights, path: str | Path, *, phase: int = Phase.TEST, shapes: Shapes | None = None
) -> LoadReport | None:
    """Writes a binary caffemodel that BVLC Caffe reads. Otherwise as ``safetensors``."""
    return _convert(net, weights, phase, shapes, lambda model: model.save(path, hdf5=False))


def hdf5(
    net: AnyNet, weights: Weights, path: str | Path, *, phase: int = Phase.TEST, shapes: Shapes | None = None
) -> LoadReport | None:
    """Writes Caffe's ``.caffemodel.h5``. Otherwise as ``safetensors``."""
    return _convert(net, weights, phase, shapes, lambda model: model.save(path, hdf5=True))


def layer_weights(model: Model) -> list[LayerWeights]:
    """A net's weights as a file holds them: layers with parameters, a shared blob at each of its users."""
    return [
        LayerWeights(node.store, node.type, [p.data for p in params], [False] * len(params))
        for node in model.nodes
        if (params := model.params_of(node))
    ]


def _convert(
    net: AnyNet, weights: Weights, phase: int, shapes: Shapes | None, write: Callable[[Model], None]
) -> LoadReport | None:
    model = living_net(net)
    if model is None or weights is not None:
        source = source_of(net)
        sizes = {name: tuple(int(dim) for dim in shape) for name, shape in (shapes or {}).items()}
        state = model.state if model else net_state(source, phase)
        model = Model(without_data(source, sizes), state=state, backward=False, observe=False)
    report = None if weights is None else model.load_weights(weights)
    write(model)
    return report

"""From a net's graph to a draft in ONNX operators: each layer's form in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caffelite.errors import ExportError, layer_message
from caffelite.export.forms import Form, find_form
from caffelite.export.tensors import Draft, Op, Tensor
from caffelite.export.writer import Inexpressible, Writer
from caffelite.graph.graph import Graph, Node, Value
from caffelite.graph.wiring import assign
from caffelite.layers.base import argument_names
from caffelite.params import Param
from caffelite.types import Shape


@dataclass
class Trace:
    """The draft, and which tensor holds each value of the graph; ``dims`` has -1 for sizes that follow the batch."""

    draft: Draft
    tensors: dict[Value, Tensor]
    dims: dict[Value, Shape]


def trace(
    graph: Graph, params: Mapping[str, list[Param]], outputs: Sequence[str], opset: int, other: Graph | None
) -> Trace:
    """Writes all layers that lead to ``outputs``. ``other`` is the net with another batch if that may be any.

    Raises ExportError that lists every layer without a form.
    """
    result = Trace(Draft(), {}, _dims(graph, other))
    owners: dict[Tensor, Value] = {}
    refusals: list[str] = []
    for node in graph.nodes:
        writer = Writer(
            result.draft, node.layer, [result.dims[top] for top in node.tops], opset, other is not None
        )
        for value, tensor in zip(node.tops, _tops(writer, node, params, result, refusals), strict=False):
            result.tensors[value] = tensor
            if tensor not in owners and tensor.array is None:
                owners[tensor] = value
                tensor.shape, tensor.dims = value.shape, result.dims[value]
    if refusals:
        raise ExportError(_listed(graph, refusals))
    _name_blobs(owners, result.draft.inputs)
    for name in outputs:
        _add_output(result, graph.blobs[name])
    result.draft.prune()
    result.draft.name_all()
    return result


def _dims(graph: Graph, other: Graph | None) -> dict[Value, Shape]:
    """The sizes of all values, -1 where they differ in a net with another batch."""
    twins = other.values if other else graph.values
    return {
        value: tuple(a if a == b else -1 for a, b in zip(value.shape, twin.shape, strict=True))
        for value, twin in zip(graph.values, twins, strict=True)
    }


def _tops(
    writer: Writer, node: Node, params: Mapping[str, list[Param]], result: Trace, refusals: list[str]
) -> list[Tensor]:
    """The tensors of a layer's tops; after a refusal empty ones, so that the layers behind it are looked at too."""
    layer = node.layer
    try:
        form = find_form(layer.type)
        if form is None:
            raise writer.refuse("caffelite has no ONNX form of this type")
        made = form(writer, **_arguments(form, node, params, result))
    except Inexpressible as error:
        refusals.append(layer_message(layer.name, layer.type, layer.location(), str(error)))
        made = [Tensor(value.shape, result.dims[value]) for value in node.tops]
    return made if isinstance(made, list) else [made]


def _arguments(form: Form, node: Node, params: Mapping[str, list[Param]], result: Trace) -> dict[str, Any]:
    """The bottoms and parameters that a form names; None for those that the layer says are absent."""
    layer = node.layer
    known: dict[str, Any] = dict.fromkeys(layer.absent)
    known |= assign(layer.bottoms, [result.tensors[value] for value in node.bottoms])
    mine = params[node.name] if node.params else []
    known |= {use.spec.name: param.data for use, param in zip(node.params, mine, strict=True)}
    return {name: known[name] for name in argument_names(form) if name in known}


def _name_blobs(owners: dict[Tensor, Value], inputs: Sequence[Tensor]) -> None:
    """A tensor has its blob's name; other versions of the blob carry a number: ``ip1@0``.

    The version with the plain name is the last one, but of an input that is written over the input itself.
    """
    plain = {value.name: tensor for tensor, value in owners.items()}
    plain |= {owners[tensor].name: tensor for tensor in inputs}
    for tensor, value in owners.items():
        tensor.name = value.name if plain[value.name] is tensor else str(value)


def _add_output(result: Trace, value: Value) -> None:
    """Makes a value an output under its blob's name; where that is another's tensor, a copy of it."""
    draft, tensor = result.draft, result.tensors[value]
    if tensor.name != value.name or tensor in draft.inputs:
        copy = Tensor(value.shape, result.dims[value], name=value.name)
        draft.ops.append(Op("Identity", [tensor], [copy], {}, value.producer.name))
        result.tensors[value] = tensor = copy
    draft.outputs.append(tensor)


def _listed(graph: Graph, refusals: list[str]) -> str:
    layers = "1 layer" if len(refusals) == 1 else f"{len(refusals)} layers"
    return f"net '{graph.name}' cannot be expressed in ONNX, because of {layers}:\n" + "\n".join(refusals)

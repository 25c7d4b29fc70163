"""From a net's graph to a draft in ONNX operators: each layer's form in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caffelite.errors import ExportError, layer_message
from caffelite.export.forms import find_form
from caffelite.export.tensors import Draft, Op, Tensor
from caffelite.export.writer import Inexpressible, Writer
from caffelite.graph.graph import Graph, Node, Value
from caffelite.graph.wiring import assign
from caffelite.params import Param


@dataclass
class Trace:
    """The draft, and which tensor holds each value of the graph."""

    draft: Draft
    tensors: dict[Value, Tensor]


def trace(
    graph: Graph, params: Mapping[str, list[Param]], outputs: Sequence[str], opset: int, symbolic: bool
) -> Trace:
    """Writes all layers that lead to ``outputs``. Raises ExportError that lists every layer without a form."""
    result = Trace(Draft(), {})
    owners: dict[Tensor, Value] = {}
    refusals: list[str] = []
    for node in graph.nodes:
        for value, tensor in zip(
            node.tops, _tops(node, params, result, opset, symbolic, refusals), strict=False
        ):
            result.tensors[value] = tensor
            if tensor not in owners and tensor.array is None:
                owners[tensor] = value
                tensor.shape = value.shape
    if refusals:
        raise ExportError(_listed(graph, refusals))
    _name_blobs(owners)
    for name in outputs:
        _add_output(result, graph.blobs[name])
    result.draft.prune()
    result.draft.name_all()
    return result


def _tops(
    node: Node,
    params: Mapping[str, list[Param]],
    result: Trace,
    opset: int,
    symbolic: bool,
    refusals: list[str],
) -> list[Tensor]:
    """The tensors of a layer's tops; after a refusal empty ones, so that the layers behind it are looked at too."""
    layer = node.layer
    writer = Writer(result.draft, layer, [value.shape for value in node.tops], opset, symbolic)
    try:
        form = find_form(layer.type)
        if form is None:
            raise writer.refuse("caffelite has no ONNX form of this type")
        made = form(writer, **_arguments(node, params, result))
    except Inexpressible as error:
        refusals.append(layer_message(layer.name, layer.type, layer.location(), str(error)))
        made = [Tensor(value.shape) for value in node.tops]
    return made if isinstance(made, list) else [made]


def _arguments(node: Node, params: Mapping[str, list[Param]], result: Trace) -> dict[str, Any]:
    layer = node.layer
    arguments = assign(layer.bottoms, [result.tensors[value] for value in node.bottoms])
    mine = params[node.name] if node.params else []
    arguments |= {use.spec.name: param.data for use, param in zip(node.params, mine, strict=True)}
    return arguments | {name: None for name in layer.absent if not name.startswith("d")}


def _name_blobs(owners: dict[Tensor, Value]) -> None:
    """A tensor has its blob's name; the versions of a blob before its last carry a number: ``ip1@0``."""
    last = {value.name: tensor for tensor, value in owners.items()}
    for tensor, value in owners.items():
        tensor.name = value.name if last[value.name] is tensor else str(value)


def _add_output(result: Trace, value: Value) -> None:
    """Makes a value an output under its blob's name; where that is another's tensor, a copy of it."""
    draft, tensor = result.draft, result.tensors[value]
    if tensor.name != value.name or tensor in draft.inputs:
        copy = Tensor(value.shape, name=value.name)
        draft.ops.append(Op("Identity", [tensor], [copy], {}, value.producer.name))
        result.tensors[value] = tensor = copy
    draft.outputs.append(tensor)


def _listed(graph: Graph, refusals: list[str]) -> str:
    layers = "1 layer" if len(refusals) == 1 else f"{len(refusals)} layers"
    return f"net '{graph.name}' cannot be expressed in ONNX, because of {layers}:\n" + "\n".join(refusals)

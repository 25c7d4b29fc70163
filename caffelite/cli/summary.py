"""``caffelite summary NET``: what a net is made of and what it costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from caffelite.cli.command import PHASE, STATE, Command
from caffelite.cli.flags import Flag, Options
from caffelite.cli.nets import SHAPE, graph_of, shapes_of, state_of
from caffelite.cli.table import table
from caffelite.graph.graph import Graph, Node
from caffelite.prototxt.source import read_net
from caffelite.types import Shape, count

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Row:
    """One layer: sizes of its tops, its own numbers, multiply-adds of a forward pass, bytes of its tops."""

    layer: str
    type: str
    tops: dict[str, Shape]
    params: int
    macs: int
    bytes: int


def rows(graph: Graph) -> list[Row]:
    """The layers of a graph but for the Splits, which neither compute nor hold anything."""
    return [_row(node) for node in graph.nodes if node.type != "Split"]


def _row(node: Node) -> Row:
    tops = {value.name: value.shape for value in node.tops if value.visible}
    own = sum(count(use.spec.shape) for use in node.params if use.owner is None)
    macs = node.layer.macs([value.shape for value in node.bottoms], [value.shape for value in node.tops])
    inplace = {top for _, top in node.inplace_pairs()}
    nbytes = (
        0 if node.layer.view else sum(count(v.shape) for v in node.tops if v not in inplace) * _FLOAT_BYTES
    )
    return Row(node.name, node.type, tops, own, macs, nbytes)


def _run(options: Options) -> int:
    source = read_net(options.arguments[0])
    graph = graph_of(source, state_of(source, options), shapes_of(options))
    found = rows(graph)
    if options.switch("json"):
        print(json.dumps(_totals(graph, found) | {"layers": [asdict(row) for row in found]}, indent=1))
    else:
        print("\n".join(_lines(graph, found)))
    return 0


def _totals(graph: Graph, found: list[Row]) -> dict[str, Any]:
    statistics = sum(count(use.spec.shape) for use in graph.params if not use.spec.learnable)
    params = sum(row.params for row in found)
    return {
        "net": graph.name, "phase": graph.phase.name, "params": params - statistics, "statistics": statistics,
        "macs": sum(row.macs for row in found), "items": _items(graph),
        "param_bytes": params * _FLOAT_BYTES, "blob_bytes": sum(row.bytes for row in found),
    }  # fmt: skip


def _items(graph: Graph) -> int:
    """Items of a batch: the first axis of the net's first blob."""
    shape = graph.values[0].shape if graph.values else ()
    return shape[0] if shape else 1


def _lines(graph: Graph, found: list[Row]) -> Iterator[str]:
    total = sum(row.macs for row in found)
    head = ("layer", "type", "top", "params", "multiply-adds", "%", "memory")
    body = [
        (
            row.layer, row.type, "  ".join("x".join(map(str, s)) or "1" for s in row.tops.values()) or "-",
            f"{row.params:,}" if row.params else "-", f"{row.macs:,}" if row.macs else "-",
            f"{100 * row.macs / total:.1f}" if row.macs else "-", size_text(row.bytes),
        )
        for row in found
    ]  # fmt: skip
    yield from table(head, body, right=(3, 4, 5, 6))
    yield ""
    yield from _footer(graph, found, total)


def _footer(graph: Graph, found: list[Row], total: int) -> Iterator[str]:
    totals, items = _totals(graph, found), max(_items(graph), 1)
    yield f"net            {graph.name or '(no name)'}, phase {graph.phase.name}, {len(found)} layers"
    statistics = f", and {totals['statistics']:,} statistics" if totals["statistics"] else ""
    yield f"parameters     {totals['params']:,}{statistics} ({size_text(totals['param_bytes'])})"
    each = f", {total // items:,} for each of {items} items" if items > 1 else ""
    yield f"multiply-adds  {total:,}{each}"
    yield f"blobs          {size_text(totals['blob_bytes'])} in float32; as much again for gradients"


def size_text(nbytes: float) -> str:
    """Bytes for people: ``12.3 KiB``; ``-`` for none."""
    if not nbytes:
        return "-"
    for unit in ("B", "KiB", "MiB"):
        if nbytes < 1024:
            return f"{nbytes:.0f} B" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} GiB"


COMMAND = Command(
    "layers, shapes, parameters, multiply-adds and memory of a net",
    _run,
    (PHASE, *STATE, SHAPE, Flag("json", False, "one JSON object instead of a table")),
    "NET",
    "Multiply-adds are those of the convolutions and inner products of one forward pass over the batch. "
    "Memory is that of the blobs a layer adds; training and testing reuse it, so they take less. No weights"
    " and no data are needed: a net that reads a database can be given the shape of its images with "
    "--shape.",
    (
        "caffelite summary deploy.prototxt",
        "caffelite summary train_val.prototxt --phase TRAIN --shape data=64,3,224,224",
    ),
    (1, 1),
)

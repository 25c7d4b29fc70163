"""Makes fan-out explicit: a blob that several layers read goes through a Split layer under Caffe's name.

Its backward pass is the sum of gradients, so nothing else has to add any. A top that counts in the objective has
the objective as one more reader; Caffe forgets that for the weight that a loss has by default, and then counts the
loss without its gradient. Source: ``InsertSplits`` of BVLC Caffe's ``insert_splits.cpp``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from caffelite.errors import NetError
from caffelite.graph.state import Entry
from caffelite.layers.registry import lookup

Top = tuple[int, int]  # (layer index, top index)


@dataclass
class _Uses:
    readers: Counter[Top] = field(default_factory=Counter)
    source_of: dict[Top, Top] = field(default_factory=dict)  # (layer, bottom index) -> the top it reads
    loss_weight: dict[Top, float] = field(default_factory=dict)


def insert_splits(entries: list[Entry]) -> list[Entry]:
    """A list of entries in which each top has at most one reader. Unknown bottoms are left for the wiring to report."""
    uses = _count_uses(entries)
    next_copy: Counter[Top] = Counter()
    result: list[Entry] = []
    for index, entry in enumerate(entries):
        message = type(entry.message)()
        message.CopyFrom(entry.message)
        for position in range(len(message.bottom)):
            top = uses.source_of.get((index, position))
            if top is not None and uses.readers[top] > 1:
                message.bottom[position] = f"{_split_name(entries, top)}_{next_copy[top]}"
                next_copy[top] += 1
        result.append(Entry(message, entry.where))
        for position in range(len(message.top)):
            if uses.readers[index, position] > 1:
                result.append(_split(entries, (index, position), uses, message, next_copy))
    return result


def _count_uses(entries: list[Entry]) -> _Uses:
    uses = _Uses()
    last: dict[str, Top] = {}
    for index, entry in enumerate(entries):
        layer = entry.message
        for position, blob in enumerate(layer.bottom):
            if blob in last:
                uses.source_of[index, position] = last[blob]
                uses.readers[last[blob]] += 1
        for position, blob in enumerate(layer.top):
            last[blob] = (index, position)
        for position, weight in enumerate(_loss_weights(layer)[: len(layer.top)]):
            if weight:
                uses.loss_weight[index, position] = weight
                uses.readers[index, position] += 1
    return uses


def _loss_weights(layer: Any) -> list[float]:
    """The weights that the prototxt gives, or what a loss has without any."""
    try:
        default = [1.0] if lookup(layer.type).loss else []
    except NetError:  # an unknown type, which the build reports
        default = []
    return list(layer.loss_weight) or default


def _split_name(entries: list[Entry], top: Top) -> str:
    layer = entries[top[0]].message
    return f"{layer.top[top[1]]}_{layer.name}_{top[1]}_split"


def _split(entries: list[Entry], top: Top, uses: _Uses, writer: Any, next_copy: Counter[Top]) -> Entry:
    """The Split entry of a top; a loss weight moves from the writer to the split's first top."""
    source = entries[top[0]]
    name, copies = _split_name(entries, top), uses.readers[top]
    split = type(source.message)(name=name, type="Split", bottom=[source.message.top[top[1]]])
    split.top.extend(f"{name}_{copy}" for copy in range(copies))
    if top in uses.loss_weight:
        split.loss_weight.extend([uses.loss_weight[top]] + [0.0] * (copies - 1))
        if not writer.loss_weight:  # a loss, which would take its default of 1 again
            writer.loss_weight.extend([0.0] * len(writer.top))
        writer.loss_weight[top[1]] = 0.0
        next_copy[top] += 1
    return Entry(split, source.where)

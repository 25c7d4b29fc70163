"""How each 4-D value lies in memory.

Activations are channels-last on engines that want it (measured: as fast as oneDNN's own choice of layout, and
a blob stays a plain strided view). Tops of layers without bottoms (Input, data, Python) stay in C order, because old
scripts write through ``data.reshape(...)`` before the net follows. In-place tops and views keep the layout of their bottom.
"""

from __future__ import annotations

from caffelite.graph.graph import Graph, Node, Value
from caffelite.plan.kernel import CHANNELS_LAST, PLAIN
from caffelite.types import Shape

Layouts = dict[Value, str]


def choose_layouts(graph: Graph, channels_last: bool) -> Layouts:
    """A layout for each value."""
    layouts: Layouts = {}
    for node in graph.nodes:
        inherited = {top: layouts[bottom] for bottom, top in node.inplace_pairs()}
        for value in node.tops:
            layouts[value] = inherited.get(value) or _layout(node, value, layouts, channels_last)
    return layouts


def _layout(node: Node, value: Value, layouts: Layouts, channels_last: bool) -> str:
    if not channels_last or _is_same_either_way(value.shape) or not node.bottoms:
        return PLAIN
    if node.layer.view and layouts[node.bottoms[0]] == PLAIN:
        return PLAIN
    return CHANNELS_LAST


def _is_same_either_way(shape: Shape) -> bool:
    """Not four axes, or one channel, or one pixel: both orders are one."""
    return len(shape) != 4 or shape[1] <= 1 or shape[2] * shape[3] <= 1


def is_view(node: Node, layouts: Layouts) -> bool:
    """Whether the tops of a view layer can be the bottom's own memory."""
    if not node.layer.view:
        return False
    bottom = node.bottoms[0]
    if layouts[bottom] == PLAIN:
        return all(layouts[top] == PLAIN for top in node.tops)
    return all(top.shape == bottom.shape and layouts[top] == layouts[bottom] for top in node.tops)

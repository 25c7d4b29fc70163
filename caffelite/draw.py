"""Pictures of nets: pycaffe's ``caffe.draw``.

The graph is written as text in Graphviz's language; drawing it takes Graphviz's program ``dot``. Labels, colours and
shapes are those of ``draw.py`` of BVLC Caffe. Nets are NetParameter messages of any generation.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from caffelite.atomic import atomic_write
from caffelite.errors import DataError, NetError, UsageError
from caffelite.prototxt.schema import Message, enum_name, enum_values
from caffelite.prototxt.source import net_from_message

Style = dict[str, str]

LAYER_STYLE_DEFAULT: Style = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE: Style = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE: Style = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}

_COLORS = {
    "Convolution": "#FF5050",
    "Deconvolution": "#FF5050",
    "Pooling": "#FF9900",
    "InnerProduct": "#CC33FF",
}
_LEARNING = ("Convolution", "Deconvolution", "InnerProduct")
_RANKDIRS = ("LR", "TB", "BT", "RL")
_TEXT_FORMATS = ("dot", "gv", "raw")
_PROGRAMS = ("dot", "graphviz-pure")  # the second is a copy of the first that pip installs
_FIX = "apt-get install graphviz, or pip install graphviz-pure, or write a .dot file"


def get_pooling_types_dict() -> dict[int, str]:
    """Names of the pooling methods by number."""
    return {number: name for name, number in enum_values("PoolingParameter.PoolMethod").items()}


def get_edge_label(layer: Message) -> str:
    """What stands at the edge to a layer's tops: its outputs or batch size, or a pair of quotes for nothing."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return '""'


def get_layer_lr_mult(layer: Message) -> tuple[float, float]:
    """Learning-rate multipliers of weights and biases of a convolution or an InnerProduct.

    Raises UsageError for other layers, and for more than two ``param``.
    """
    if layer.type not in _LEARNING:
        raise UsageError(f"{layer.type} layers do not have a learning rate multiplier")
    if len(layer.param) > 2:
        raise UsageError(f"Could not parse the learning rate multiplier: {len(layer.param)} param")
    weights, biases = [*(param.lr_mult for param in layer.param), 1.0, 1.0][:2]
    return weights, biases


def get_layer_label(layer: Message, rankdir: str, display_lrm: bool = False) -> str:
    """Name, type, window and, if asked for, learning-rate multipliers, in quotes.

    Words are parted by blanks where the graph runs up or down, and by line ends (as Graphviz writes them) otherwise.
    """
    lines = [layer.name, f"({layer.type})"]
    if layer.type == "Pooling":
        lines[1] = f"(Pooling {enum_name('PoolingParameter.PoolMethod', layer.pooling_param.pool)})"
    if layer.type in ("Convolution", "Deconvolution", "Pooling"):
        lines += _window(layer)
    if display_lrm and layer.type in _LEARNING:
        multipliers = get_layer_lr_mult(layer)
        if any(multipliers):
            lines.append("lr mult: {:.1f}, {:.1f}".format(*multipliers))
    separator = " " if rankdir in ("TB", "BT") else r"\n"
    return f'"{separator.join(lines)}"'


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer's box."""
    return _COLORS.get(layertype, LAYER_STYLE_DEFAULT["fillcolor"])


def get_pydot_graph(
    caffe_net: Message,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:
    """The net as a ``pydot.Dot``. Raises DataError if pydot is not installed."""
    try:
        import pydot
    except ImportError as error:
        raise DataError(
            f"get_pydot_graph needs pydot: {error}\n  Fix: pip install 'caffelite[draw]'"
        ) from error
    graph = _graph(caffe_net, rankdir, label_edges, phase, display_lrm)
    dot = pydot.Dot(_quoted(graph.name), graph_type="digraph", rankdir=rankdir)
    for name, style in graph.nodes.items():
        attributes: dict[str, Any] = {key: _quoted(value) for key, value in style.items()}
        dot.add_node(pydot.Node(_quoted(name), **attributes))
    for source, target, label in graph.edges:
        dot.add_edge(pydot.Edge(_quoted(source), _quoted(target), label=_quoted(label)))
    return dot


def draw_net(
    caffe_net: Message,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """The picture of a net: an image file of the format ``ext``, or Graphviz's text for dot, gv and raw.

    ``rankdir``: LR, TB, BT or RL. ``phase``: leaves out the layers of the other phase. ``display_lrm``: shows
    learning-rate multipliers. Raises DataError if no program can draw, UsageError for a format that it does not know.
    """
    text = _graph(caffe_net, rankdir, True, phase, display_lrm).text().encode()
    return text if ext in _TEXT_FORMATS else _drawn(text, ext)


def draw_net_to_file(
    caffe_net: Message,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Writes the picture of a net in the format that the file's extension names. Raises what ``draw_net`` does."""
    ext = os.path.splitext(filename)[1][1:].lower()
    if not ext:
        raise UsageError(f"'{os.fspath(filename)}': expected an extension that names a format, such as .png")
    picture = draw_net(caffe_net, rankdir, ext, phase, display_lrm)
    with atomic_write(filename) as file:
        file.write(picture)


# -- underneath ----------------------------------------------------------------------------------------------


@dataclass
class _Graph:
    """Boxes by name with their attributes, and arrows with their labels."""

    name: str
    rankdir: str
    nodes: dict[str, Style] = field(default_factory=dict)
    edges: list[tuple[str, str, str]] = field(default_factory=list)

    def text(self) -> str:
        lines = [f"digraph {_quoted(self.name)} {{", f"rankdir={self.rankdir};"]
        for name, style in self.nodes.items():
            attributes = ", ".join(f"{key}={_quoted(value)}" for key, value in style.items())
            lines.append(f"{_quoted(name)} [{attributes}];")
        lines += [f"{_quoted(a)} -> {_quoted(b)} [label={_quoted(label)}];" for a, b, label in self.edges]
        return "\n".join([*lines, "}", ""])


def _graph(
    caffe_net: Message, rankdir: str, label_edges: bool, phase: int | None, display_lrm: bool
) -> _Graph:
    if rankdir not in _RANKDIRS:
        raise UsageError(f"rankdir: expected {', '.join(_RANKDIRS)}, got '{rankdir}'")
    net = net_from_message(caffe_net).message
    graph = _Graph(net.name or "Net", rankdir)
    for layer in net.layer:
        if phase is None or _included(layer, phase):
            node = f"{layer.name}_{layer.type}"
            graph.nodes[node] = {
                "label": _escaped(get_layer_label(layer, rankdir, display_lrm)[1:-1]),
                **_layer_style(layer),
            }
            label = get_edge_label(layer).strip('"') if label_edges else ""
            for blob in layer.bottom:
                graph.nodes[f"{blob}_blob"] = {"label": blob, **BLOB_STYLE}
                graph.edges.append((f"{blob}_blob", node, ""))
            for blob in layer.top:  # a plain ellipse, until a layer reads it
                graph.nodes[f"{blob}_blob"] = {"label": blob}
                graph.edges.append((node, f"{blob}_blob", label))
    return graph


def _layer_style(layer: Message) -> Style:
    if len(layer.bottom) == 1 and list(layer.bottom) == list(layer.top):
        return NEURON_LAYER_STYLE  # in place
    return {**LAYER_STYLE_DEFAULT, "fillcolor": choose_color_by_layertype(layer.type)}


def _included(layer: Message, phase: int) -> bool:
    """Whether some state of this phase has the layer; a rule that names none leaves it open."""
    if layer.include and layer.exclude:
        raise NetError(f"layer {layer.name} has both include and exclude specified.")
    if layer.include:
        return any(not rule.HasField("phase") or rule.phase == phase for rule in layer.include)
    return not any(rule.HasField("phase") and rule.phase == phase for rule in layer.exclude)


def _window(layer: Message) -> Iterator[str]:
    """Kernel size, stride and pad in words; one number if all axes have the same."""
    pooling = layer.type == "Pooling"
    p = layer.pooling_param if pooling else layer.convolution_param
    for words, name, prefix, default in (
        ("kernel size", "kernel_size", "kernel", 1),
        ("stride", "stride", "stride", 1),
        ("pad", "pad", "pad", 0),
    ):
        if p.HasField(f"{prefix}_h") or p.HasField(f"{prefix}_w"):
            sizes = [getattr(p, f"{prefix}_h"), getattr(p, f"{prefix}_w")]
        else:
            sizes = [getattr(p, name)] if pooling else list(getattr(p, name)) or [default]
        text = "x".join(str(size) for size in (sizes if len(set(sizes)) > 1 else sizes[:1]))
        yield f"{words}: {'global' if name == 'kernel_size' and pooling and p.global_pooling else text}"


def _escaped(label: str) -> str:
    """A label for a box: these signs would divide it."""
    return re.sub(r"([{}|<>])", r"\\\1", label)


def _quoted(text: str) -> str:
    r"""A string of Graphviz's language; ``\n`` in it stays the end of a line."""
    return '"' + text.replace('"', r"\"") + '"'


def _drawn(text: bytes, ext: str) -> bytes:
    program = next((path for path in map(shutil.which, _PROGRAMS) if path), None)
    if program is None:
        raise DataError(f"drawing .{ext} needs Graphviz, whose program 'dot' is not there\n  Fix: {_FIX}")
    done = subprocess.run([program, f"-T{ext}"], input=text, capture_output=True, check=False)
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip()
        raise UsageError(f"'{program} -T{ext}' failed: {told}")
    return done.stdout

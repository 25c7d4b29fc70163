"""Who is connected with whom in a net, a line a layer: Caffe's tools/extra/summarize.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from caffelite.errors import UsageError
from caffelite.prototxt.source import NetSource

MAX_WIDTH = 30
_DOTS = "..."

_CONVOLUTIONS = ("Convolution", "Deconvolution")


def summarize(source: NetSource, max_width: int = MAX_WIDTH) -> Iterator[str]:
    """The layers of a net as a table: name, type, learning rates, bottoms, ``->``, tops, window and outputs.

    The lines are those of Caffe's script: ``(x1 d1, x2 d0)`` are the multipliers of rate and decay, ``5/2+1
    20`` is a window of 5 with stride 2, padding 1 and 20 outputs. A top that no layer takes stands in
    brackets. Columns but the last are cut to ``max_width``; 0 cuts none. Raises UsageError for other widths
    that leave no room for a letter and dots.
    """
    if max_width and max_width <= len(_DOTS):
        raise UsageError(f"max-width: expected 0 or at least {len(_DOTS) + 1}, got {max_width}")
    free = _free_tops(source.message.layer)
    rows = [_row(layer, free) for layer in source.message.layer]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if max_width:
        widths = [min(width, max_width) for width in widths]
    for row in rows:
        *cells, last = (_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True))
        yield " ".join([*cells, last]).rstrip()


def _row(layer: Any, free: set[str]) -> Sequence[str]:
    weights = [f"{weight:g} * " for weight in layer.loss_weight] or [""] * len(layer.top)
    tops = [
        f"{weight}[{top}]" if top in free else weight + top
        for weight, top in zip(weights, layer.top, strict=False)
    ]
    return (
        layer.name,
        _type(layer),
        _params(layer),
        ", ".join(layer.bottom),
        "->",
        ", ".join(tops),
        _window(layer),
    )


def _free_tops(layers: Sequence[Any]) -> set[str]:
    """Tops that no layer after them takes: the outputs of the net."""
    free: Counter[str] = Counter()
    for layer in layers:
        for bottom in layer.bottom:
            free[bottom] = 0
        for top in layer.top:
            free[top] = 1
    return set(free.elements())


def _type(layer: Any) -> str:
    if layer.type == "Python":
        return f"{layer.python_param.module}.{layer.python_param.layer}"
    return str(layer.type)


def _params(layer: Any) -> str:
    texts = [" ".join(_param(param)) for param in layer.param]
    return f"({', '.join(texts)})" if any(texts) else ""


def _param(param: Any) -> Iterator[str]:
    if param.name:
        yield param.name
    if param.HasField("lr_mult"):
        yield f"x{param.lr_mult:g}"
    if param.HasField("decay_mult"):
        yield f"d{param.decay_mult:g}"


def _window(layer: Any) -> str:
    if layer.type in _CONVOLUTIONS:
        param = layer.convolution_param
        group = f"/{param.group}" if param.group != 1 else ""
        return f"{_sizes(param)} {param.num_output}{group}".strip()
    if layer.type == "Pooling":
        param = layer.pooling_param
        return "global" if param.global_pooling else _sizes(param)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return ""


def _sizes(param: Any) -> str:
    """Kernel, ``/`` stride, ``+`` padding; what is as usual is left out."""
    kernel, stride, pad = (
        _size(param, name, axis) for name, axis in (("kernel_size", "kernel"), ("stride",) * 2, ("pad",) * 2)
    )
    return (
        kernel
        + (f"/{stride}" if stride not in ("", "1") else "")
        + (f"+{pad}" if pad not in ("", "0") else "")
    )


def _size(param: Any, name: str, axis: str) -> str:
    """``3`` or ``3x5``: a field that is repeated, or single, or one for height and one for width."""
    if param.HasField(f"{axis}_h") or param.HasField(f"{axis}_w"):
        return f"{getattr(param, f'{axis}_h')}x{getattr(param, f'{axis}_w')}"
    value = getattr(param, name)
    sizes = [value] if isinstance(value, int) else list(value)
    return "x".join(map(str, sizes[:1] if len(set(sizes)) == 1 else sizes))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - len(_DOTS)] + _DOTS

"""The documentation page of a layer, made from its class: text, fields with defaults, and an example that has run.

A layer's docstring ends with ``Example:``, what to feed it and its parameters, from which a net is made:

    Example: x (1, 2, 4, 4), label [[0]] -> y, mask; pooling_param { kernel_size: 2 }

Bottoms have a shape (filled with draws from a normal distribution) or values in brackets; tops are listed only where
some that may be left out are wanted. Files that examples of data layers read are made by :func:`sample_files`.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from caffelite.errors import NetError
from caffelite.layers._forks import own_limit
from caffelite.layers.base import Layer, plain
from caffelite.layers.memory_data import MemoryData
from caffelite.layers.registry import lookup, shipped_types
from caffelite.model import Model
from caffelite.params import Array
from caffelite.prototxt.schema import Field, message, message_type
from caffelite.prototxt.source import parse_net
from caffelite.resources import proto_file
from caffelite.types import Phase, shape_text

SECTIONS = (
    "Bottoms", "Tops", "Params", "State", "Gradient", "Random", "Module", "Raises", "Compatibility", "Source", "Example",
)  # fmt: skip
DOUBLE = """
import caffe


class Double(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * top[0].diff
"""
FEW = 8  # values that are printed rather than counted


@dataclass(frozen=True)
class Example:
    """What an example feeds a layer, and how the layer stands in its net."""

    bottoms: list[tuple[str, Array]]
    tops: list[str]
    text: str


def sections(cls: type[Layer]) -> dict[str, str]:
    """A layer's docstring by section: the text before the first under ``""``."""
    found, name = {"": ""}, ""
    for line in (inspect.getdoc(cls) or "").splitlines():
        head = re.match(r"(\w+):\s+", line)
        if head and head[1] in SECTIONS:
            name = head[1]
            found[name], line = "", line[head.end() :]
        found[name] += (line if name == "" else line.strip()) + "\n"
    return {name: text.strip() for name, text in found.items()}


def example(cls: type[Layer]) -> Example:
    """The example of a layer. Raises NetError if its docstring has none."""
    text = sections(cls).get("Example", "").replace("``", "").replace("\n", " ")
    if not text:
        raise NetError(f"layer type {cls.__name__}: its docstring has no line 'Example:'")
    given, params = re.fullmatch(r"(.*?)(?:;\s*|(?=\b\w+_param\b)|$)(.*)", text).groups()  # type: ignore[union-attr]
    bottoms, _, tops = given.partition("->")
    wanted = [name.strip() for name in tops.split(",") if name.strip()]
    wanted = wanted or [plain(name) for name in cls.tops if not name.endswith("?")]
    return Example(_bottoms(bottoms.strip()), wanted, params.strip())


def _bottoms(text: str) -> list[tuple[str, Array]]:
    rng = np.random.default_rng(1)
    found = []
    for name, value in re.findall(r"(\w+) (\([^()]*\)|\[.*?\])(?=,\s*\w|$)", text):
        given = ast.literal_eval(value)
        found.append((name, rng.standard_normal(given) if isinstance(given, tuple) else np.asarray(given)))
    return found


def net_text(type_: str, of: Example) -> str:
    """The example as a net that stands alone."""
    layers = [
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        f"{' '.join(f'dim: {dim}' for dim in array.shape)} }} }} }}"
        for name, array in of.bottoms
    ]
    ends = [f'bottom: "{name}"' for name, _ in of.bottoms] + [f'top: "{name}"' for name in of.tops]
    own = f'layer {{ name: "{type_.lower()}" type: "{type_}" {" ".join(ends)}'
    layers.append(f"{own}\n  {of.text} }}" if of.text else f"{own} }}")
    return "\n".join(layers) + "\n"


def run_example(type_: str, of: Example) -> list[str]:
    """Runs the example on the reference engine; what its tops and params are, a line each."""
    model = Model(parse_net(net_text(type_, of)), Phase.TRAIN, engine="reference", seed=1)
    for name, array in of.bottoms:
        model.input(name)[...] = array
    if isinstance(layer := model.nodes[-1].layer, MemoryData):
        layer.set_arrays(*(np.ones(value.shape, np.float32) for value in model.nodes[-1].tops))
    model.forward()
    lines = [f"{name}: {_value(model.blob(name))}" for name in of.tops]
    uses = model.nodes[-1].params
    lines += [
        f"{use.spec.name} (learned): {shape_text(use.spec.shape)}" for use in uses if use.spec.learnable
    ]
    lines += [
        f"{use.spec.name} (kept): {shape_text(use.spec.shape)}" for use in uses if not use.spec.learnable
    ]
    model.close()
    return lines


def _value(array: Array) -> str:
    few = f" = {' '.join(f'{value:.4g}' for value in array.flat)}" if 0 < array.size <= FEW else ""
    return shape_text(array.shape) + few


# -- pages --------------------------------------------------------------------------------------------------


def page(type_: str) -> str:
    """The page of a layer type, in Markdown. Raises UnknownNameError for an unknown one."""
    cls = lookup(type_, name=type_)
    told, of = sections(cls), example(cls)
    lines = [f"# {type_}", "", _markdown(told.pop("")), ""]
    lines += [f"- **{n}**: {_markdown(' '.join(text.split()))}" for n, text in told.items() if n != "Example"]
    lines += _marks(cls, told)
    if cls.message:
        lines += ["", f"## `{cls.message}`", "", *_table(cls)]
    lines += ["", "## Example", "", "```", net_text(type_, of).rstrip(), "```", ""]
    if type_ == "Python":
        lines += ["with `double_layer.py`", "", "```python", DOUBLE.strip(), "```", ""]
    lines += ["gives", "", "```"]
    lines += [*(run_example(type_, of) or ["no tops"]), "```", ""]
    return "\n".join(lines)


def index() -> str:
    """The page that lists all layer types."""
    rows = [
        f"| [{t}]({t}.md) | {sections(lookup(t))[''].partition(chr(10))[0].rstrip('.')} |"
        for t in shipped_types()
    ]
    head = (
        "# Layers\n\nMade by `caffelite layers --pages docs/layers` from the classes in `caffelite/layers/`."
    )
    return "\n".join([head, "", "| type | what it does |", "|---|---|", *rows, ""])


def _markdown(text: str) -> str:
    """Docstring text in which a ``*`` is no emphasis; code and indented formulas are left as they are."""
    parts = text.replace("``", "`").split("`")  # every second one is code
    parts[::2] = [
        re.sub(r"^(?!    ).*$", lambda line: line[0].replace("*", r"\*"), p, flags=re.M) for p in parts[::2]
    ]
    return "`".join(parts)


def _marks(cls: type[Layer], told: dict[str, str]) -> Iterator[str]:
    if cls.inplace:
        yield "- **In place**: yes"
    if not hasattr(cls, "backward") and "Gradient" not in told:
        yield "- **Gradient**: none"


def _table(cls: type[Layer]) -> Iterator[str]:
    yield "| field | values | default | |"
    yield "|---|---|---|---|"
    notes = comments(message_name(cls))
    for field in known_fields(cls):
        yield f"| `{field.name}` | {values(cls, field)} | {default(cls, field)} | {notes.get(field.name, '')} |"


def message_name(cls: type[Layer]) -> str:
    """The message of a layer's own parameters: ``ConvolutionParameter``."""
    return message_type("LayerParameter").fields[cls.message].type


def known_fields(cls: type[Layer]) -> list[Field]:
    """The fields that mean something to a layer: BVLC Caffe's, and those of forks that it understands."""
    name = message_name(cls)
    limit = own_limit(name)
    return [f for f in message_type(name).fields.values() if f.number <= limit or f.name in cls.extensions]


def values(cls: type[Layer], field: Field) -> str:
    """What may stand in a field, for a table cell; values of an enum that only forks know are left out."""
    notes = comments(message_name(cls))
    own = [name for name in field.values if not notes.get(name, "") or name in cls.extensions]
    kind = ", ".join(own) if field.kind == "enum" else field.type or field.kind
    return f"{kind}, repeated" if field.repeated else kind


def default(cls: type[Layer], field: Field) -> str:
    """The value of a field that is not given; ``-`` for none."""
    if field.required:
        return "required"
    if field.repeated or field.kind == "message":
        return "-"
    value: Any = getattr(message(message_name(cls))(), field.name)
    if field.kind == "enum":
        return next(name for name, number in field.values.items() if number == value)
    if isinstance(value, bool):
        return str(value).lower()
    return (
        f"{value:g}" if isinstance(value, float) else f'"{value}"' if isinstance(value, str) else str(value)
    )


@cache
def comments(name: str) -> dict[str, str]:
    """What ``caffe.proto`` says behind the fields of a message and the values of its enums."""
    text = proto_file().read_text(encoding="utf-8")
    start = text.index(f"message {name} {{")
    body = text[start : text.index("\n}", start)]
    found = re.findall(r"^ +(?:\w+ [\w.]+ )?(\w+) = \d+[^;]*;[ \t]*(?://[ \t]*(.*))?$", body, re.MULTILINE)
    return {name: note.strip() for name, note in found}


# -- files that examples read -------------------------------------------------------------------------------


@contextmanager
def sample_files() -> Iterator[None]:
    """Goes to a temporary folder with the files that the examples of data layers name, and back.

    ``a.png`` to ``c.png`` (8 x 8), ``images.txt``, ``windows.txt``, ``numbers.h5`` (data, label), ``h5.txt``,
    ``infogain.binaryproto`` (2 x 2), the database ``pictures``, and ``double_layer.py`` with a Python layer.
    """
    before = os.getcwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            _write_samples(np.random.default_rng(1))
            yield
        finally:
            os.chdir(before)


def _write_samples(rng: np.random.Generator) -> None:
    import cv2
    import h5py

    from caffelite.data.writer import open_writer

    Datum = message("Datum")
    with open_writer("pictures", backend="LMDB") as writer:
        for label, name in enumerate("abc"):
            image = rng.integers(0, 256, (8, 8, 3), np.uint8)
            cv2.imwrite(f"{name}.png", image)
            datum = Datum(channels=3, height=8, width=8, label=label, data=image.transpose(2, 0, 1).tobytes())
            writer.put(datum.SerializeToString(), name)
    Path("images.txt").write_text("a.png 0\nb.png 1\nc.png 2\n")
    Path("windows.txt").write_text("# 0\na.png\n3\n8\n8\n2\n1 0.9 0 0 5 5\n0 0.1 2 2 7 7\n")
    Path("h5.txt").write_text("numbers.h5\n")
    with h5py.File("numbers.h5", "w") as file:
        file["data"], file["label"] = rng.standard_normal((4, 3)), np.arange(4.0)
    H = message("BlobProto")(num=1, channels=1, height=2, width=2, data=[1, 0.5, 0, 1])
    Path("infogain.binaryproto").write_bytes(H.SerializeToString())
    Path("double_layer.py").write_text(DOUBLE)

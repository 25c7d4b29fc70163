"""``caffelite layers [TYPE]``: the layer types there are, or all about one."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

from caffelite.cli.command import Command
from caffelite.cli.flags import Options
from caffelite.cli.table import table
from caffelite.layers.base import Layer
from caffelite.layers.registry import layer_types, lookup
from caffelite.prototxt.schema import Field, message, message_type


def _run(options: Options) -> int:
    lines = _one(options.arguments[0]) if options.arguments else _all()
    print("\n".join(lines))
    return 0


def _all() -> Iterator[str]:
    types = layer_types()
    yield from table(("type", "what it does"), [(type_, _first_line(lookup(type_))) for type_ in types])
    yield f"\n{len(types)} types; 'caffelite layers TYPE' tells more about one."


def _one(type_: str) -> Iterator[str]:
    cls = lookup(type_, name=type_)
    yield f"{type_}: {inspect.getdoc(cls) or 'no description'}".replace("``", "")
    yield ""
    yield f"bottoms: {_names(cls.bottoms)}"
    yield f"tops:    {_names(cls.tops)}"
    if cls.message:
        yield ""
        yield f"{cls.message}:"
        yield from _fields(cls)


def _first_line(cls: type[Layer]) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0].replace("``", "")


def _names(names: tuple[str, ...]) -> str:
    marks = {"?": " (may be left out)", "*": " (one or more)"}
    return ", ".join(name.rstrip("?*") + marks.get(name[-1], "") for name in names) or "none"


def _fields(cls: type[Layer]) -> Iterator[str]:
    name = message_type("LayerParameter").fields[cls.message].type
    fields, defaults = message_type(name).fields.values(), message(name)()
    body = [(field.name, _kind(field), _default(field, defaults)) for field in fields]
    yield from (f"  {line}" for line in table(("field", "type", "default"), body))


def _kind(field: Field) -> str:
    kind = " | ".join(field.values) if field.kind == "enum" else field.type or field.kind
    return f"{kind}, repeated" if field.repeated else kind


def _default(field: Field, defaults: Any) -> str:
    if field.repeated or field.kind == "message":
        return "-"
    value = getattr(defaults, field.name)
    if field.kind == "enum":
        return next(name for name, number in field.values.items() if number == value)
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


COMMAND = Command(
    "the layer types there are, or bottoms, tops and fields of one",
    _run,
    usage="[TYPE]",
    examples=("caffelite layers", "caffelite layers Convolution"),
    words=(0, 1),
)

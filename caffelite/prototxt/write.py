"""Messages as text, letter for letter as Caffe logs them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from caffelite.prototxt.schema import Field, Message, message_type, type_name

_ESCAPES = dict(zip(b"\n\r\t\"'\\", (r"\n", r"\r", r"\t", r"\"", r"\'", r"\\"), strict=True))


def write_text(instance: Message) -> str:
    """A message in protobuf's text format: a field a line in the order of their numbers, two spaces a level.

    Numbers are the shortest that read back equal (``0.00390625``, ``1e-05``); bytes outside ASCII are octal.
    """
    return "".join(f"{line}\n" for line in _lines(instance, ""))


def format_float(value: float, *, double: bool = False) -> str:
    """A float as C++ protobuf prints it: 6 significant digits (15 for doubles), or as many as it takes."""
    first, last, code = (15, 17, "<d") if double else (6, 9, "<f")
    for digits in range(first, last):
        text = f"{value:.{digits}g}"
        if struct.pack(code, _in_range(float(text), double)) == struct.pack(code, value):
            return text
    return f"{value:.{last}g}"


def _lines(instance: Message, indent: str) -> Iterator[str]:
    fields = message_type(type_name(instance)).fields
    for descriptor, value in instance.ListFields():
        field = fields[descriptor.name]
        for item in value if field.repeated else [value]:
            if field.kind == "message":
                yield f"{indent}{field.name} {{"
                yield from _lines(item, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{field.name}: {_scalar(field, item)}"


def _scalar(field: Field, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return next((name for name, number in field.values.items() if number == value), str(value))
        case float():
            return format_float(value, double=field.kind == "double")
        case str():
            return _quoted(value.encode())
        case bytes():
            return _quoted(value)
    raise TypeError(f"field {field.name} holds a {type(value).__name__}")


def _quoted(data: bytes) -> str:
    return '"' + "".join(_ESCAPES.get(c) or (chr(c) if 32 <= c < 127 else f"\\{c:03o}") for c in data) + '"'


def _in_range(value: float, double: bool) -> float:
    """Rounding to few digits can leave float32's range; infinity then stands for it."""
    return value if double or abs(value) < 3.4028235677973366e38 else float("inf") * value

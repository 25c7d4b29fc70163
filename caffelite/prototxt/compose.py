"""Prototxt text out of mappings, for programs that write nets: short messages stand on one line."""

from __future__ import annotations

from collections.abc import Mapping

WIDTH = 100  # a message stands on one line where that is not longer than this

Fields = Mapping[str, object]
NONE: Fields = {}


class Enum(str):
    """An enumeration value of the schema, which prototxt writes without quotes."""


def scalar_text(value: object) -> str:
    """Write a number, truth value, enumeration value or string as prototxt does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, str) and not isinstance(value, Enum):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"'
    return str(value)


def field_lines(key: str, value: object, width: int = WIDTH) -> list[str]:
    """Write one field as lines. A list repeats the field; a mapping is a message."""
    if isinstance(value, (list, tuple)):
        return [line for item in value for line in field_lines(key, item, width)]
    if not isinstance(value, Mapping):
        return [f"{key}: {scalar_text(value)}"]
    inner = [line for name, item in value.items() for line in field_lines(name, item, width - 2)]
    flat = f"{key} {{ {' '.join(inner)} }}"
    return [flat] if len(flat) <= width else [f"{key} {{", *(f"  {line}" for line in inner), "}"]

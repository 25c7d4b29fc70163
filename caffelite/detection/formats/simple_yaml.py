"""The part of YAML that data.yaml files are written in: names with values, lists and tables of one level."""

from __future__ import annotations

import re
from pathlib import Path

from caffelite.detection.formats.text import read_lines, read_text
from caffelite.errors import DataError

Value = str | list[str] | dict[str, str]


def read_yaml(path: Path) -> dict[str, Value]:
    """The names of a file with their values: a text, a list ``[a, b]`` or ``- a``, or a table ``0: a``.

    Raises:
        DataError: a line that is none of these; names file and line.
        MissingFileError: there is no such file.
    """
    found: dict[str, Value] = {}
    name = ""
    for number, line, indented in _lines(path):
        if not indented and not line.startswith("- "):
            name, colon, rest = line.partition(":")
            if not colon:
                raise _error(path, number, line)
            name = _plain(name)
            found[name] = _value(rest.strip())
        else:
            _add(found, name, line, path, number)
    return found


def _lines(path: Path) -> list[tuple[int, str, bool]]:
    raw = read_text(path).splitlines()
    kept = ((number, _without_comment(line)) for number, line in read_lines(path))
    return [(number, line, raw[number - 1][:1].isspace()) for number, line in kept if line and line != "---"]


def _without_comment(line: str) -> str:
    """The line without ``# ...`` that stands at its beginning or after a space, outside of quotes."""
    quote = ""
    for at, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (at == 0 or line[at - 1].isspace()):
            return line[:at].rstrip()
    return line


def _value(text: str) -> Value:
    if text.startswith("[") and text.endswith("]"):
        return [_plain(item) for item in _items(text[1:-1])]
    if text.startswith("{") and text.endswith("}"):
        pairs = (item.partition(":") for item in _items(text[1:-1]))
        return {_plain(key): _plain(value) for key, _, value in pairs}
    return _plain(text)


def _items(text: str) -> list[str]:
    """The parts between commas that stand outside of quotes."""
    parts = re.findall(r"""(?:[^,'"]|'[^']*'|"[^"]*")+""", text)
    return [part for part in parts if part.strip()]


def _plain(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace("''", "'")
    return text


def _add(found: dict[str, Value], name: str, line: str, path: Path, number: int) -> None:
    """Adds an item to the value of a name."""
    value = found.get(name)
    if line.startswith("- ") and (value == "" or isinstance(value, list)):
        found[name] = [*(value or []), _plain(line[2:])]
    elif ":" in line and (value == "" or isinstance(value, dict)):
        key, _, text = line.partition(":")
        table = value if isinstance(value, dict) else {}
        found[name] = {**table, _plain(key): _plain(text)}
    else:
        raise _error(path, number, line)


def _error(path: Path, number: int, line: str) -> DataError:
    fix = "write names: [a, b, c], or one a line: '- a'"
    return DataError(
        f"{path}:{number}: expected 'name: value' or an item of a list, got '{line:.60}'\n  Fix: {fix}"
    )

"""Flags as gflags, and so Caffe, takes them.

``-x v``, ``--x v``, ``-x=v`` and ``--x=v`` are the same; a switch is ``-x``, ``-nox`` or ``-x=false``;
``-`` and ``_`` in names are the same; ``--`` ends the flags; the last of two values counts. A flag for several words
(``--set KEY VALUE KEY VALUE``) takes all up to the next flag, and may be given again for more.
``--flagfile=FILE`` reads more from a file, and ``FLAGS_x`` in the environment replaces a default.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from caffelite.errors import UsageError
from caffelite.prototxt.suggest import suggestion

Value = str | int | bool | tuple[str, ...]

_TRUE = ("1", "t", "true", "y", "yes")
_FALSE = ("0", "f", "false", "n", "no")
_PROGRAMS = ("caffe", "caffelite")
_FLAGFILE = "flagfile"
_DEPTH = 16  # flag files in flag files


@dataclass(frozen=True)
class Flag:
    """One flag. The default's type is the flag's: text, a whole number, a switch, or several words (a tuple)."""

    name: str
    default: Value
    help: str
    value: str = "TEXT"  # what the help calls the value
    choices: tuple[str, ...] = ()
    hidden: bool = False

    @property
    def key(self) -> str:
        return _key(self.name)

    def read(self, text: str) -> Value:
        """The value of a text. Raises UsageError."""
        if isinstance(self.default, bool):
            return self._switch(text)
        if isinstance(self.default, int):
            return self._integer(text)
        if isinstance(self.default, tuple):
            return tuple(text.split())
        if self.choices and text not in self.choices:
            got = f"'{text}'{suggestion(text, self.choices)}"
            raise UsageError(
                f"--{self.name}: expected one of {', '.join(filter(None, self.choices))}, got {got}"
            )
        return text

    def _switch(self, text: str) -> bool:
        if text.lower() not in _TRUE + _FALSE:
            raise UsageError(f"--{self.name}: expected true or false, got '{text}'")
        return text.lower() in _TRUE

    def _integer(self, text: str) -> int:
        try:
            return int(text, 0)
        except ValueError:
            raise UsageError(f"--{self.name}: expected a whole number, got '{text}'") from None


@dataclass
class Options:
    """What a command line said: each flag's value, which were given, and the words that are no flags."""

    values: dict[str, Value]
    given: set[str] = field(default_factory=set)
    arguments: list[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        return str(self.values[_key(name)])

    def integer(self, name: str) -> int:
        value = self.values[_key(name)]
        return 0 if isinstance(value, tuple) else int(value)

    def several(self, name: str) -> list[str]:
        """The words of a flag that takes several."""
        value = self.values[_key(name)]
        return list(value) if isinstance(value, tuple) else [str(value)]

    def switch(self, name: str) -> bool:
        return bool(self.values[_key(name)])

    def has(self, name: str) -> bool:
        """Whether the flag was given, on the command line, in a flag file or in the environment."""
        return _key(name) in self.given

    def items(self, name: str) -> list[str]:
        """The parts of a list with commas."""
        return [part.strip() for part in self.text(name).split(",") if part.strip()]


def parse(argv: Sequence[str], flags: Iterable[Flag]) -> Options:
    """The options of a command line. Raises UsageError for unknown flags, missing and wrong values."""
    table = {flag.key: flag for flag in flags}
    options = Options({key: flag.default for key, flag in table.items()})
    _from_environment(table, options)
    _parse(list(argv), table, options, 0)
    return options


def first_word(argv: Sequence[str], flags: Iterable[Flag]) -> int | None:
    """The position of the first word that is no flag and no flag's value (gflags lets flags come first)."""
    table = {flag.key: flag for flag in flags}
    at = 0
    while at < len(argv):
        if not _is_flag(argv[at]):
            return at
        name, text = _split(argv[at])
        flag = table.get(_key(name))
        takes_value = name == _FLAGFILE or (flag is not None and not isinstance(flag.default, bool))
        at += 2 if takes_value and text is None else 1
    return None


def _parse(argv: list[str], table: Mapping[str, Flag], options: Options, depth: int) -> None:
    words = deque(argv)
    while words:
        word = words.popleft()
        if word == "--":
            options.arguments += words
            words.clear()
        elif _is_flag(word):
            _take(word, words, table, options, depth)
        else:
            options.arguments.append(word)


def _take(word: str, words: deque[str], table: Mapping[str, Flag], options: Options, depth: int) -> None:
    name, text = _split(word)
    if name == _FLAGFILE:
        for file in _value(word, text, words).split(","):
            _parse(_flag_file(file, depth), table, options, depth + 1)
        return
    flag = table.get(_key(name))
    if flag is None:
        flag, text = _negated(name, text, table), "false"
    elif isinstance(flag.default, tuple):
        options.values[flag.key] = (*options.several(name), *_several(word, text, words))
        options.given.add(flag.key)
        return
    elif text is None:
        text = "true" if isinstance(flag.default, bool) else _value(word, text, words)
    options.values[flag.key] = flag.read(text)
    options.given.add(flag.key)


def _several(word: str, text: str | None, words: deque[str]) -> list[str]:
    """The words of a flag that takes several: all up to the next flag."""
    taken = [_value(word, text, words)]
    while words and not _is_flag(words[0]):
        taken.append(words.popleft())
    return taken


def _negated(name: str, text: str | None, table: Mapping[str, Flag]) -> Flag:
    """The switch that ``nox`` or ``no-x`` turns off. Raises UsageError where there is none."""
    stem = name.removeprefix("no").lstrip("-_")
    flag = table.get(_key(stem)) if name.startswith("no") else None
    if flag is None or not isinstance(flag.default, bool) or text is not None:
        known = [flag.name for flag in table.values() if not flag.hidden]
        longer = " and ".join(f"--{other}" for other in known if other.startswith(f"{name}_"))
        near = f"; did you mean {longer}?" if longer else suggestion(name, known)
        raise UsageError(f"unknown flag '--{name}'{near}")
    return flag


def _value(word: str, text: str | None, words: deque[str]) -> str:
    found = text if text is not None else words.popleft() if words else None
    if found is None:
        raise UsageError(f"flag '{word}' needs a value")
    return found


def _from_environment(table: Mapping[str, Flag], options: Options) -> None:
    for key, flag in table.items():
        text = os.environ.get(f"FLAGS_{key}")
        if text is not None:
            options.values[key] = flag.read(text)
            options.given.add(key)


def _flag_file(path: str, depth: int) -> list[str]:
    """The flags of a file, one a line; ``#`` comments. A line of program names limits what follows."""
    if depth >= _DEPTH:
        raise UsageError(f"--flagfile '{path}': flag files name each other without end")
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"--flagfile '{path}': {error.strerror or error}") from error
    argv, ours = [], True
    for line in map(str.strip, lines):
        if line.startswith("-") and ours:
            argv += [line] if "=" in line.split()[0] else line.split(None, 1)
        elif line and line[0] not in "-#":
            ours = any(fnmatchcase(program, pattern) for pattern in line.split() for program in _PROGRAMS)
    return argv


def _is_flag(word: str) -> bool:
    """Whether a word is a flag; negative numbers and a lone dash are not."""
    return len(word) > 1 and word[0] == "-" and not word[1].isdigit()


def _split(word: str) -> tuple[str, str | None]:
    name, equals, text = word.lstrip("-").partition("=")
    return name, text if equals else None


def _key(name: str) -> str:
    return name.replace("-", "_")
